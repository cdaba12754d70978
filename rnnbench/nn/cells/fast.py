"""Cells whose steps the fastest tier of the scan runs."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rnnbench.contract import Cell, Layout, State
from rnnbench.nn import scan


class FastCell(Cell):
    """A cell whose `forward` runs in the fastest tier of the scan that its step fits.

    Any cell may derive from it; what is gained is in `rnnbench.nn.scan`. `scan` stays the eager
    loop, which every tier is checked against.
    """

    def draw_noise(self, steps: int, state: State) -> Any:
        """Draw the random numbers of all steps before the first: a nested tuple of (T, B, ...)."""
        return ()

    def tick(
        self, p_BG: Tensor, state: State, noise: Any, seen_BH: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Take one step as `advance` does, on random numbers that were drawn before."""
        return self.advance(p_BG, state, seen_BH)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial(x_BTD[:, 0]) if state is None else state
        p_BTG = self.project(x_BTD, state)
        noise = self.draw_noise(p_BTG.shape[1], state)
        done = scan.run(self, p_BTG, state, noise)
        return scan.unroll(self, p_BTG, state, noise) if done is None else done

    def scan(self, x_BTD: Tensor, state: State = None) -> tuple[Tensor, State]:
        state = self.initial(x_BTD[:, 0]) if state is None else state
        p_BTG = self.project(x_BTD, state)
        return scan.unroll(self, p_BTG, state, self.draw_noise(p_BTG.shape[1], state))
