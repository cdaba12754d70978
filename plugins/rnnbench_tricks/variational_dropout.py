"""Variational dropout: one mask for all time steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Cell, Kind, Refusal, State, Task, Trick, setting
from rnnbench.nn import CellWrapper
from rnnbench_tricks._word_dropout import drop_words


class VariationalCell(CellWrapper):
    """A cell wrapper with masks in its state: (*inner state, input mask, hidden mask).

    They are drawn when a sequence begins, and drawn anew for the next batch of a stream.
    """

    fixed = 2

    def __init__(self, inner: Cell, input_rate: float, hidden_rate: float):
        super().__init__(inner)
        self.input_rate, self.hidden_rate = input_rate, hidden_rate

    def draw(self, like: Tensor, rate: float) -> Tensor:
        return F.dropout(torch.ones_like(like), rate, self.training)

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        inner = self.inner.initial(x_BD)
        return (*inner, self.draw(x_BD, self.input_rate), self.draw(inner[0], self.hidden_rate))

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        *inner, mask_x, _ = state
        return self.inner.project(x_BTD * mask_x[:, None], tuple(inner))

    def read(self, h_BH: Tensor, own: tuple[Tensor, ...]) -> Tensor:
        _, mask_h = own
        return h_BH * mask_h

    def carry(self, state: State) -> State:
        *inner, mask_x, mask_h = state
        fresh = self.draw(mask_x, self.input_rate), self.draw(mask_h, self.hidden_rate)
        return (*self.inner.carry(tuple(inner)), *fresh)


@dataclass(frozen=True)
class VariationalDropout(Trick):
    """Dropout whose masks stay fixed over the time steps of a sequence.

    W_x (x_t ⊙ m_x) and W_h (h_{t-1} ⊙ m_h), with one m_x and one m_h a sequence and a layer,
    scaled by 1 / (1 - rate). Where h_{t-1} enters the new state elementwise, as in a GRU, it
    is not masked: scaled up at every step it would explode. `embedding` drops word types, `output`
    units of what the readout reads, in one draw for each row of a pass.

    Null value: all rates 0.

    Source: Gal & Ghahramani (2016), arXiv:1512.05287, eqs. 6-7 and section 4.2; of the output:
    Merity, Keskar & Socher (2017), arXiv:1708.02182, section 4.2.
    """

    null: ClassVar[Mapping[str, Any] | None] = {
        "input": 0.0, "hidden": 0.0, "embedding": 0.0, "output": 0.0,
    }  # fmt: skip

    input: float = setting(
        0.25, "dropped share of a layer's inputs", low=0.0, high=0.95, search=(0.0, 0.6)
    )
    hidden: float = setting(
        0.25, "dropped share of the recurrent hidden state", low=0.0, high=0.95, search=(0.0, 0.6)
    )
    embedding: float = setting(0.0, "dropped share of word types", low=0.0, high=0.95)
    output: float = setting(0.0, "dropped share of what the readout reads", low=0.0, high=0.95)

    def cell(self, cell: Cell) -> Cell:
        if self.input == 0 and self.hidden == 0:
            return cell
        return VariationalCell(cell, self.input, self.hidden)

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        if self.embedding:
            drop_words(
                model, task, self.embedding,
                f"{self.name}: embedding = {self.embedding}",
                f"Set {self.name}:embedding=0.",
            )  # fmt: skip
        if self.output:
            backbone = getattr(model, "backbone", None)
            if backbone is None or task.kind not in (Kind.ALIGNED, Kind.SEQ_TO_VEC):
                raise Refusal(
                    f"{self.name}: output = {self.output} drops what a readout reads of a whole "
                    f"sequence; on {task.name} this model has no such readout.\n"
                    f"  Set {self.name}:output=0."
                )
            backbone.register_forward_hook(self.dropped)
        return model

    def dropped(
        self, backbone: nn.Module, inputs: Any, outputs: tuple[Tensor, State]
    ) -> tuple[Tensor, State]:
        """A backbone some units of whose output are zero at all steps while training."""
        y_BTH, state = outputs
        mask_B1H = F.dropout(torch.ones_like(y_BTH[:, :1]), self.output, backbone.training)
        return y_BTH * mask_B1H, state
