"""The multiplication problem: remember two marked numbers, and multiply them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rnnbench.contract import Metric
from rnnbench.data.tasks.synthetic import MarkedNumbers


@dataclass(frozen=True)
class Multiplication(MarkedNumbers):
    """Multiply the two marked numbers of a long sequence of random ones.

    Each step carries a value, uniform on [0, 1), and a marker, 1 at one step drawn uniformly
    from the first half and at one from the second half, else 0. The target is the product of the
    two marked values, which no network reaches that can only add up.

    Variant: sequences are made as those of adding: of a fixed length, with one marker in each
    half. The original's have 100 to 110 steps, with one marker among the first ten and the other
    in the rest of the first half.
    Trivial baseline: always answering the mean, 1/4, gives mse 1/9 - 1/16 = 7/144 = 0.0486, the
    variance of a product of two uniform values.
    Solved: test mse below 0.0016: the original counts a sequence as correct at an absolute error
    below 0.04 on this same scale, and 0.04 squared is 0.0016.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Hochreiter & Schmidhuber (1997), Neural Computation 9(8), experiment 5.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "squared", help="mean squared error of the product"),
    )
    expected: ClassVar[float] = 1 / 4
    variance: ClassVar[float] = 1 / 9 - 1 / 16  # E[u²]² - E[u]⁴ of a uniform u

    def answer(self, marked_B2: Tensor) -> Tensor:
        return marked_B2.prod(1, keepdim=True)
