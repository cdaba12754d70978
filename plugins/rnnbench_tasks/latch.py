"""The latch problem: keep a bit through noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract import Batch, Port, setting
from rnnbench.data.tasks.synthetic import Classification


@dataclass(frozen=True)
class Latch(Classification):
    """Say at the end of a noisy sequence whether it began with +1 or with -1.

    One value a step. The first `informative` ones are all +1 or all -1, which is the class, drawn
    with equal chances; the others are normal noise of mean 0 and variance `variance`. Only the
    beginning counts, so one bit has to be kept until the end.

    Variant: the noisy two-sequence problem of Hochreiter & Schmidhuber (1997), experiment 3a:
    length T to T + T/10, drawn uniformly, 3 informative values, noise of variance 0.2; the paper
    has T = 100 and 1000. In the original of Bengio et al. all sequences are of one length
    (`spread=0`) and the informative inputs are themselves learnt.
    Trivial baseline: either class, 0.5, whatever comes after the beginning.
    Solved: no sequence of the test split misclassified, accuracy 1; it is the first of the
    stopping criteria of Hochreiter & Schmidhuber, who take 256 sequences. A warning of theirs:
    random weights solve it after some hundred guesses (Schmidhuber & Hochreiter 1996).
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Bengio, Simard & Frasconi (1994), IEEE Transactions on Neural Networks 5(2), section
    III; the variant: Hochreiter & Schmidhuber (1997), Neural Computation 9(8), experiment 3a.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 3e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }
    declares: ClassVar[Mapping[str, str]] = {
        "no_column_is_the_answer": "the class is shown first, to be remembered: that is the task"
    }
    tiny: ClassVar[Mapping[str, Any]] = {"length": 12, "train_items": 300, "valid_items": 50}

    length: int = setting(100, "steps of the shortest sequence (T)", unit="steps", low=2)
    spread: float = setting(
        0.1, "the longest sequence is longer by this share; 0: all are equal", low=0.0, high=1.0
    )
    informative: int = setting(3, "first values that carry the class", unit="steps", low=1)
    variance: float = setting(0.2, "of the noise", low=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.informative < self.length,
            f"informative = {self.informative} leaves no noise in {self.length} steps",
        )

    @property
    def source(self) -> Port:
        return Port(width=1)

    @property
    def target(self) -> Port:
        return Port(classes=2)

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x (rows, T, 1), y (rows,): 1 where a sequence begins with +1."""
        longest = self.length + int(self.length * self.spread)
        y_B = torch.randint(2, (rows,), generator=rng)
        x_BT = torch.randn(rows, longest, generator=rng) * self.variance**0.5
        x_BT[:, : self.informative] = (2.0 * y_B - 1)[:, None]
        x_len = torch.randint(self.length, longest + 1, (rows,), generator=rng)
        there_BT = torch.arange(longest) < x_len[:, None]
        return Batch((x_BT * there_BT)[..., None], y_B, x_len if self.spread else None)
