"""Reading the source backwards."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rnnbench.contract import Backbone, Kind, Layout, Refusal, State, Task, Trick
from rnnbench.nn import reversed_rows
from rnnbench.nn.cells.gate_names import innermost_cells
from rnnbench.nn.models.encoder_decoder import EncoderDecoder


class ReversedEncoder(Backbone):
    """An encoder that reads each row last step first; its outputs are in the source's order."""

    def __init__(self, inner: Backbone):
        super().__init__()
        self.inner, self.width = inner, inner.width

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        len_B = None if layout is None else layout.len_B
        y_BTH, state = self.inner(reversed_rows(x_BTD, len_B), state, layout)
        return reversed_rows(y_BTH, len_B), state


@dataclass(frozen=True)
class SourceReversal(Trick):
    """The encoder reads the source last step first, in training and at evaluation.

    x_n, …, x_1 in place of x_1, …, x_n, each row by its own length, so that the beginnings of
    source and target are near to each other. What the decoder starts from is the encoder's state
    after x_1; attention, and what is shown of it, counts positions as the source does.

    Source: Sutskever, Vinyals & Le (2014), arXiv:1409.3215, section 3.3.
    """

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        if task.kind is not Kind.UNALIGNED or task.source.layout != "sequence":
            raise Refusal(
                f"{self.name} lets an encoder read a sequence backwards; {task.name} is "
                f"{task.kind.value} and its source a {task.source.layout}.\n"
                f"  Drop {self.name}, or choose an unaligned task."
            )
        if isinstance(model, EncoderDecoder):
            self.turn(model)
            return model
        encoder, pool = getattr(model, "encoder", None), getattr(model, "pool", None)
        if not isinstance(encoder, Backbone) or pool is None:
            raise Refusal(
                f"{self.name} does not know how {type(model).__name__} reads its source.\n"
                f"  Drop {self.name}, or choose an architecture such as lstm or seq2seq."
            )
        innermost_cells(encoder, self.name)  # without one there is no order of reading
        if pool in ("ends", "first"):
            why = "reads in both directions" if pool == "ends" else "reads backwards already"
            raise Refusal(f"{self.name}: the encoder {why}.\n  Drop {self.name}.")
        wired: Any = model
        wired.encoder = ReversedEncoder(encoder)
        if pool == "last":
            wired.pool = "first"
        return model

    def turn(self, model: EncoderDecoder) -> None:
        """Let a model that can read backwards do so."""
        plan = model.plan
        if plan.reverse:
            raise Refusal(
                f"{self.name}: {plan.owner} reads its source backwards already.\n"
                f"  Drop {self.name}, or the setting reverse_source."
            )
        if plan.both:
            raise Refusal(
                f"{self.name}: the encoder of {plan.owner} reads in both directions.\n"
                f"  Drop {self.name}, or set architecture.encoder=forward."
            )
        if plan.changes:
            raise Refusal(
                f"{self.name}: the encoder of {plan.owner} reads changes from step to step, which "
                f"have a direction of their own.\n  Drop {self.name}."
            )
        model.plan = dataclasses.replace(plan, reverse=True)
