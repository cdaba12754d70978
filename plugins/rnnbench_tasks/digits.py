"""Handwritten digits, read pixel by pixel or row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rnnbench.contract import Port, setting
from rnnbench_tasks._digits import DigitImages


@dataclass(frozen=True)
class Digits(DigitImages):
    """Name the digit whose 8 by 8 image is read as a sequence.

    1,797 images with pixels from 0 to 16, scaled to [0, 1], read in row-major order: 64 steps of
    one pixel, or 8 steps of a row. A fixed split, drawn once and stratified by class: 1,197 for
    training, 300 for validation, 300 for test.
    Trivial baseline: the commonest class of the training part, about 10% right.

    Source: Alpaydin & Kaynak (1998), UCI; images as sequences of pixels as in Le, Jaitly &
    Hinton (2015), arXiv:1504.00941, section 4.2, there with 784 of them.
    """

    step: Literal["pixel", "row"] = setting("pixel", "what is read at one time step")

    @property
    def source(self) -> Port:
        return Port(width=1 if self.step == "pixel" else 8)
