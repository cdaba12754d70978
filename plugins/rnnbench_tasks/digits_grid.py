"""Handwritten digits, read as the grid of pixels that they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from rnnbench.contract import Batch, Port
from rnnbench_tasks._digits import DigitImages


@dataclass(frozen=True)
class DigitsGrid(DigitImages):
    """Name the digit whose 8 by 8 image is read as a grid.

    The images, the split and the order of the pixels are those of `digits` with `step: pixel`:
    1,797 images with pixels from 0 to 16, scaled to [0, 1]; 1,197 for training, 300 for validation
    and 300 for test, drawn once and stratified by class. An architecture for grids reads the
    neighbours of a pixel in both dimensions; one for sequences reads the same 64 steps in
    row-major order, so that the two meet on one leaderboard.
    Trivial baseline: the commonest class of the training part, about 10% right.

    Source: Alpaydin & Kaynak (1998), UCI; images read by a network of two dimensions as in
    Graves, Fernández & Schmidhuber (2007), arXiv:0705.2011, section 4, there larger ones.
    """

    @property
    def source(self) -> Port:
        return Port(width=1, layout="grid")

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read 64 lines of one pixel each, from 0 to 1, row by row."""
        batch, answer = super().ask(text)
        if batch.x.shape[1] != 64:
            raise ValueError(
                f"{self.name} reads the 64 pixels of an 8 by 8 image, one a line; "
                f"got {batch.x.shape[1]}"
            )
        return batch._replace(grid=self.grid), answer
