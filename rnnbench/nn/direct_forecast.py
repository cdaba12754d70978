"""Models that forecast a whole horizon at once, from windows of one length."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnbench.contract import Batch, Kind, Refusal, Result, State, Task
from rnnbench.nn.models.base import Feed, Model
from rnnbench.nn.models.decoding import GREEDY, Decoded, Decoding


class AtOnce(Model):
    """A model that forecasts all steps of the horizon at once. Write `ahead`.

    Args:
        name: of the architecture, for messages.
    Attributes:
        context, horizon: steps that are read, and forecast.
        past: the columns of x that hold the past of what is forecast.
    Raises:
        Refusal: the task is no forecast from windows of one length.
    """

    decodes = True

    def __init__(self, name: str, task: Task):
        super().__init__(task.target)
        self.past = list(task.past)
        known = task.source.longest is not None and task.target.longest is not None
        if task.kind is not Kind.UNALIGNED or not self.past or not known:
            raise Refusal(
                f"{name} forecasts series from windows of one length; {task.name} is no such "
                "task.\n  Choose a forecasting task."
            )
        self.context, self.horizon = task.source.longest or 0, task.target.longest or 0

    def ahead(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the whole horizon (B, S, P·V), and what was read out (B, H)."""
        raise NotImplementedError

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        return self.forecast(batch, batch.y.shape[1])

    def decode(self, batch: Batch) -> Tensor:
        return self.decoded(batch).y

    def decoded(
        self, batch: Batch, how: Decoding = GREEDY, rng: torch.Generator | None = None
    ) -> Decoded:
        self.refuse_other_ways(how)
        out_BSV = self.forecast(batch, self.horizon).out
        y_BSV = self.target.choose(out_BSV)
        return Decoded(y_BSV, out=None if self.target.distribution is None else out_BSV)

    def forecast(self, batch: Batch, steps: int) -> Result:
        """Return the first `steps` of the horizon: (B, S, P·V).

        Raises:
            ValueError: it is shorter.
        """
        if steps > self.horizon:
            raise ValueError(f"{steps} steps are asked for; the horizon is {self.horizon}")
        out_BSV, hidden_BH = self.ahead(batch.x)
        return Result(out_BSV[:, :steps], hidden_BH[:, None].expand(-1, steps, -1), None)
