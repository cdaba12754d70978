"""Noise on the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Task, Trick, setting
from rnnbench.nn.temporary_weights import (
    TemporaryWeight,
    in_training_passes,
    refuse_watched,
    weights,
)


@dataclass(frozen=True)
class WeightNoise(Trick):
    """Every training pass is made with weights that noise has been added to.

    w̃ = w + ε,  ε ~ N(0, deviation²), one draw for all rows and time steps of a pass, biases
    included. The gradient is that at w̃; the optimiser changes w, and evaluation uses w.

    Null value: deviation = 0.

    Source: Graves (2013), arXiv:1308.0850, section 3.1 (deviation 0.075); Jim, Giles & Horne
    (1996), An analysis of noise in recurrent neural networks, IEEE Transactions on Neural
    Networks 7(6).
    """

    null: ClassVar[Mapping[str, Any] | None] = {"deviation": 0.0}

    deviation: float = setting(
        0.075, "σ of the noise", low=0.0, search=(0.005, 0.2, "log")
    )  # fmt: skip

    def sites(self) -> tuple[str, ...]:
        return () if self.deviation == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        in_training_passes(model, self.noisy)
        return model

    def noisy(self, model: nn.Module) -> Iterator[TemporaryWeight]:
        refuse_watched(self.name, model)
        drawn: dict[Tensor, Tensor] = {}  # a parameter in two places has one noise
        for module, name, value in weights(model):
            p = module._parameters[name]
            assert p is not None
            if not p.requires_grad:
                continue
            if p not in drawn:
                drawn[p] = self.deviation * torch.randn_like(p)
            yield TemporaryWeight(module, name, value + drawn[p])
