"""Orthogonal recurrent matrices at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from rnnbench.contract import Task, Trick, setting
from rnnbench.nn.cells.gate_names import claim, gates, innermost_cells, recurrent_blocks


@dataclass(frozen=True)
class OrthogonalInit(Trick):
    """Every gate's recurrent matrix starts as a random orthogonal one, times a gain.

    W_hᵀ W_h = gain² I, gate by gate and, where a cell reads several delays, delay by delay. A
    matrix that is not square, as with a projection, has orthonormal rows or columns.

    Source: Saxe, McClelland & Ganguli (2014), arXiv:1312.6120, section 3 and its discussion of
    random orthogonal initial conditions.
    """

    tiny: ClassVar[Mapping[str, Any]] = {}

    gain: float = setting(1.0, "singular values of every matrix", low=0.0, search=(0.5, 1.5))

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        for cell in innermost_cells(model, self.name):
            claim(cell, "the recurrent matrix", self.name)
            for gate in gates(cell, self.name):
                for block in recurrent_blocks(gate, self.name):
                    nn.init.orthogonal_(block, self.gain)
        return model
