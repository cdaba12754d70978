"""Dropped recurrent connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn
from torch.nn import functional as F

from rnnbench.contract import Refusal, Task, Trick, setting
from rnnbench.nn.cells.gate_names import innermost_cells
from rnnbench.nn.temporary_weights import (
    TemporaryWeight,
    in_training_passes,
    refuse_watched,
    weights,
)

MATRIX = "weight_h"


@dataclass(frozen=True)
class WeightDrop(Trick):
    """Single connections of the recurrent matrices are dropped while training.

    W̃_h = m ⊙ W_h / (1 - rate),  m ~ Bernoulli(1 - rate) for each weight; one mask for all rows and
    time steps of a training pass. Evaluation uses W_h. Fused kernels and the fast scan stay in
    use. A matrix is recurrent where its cell calls it weight_h.

    Null value: rate = 0.

    Source: Merity, Keskar & Socher (2017), arXiv:1708.02182, section 2 (the weight-dropped LSTM);
    Wan et al. (2013), Regularization of neural networks using DropConnect, ICML.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"rate": 0.0}

    rate: float = setting(
        0.5, "dropped share of recurrent weights", low=0.0, high=0.95, search=(0.0, 0.7)
    )

    def sites(self) -> tuple[str, ...]:
        return () if self.rate == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        matrices = list(weights(model, MATRIX))
        if not matrices:
            cells = innermost_cells(model, self.name)
            raise Refusal(
                f"{self.name} acts on recurrent matrices that are called {MATRIX}; "
                f"{type(cells[0]).__name__} has none.\n"
                f"  Drop {self.name}, or choose another cell, such as lstm, gru or elman."
            )
        in_training_passes(model, self.dropped)
        return model

    def dropped(self, model: nn.Module) -> Iterator[TemporaryWeight]:
        refuse_watched(self.name, model)
        for module, name, value in weights(model, MATRIX):
            yield TemporaryWeight(module, name, F.dropout(value, self.rate))
