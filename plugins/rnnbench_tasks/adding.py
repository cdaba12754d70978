"""The adding problem: remember two marked numbers over a long time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rnnbench.contract import Metric
from rnnbench.data.tasks.synthetic import MarkedNumbers


@dataclass(frozen=True)
class Adding(MarkedNumbers):
    """Add the two marked numbers of a long sequence of random ones.

    Each step carries a value, uniform on [0, 1), and a marker, 1 at one step drawn uniformly
    from the first half and at one from the second half, else 0. The target is the sum of the
    two marked values.

    Variant: that of Le et al. and Arjovsky et al.: a fixed length, one marker in each half, the
    plain sum. The original drew values from [-1, 1), marked two steps of the first half and
    halved the scale.
    Trivial baseline: always answering the mean, 1, gives mse 1/6 = 0.1667, the variance of a
    sum of two uniform values.
    Solved: test mse below 0.0064. The original counts a sequence as correct at an absolute error
    below 0.04 on its scale, which is 0.08 on this one, and 0.08 squared is 0.0064.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Hochreiter & Schmidhuber (1997), Neural Computation 9(8), experiment 4; the variant:
    Le, Jaitly & Hinton (2015), arXiv:1504.00941, section 4.1.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "squared", help="mean squared error of the sum"),
    )
    expected: ClassVar[float] = 1.0
    variance: ClassVar[float] = 2 / 12  # of a sum: that of each uniform value is 1/12

    def answer(self, marked_B2: Tensor) -> Tensor:
        return marked_B2.sum(1, keepdim=True)
