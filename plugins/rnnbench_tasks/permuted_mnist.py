"""MNIST, its pixels read in one fixed random order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from rnnbench.contract import Port, setting
from rnnbench_tasks._mnist import SIDE, MnistImages


@dataclass(frozen=True)
class PermutedMnist(MnistImages):
    """Name the handwritten digit whose pixels are read in one fixed random order.

    The images and the split are those of `sequential-mnist`, 784 steps of one pixel. The order is
    drawn once, from `permutation`, for all images: neighbours in the image then stand far apart.
    Variant: papers draw orders of their own, which differ in difficulty by less than the figures
    of two networks do; compare figures of one order only.
    Trivial baseline: the commonest class of the training part, about 11% right.
    Solved: an accuracy of 0.82, that of the identity-initialised network (Li et al. 2018,
    arXiv:1803.04831, table 1); their own has 0.96.

    Source: Le, Jaitly & Hinton (2015), arXiv:1504.00941, section 4.2.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 100,
        "optimizer.lr": 1e-3,
        "budget.steps": 55_000,
        "budget.validate_every": 550,
    }

    permutation: int = setting(0, "the seed that the order of the pixels is drawn from", low=0)
    train_items: int = setting(
        0, "first training images to use; 0: all 55,000", unit="images", low=0
    )

    @property
    def source(self) -> Port:
        return Port(width=1, longest=SIDE * SIDE)

    @cached_property
    def order_P(self) -> np.ndarray:
        # RandomState, because NumPy promises that its streams never change.
        return np.random.RandomState(self.permutation).permutation(SIDE * SIDE)
