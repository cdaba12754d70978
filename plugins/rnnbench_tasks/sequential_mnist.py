"""MNIST, read pixel by pixel or row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rnnbench.contract import Port, setting
from rnnbench_tasks._mnist import SIDE, MnistImages


@dataclass(frozen=True)
class SequentialMnist(MnistImages):
    """Name the handwritten digit whose 28 by 28 image is read as a sequence.

    70,000 images with pixels from 0 to 255, scaled to [0, 1], read in row-major order: 784 steps
    of one pixel, or 28 steps of a row. The 10,000 test images are the data set's own; of its
    60,000 training images the last 5,000 are for validation.
    Variant: papers differ in whether they hold validation images out and in the scaling; this is
    the form of Arjovsky et al. with a split of its own.
    Trivial baseline: the commonest class of the training part, about 11% right.
    Solved: an accuracy of 0.95, that of the identity-initialised network (Li et al. 2018,
    arXiv:1803.04831, table 1); their own has 0.99.

    Source: Le, Jaitly & Hinton (2015), arXiv:1504.00941, section 4.2; Arjovsky, Shah & Bengio
    (2016), arXiv:1511.06464, section 5.3.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 100,
        "optimizer.lr": 1e-3,
        "budget.steps": 55_000,
        "budget.validate_every": 550,
    }

    step: Literal["pixel", "row"] = setting("pixel", "what is read at one time step")
    train_items: int = setting(
        0, "first training images to use; 0: all 55,000", unit="images", low=0
    )

    @property
    def source(self) -> Port:
        steps = SIDE * SIDE if self.step == "pixel" else SIDE
        return Port(width=SIDE * SIDE // steps, longest=steps)
