"""MNIST, read as the grid of pixels that it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnbench.contract import Port, setting
from rnnbench_tasks._mnist import MnistImages


@dataclass(frozen=True)
class MnistGrid(MnistImages):
    """Name the handwritten digit whose 28 by 28 image is read as a grid.

    The images, the split and the order of the pixels are those of `sequential-mnist`. An
    architecture for grids reads the neighbours of a pixel in both dimensions; one for sequences
    reads the same 784 steps in row-major order, so that the two meet on one leaderboard.
    Variant: the paper labels every pixel of the clean images and of warped ones; here an image
    has one label.
    Trivial baseline: the commonest class of the training part, about 11% right.
    Solved: an accuracy of 0.95, as in `sequential-mnist`.

    Source: Graves, Fernández & Schmidhuber (2007), arXiv:0705.2011, section 4.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 50,
        "optimizer.lr": 1e-3,
        "budget.steps": 22_000,
        "budget.validate_every": 1_100,
    }

    train_items: int = setting(
        0, "first training images to use; 0: all 55,000", unit="images", low=0
    )

    @property
    def source(self) -> Port:
        return Port(width=1, layout="grid")
