"""A learning rate that falls where validation stops improving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract import Moment, Trick, WrappedOptimizer, setting


class PlateauSchedule(WrappedOptimizer):
    """A schedule that keeps its factor and how many validations brought no new best."""

    def __init__(self, inner: torch.optim.Optimizer, trick: Plateau):
        super().__init__(inner)
        self.trick = trick
        self.memory |= {"factor": 1.0, "stale": 0}

    def schedule(self, at: Moment) -> None:
        super().schedule(at)
        self.scale_lr(self.memory["factor"], self.trick.min_lr)

    def idle(self) -> str:
        if self.memory["factor"] != 1:
            return ""
        return (
            f"plateau never acted: never were more than {self.trick.patience} validations in a row "
            "no new best, so the learning rate did not fall; a longer budget, a smaller "
            "budget.validate_every or a smaller tricks.plateau.patience lets it"
        )

    def observe(self, value: float, better: bool) -> None:
        super().observe(value, better)
        self.memory["stale"] = 0 if better else self.memory["stale"] + 1
        if self.memory["stale"] > self.trick.patience:
            self.memory["factor"] *= self.trick.factor
            self.memory["stale"] = 0


@dataclass(frozen=True)
class Plateau(Trick):
    """The learning rate is multiplied by a factor whenever validation has not improved for long.

    Where more than `patience` validations in a row are no new best: η <- max(factor · η, min_lr).
    The weights go on from where they are.

    Null value: factor = 1.

    Source: the annealing of Mikolov (2012), PhD thesis, section 3.2.1, with the patience of
    torch.optim.lr_scheduler.ReduceLROnPlateau (its threshold is 0 here).
    """

    null: ClassVar[Mapping[str, Any] | None] = {"factor": 1.0}
    tiny: ClassVar[Mapping[str, Any]] = {"patience": 0}

    factor: float = setting(0.5, "of the learning rate", low=0.0, high=1.0,
                            search=(0.1, 0.7))  # fmt: skip
    patience: int = setting(
        2, "validations without a new best that are borne", unit="validations", low=0,
        search=(0, 5),
    )  # fmt: skip
    min_lr: float = setting(0.0, "the learning rate does not fall below", low=0.0)

    def sites(self) -> tuple[str, ...]:
        return () if self.factor == 1 else super().sites()

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        return PlateauSchedule(optimizer, self)
