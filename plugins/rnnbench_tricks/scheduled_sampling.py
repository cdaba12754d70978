"""Scheduled sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Moment, Trick, setting

LEAST = 1e-6  # that ε falls to


@dataclass(frozen=True)
class ScheduledSampling(Trick):
    """Feed the decoder its own guess instead of the truth, more often as training goes on.

    A coin for every token: the truth with probability ε, else the model's most probable guess
    (for values: its prediction), through which no gradient flows. With p the part of the budget
    that is spent, ε falls from 1 to `last`:

    linear           ε = 1 - (1 - last) p
    exponential      ε = last^p                     (k^i with k^N = last)
    inverse-sigmoid  ε = k / (k + exp(i / k))       (i / k = p · ln(k (1/last - 1)))
    constant         ε = last, throughout

    With decay=constant and last=0 all of training is on free-running outputs, as evaluation is.

    Null value: last = 1.

    Source: Bengio et al. (2015), arXiv:1506.03099, section 2.4.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"last": 1.0}

    decay: Literal["linear", "exponential", "inverse-sigmoid", "constant"] = setting(
        "linear", "shape of ε"
    )
    last: float = setting(0.5, "ε at the end of the budget", low=0.0, high=1.0, search=(0.1, 0.9))
    k: float = setting(10.0, "of inverse-sigmoid: larger falls later and more steeply", low=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.last < LEAST and self.decay != "constant":
            raise ValueError(
                f"{self.name}: ε cannot fall to {self.last:g}. Set a higher "
                f"tricks.{self.name}.last, or tricks.{self.name}.decay=constant to feed guesses "
                "from the start"
            )

    def sites(self) -> tuple[str, ...]:
        # At ε = 1 the truth is always fed, which takes no stepping.
        return () if self.last == 1 else super().sites()

    def gold_probability(self, progress: float) -> float:
        """Return ε at a part of the budget between 0 and 1."""
        if self.last == 1 or self.decay == "constant":
            return self.last
        if self.decay == "linear":
            return 1 - (1 - self.last) * progress
        if self.decay == "exponential":
            return self.last**progress
        return self.k / (self.k + math.exp(progress * math.log(self.k * (1 / self.last - 1))))

    def feed(self, gold: Tensor, guess: Tensor, at: Moment) -> Tensor:
        epsilon = self.gold_probability(at.progress)
        coin = torch.rand(gold.shape[0], *[1] * (gold.dim() - 1), device=gold.device)
        return torch.where(coin < epsilon, gold, guess.to(gold.dtype))
