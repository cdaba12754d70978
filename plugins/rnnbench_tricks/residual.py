"""Residual connections around recurrent layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from rnnbench.contract import Task, Trick
from rnnbench_tricks._shortcuts import ShortcutCell, lead_around


class ResidualCell(ShortcutCell):
    """A cell y_t = h_t + x_t."""

    trick = "residual"

    def joined(self, y: Tensor, x: Tensor, *beside: Tensor) -> Tensor:
        return y + x


@dataclass(frozen=True)
class Residual(Trick):
    """Each recurrent layer adds its input to its output.

    y_t = h_t + x_t, the first layer included; the recurrence itself stays as it is. Layers must be
    as wide as their input.

    Source: He et al. (2016), arXiv:1512.03385, eq. 1; between recurrent layers: Wu et al. (2016),
    arXiv:1609.08144, section 3.1.
    """

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        lead_around(model, ResidualCell, self.name)
        return model
