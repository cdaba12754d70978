"""N-gram: an interpolated Kneser-Ney language model, which is counted and not trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Batch, Kind, Refusal, Result, State, Task, setting
from rnnbench.data import KneserNey
from rnnbench.nn import Model
from rnnbench.nn.models.base import Feed

NONE = -1  # in a context: before the first token
BLOCK = 1 << 22  # probabilities that are computed at a time, in double precision: 32 MB


class NGramModel(Model):
    """The model of `NGram`. The state is the last n - 1 tokens."""

    def __init__(self, architecture: NGram, task: Task):
        super().__init__(task.target)
        shared = task.source.vocabulary and task.source.vocabulary == task.target.vocabulary
        if task.kind is not Kind.ALIGNED or not task.causal or not shared:
            raise Refusal(
                f"{architecture.name} counts which token follows which; {task.name} is no language "
                "model.\n  Choose one, such as char-lm."
            )
        self.task, self.name, self.order = task, architecture.name, architecture.order
        self.counted: KneserNey | None = None
        # Nothing is learnt. A parameter without numbers lets the one training step run.
        self.nothing = nn.Parameter(torch.zeros(0))

    def count(self) -> KneserNey:
        """Count the training text: of a stream all of it, of items one after the other."""
        if self.counted is None:
            data = self.task.data("train", 0)
            parts, order = [], data.order(1, None)
            for place, key in enumerate(order, start=1):
                batch = data.batch(key, None)
                parts.append(batch.x[0])
                if place == len(order) or not data.carried:  # what is predicted last is never read
                    parts.append(batch.y[0, -1:])
            text_N = torch.cat(parts).numpy()
            self.counted = KneserNey(text_N, self.target.classes, self.order)
        return self.counted

    def refuse_short_text(self) -> None:
        """Refuse a training text with no n-gram of this order, before it is counted.

        Raises:
            Refusal: naming the tokens that there are.
        """
        data, tokens = self.task.data("train", 0), 0
        if len(data) > self.order:  # an item is a token at least
            return
        for key in data.order(1, None):
            tokens += data.batch(key, None).x.shape[1] + (not data.carried)
        tokens += data.carried
        if tokens <= self.order:
            lower = f"Set architecture.order={tokens - 1} or lower, or g" if tokens > 2 else "G"
            raise Refusal(
                f"{self.name}: order = {self.order} needs more than {self.order} training tokens; "
                f"{self.task.name} has {tokens}.\n  {lower}ive it a longer training text."
            )

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        x_BT, reach = batch.x, self.order - 1
        rows, steps = x_BT.shape
        past_BR = x_BT.new_full((rows, reach), NONE) if state is None else state
        seen_BU = torch.cat([past_BR, x_BT], 1)
        kept = seen_BU[:, seen_BU.shape[1] - reach :]
        kind = self.nothing.dtype
        if x_BT.is_meta:  # shapes alone
            self.refuse_short_text()
            out_BTV = torch.empty(rows, steps, self.target.classes, device="meta", dtype=kind)
        else:
            at_TR = torch.arange(steps)[:, None] + torch.arange(1, reach + 1)
            context_ND = seen_BU.cpu().numpy()[:, at_TR.numpy()].reshape(rows * steps, reach)
            out_BTV = self.log_distribution(context_ND, kind).view(rows, steps, -1).to(x_BT.device)
        out_BTV = out_BTV + self.nothing.sum()
        return Result(out_BTV, out_BTV, kept)

    def log_distribution(self, context_ND: np.ndarray, kind: torch.dtype) -> Tensor:
        """Return (N, V) log-probabilities after each context; doubles take no more than a block."""
        model = self.count()
        log_NV = torch.empty(len(context_ND), model.classes, dtype=kind)
        rows = max(1, BLOCK // model.classes)
        for begin in range(0, len(context_ND), rows):
            p_MV = torch.from_numpy(model.distribution(context_ND[begin : begin + rows]))
            log_NV[begin : begin + rows] = p_MV.log_()
        return log_NV


@dataclass(frozen=True)
class NGram(Architecture):
    """Interpolated modified Kneser-Ney: what counting alone gives, with no parameters.

    p(w | h) = (c(h w) - D(c(h w))) / Σ_w c(h w) + γ(h) p(w | h')

    h' is h without its oldest token, γ(h) what the discounts took away; shorter n-grams count
    the different tokens before them. The training split is counted when the model is first asked:
    seconds for a million tokens, whose n-grams are held in memory. Weights are not saved, since
    there are none; a run that is loaded counts again.

    Training changes nothing. A step costs a distribution over all tokens, as any language model's
    readout does, so that it can stand on one board with others at their budget; by itself
    `budget.steps=1` gives the same figures. Where a split is read in rows, each of them begins
    without context.

    Source: Kneser and Ney (1995), ICASSP; the modified discounts of Chen and Goodman (1999),
    Computer Speech & Language 13, 359-394.
    """

    name: ClassVar[str] = "n-gram"
    tiny: ClassVar[Mapping[str, Any]] = {"order": 2}

    order: int = setting(5, "tokens of the longest n-grams", unit="tokens", low=2, search=(2, 7))

    def model(self, task: Task) -> nn.Module:
        return NGramModel(self, task)
