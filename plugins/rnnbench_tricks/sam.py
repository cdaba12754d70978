"""Sharpness-aware minimisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Batch, Estimator, EstimatorInput, Result, State, Trick, setting


@dataclass(frozen=True)
class SAM(Trick):
    """The gradient is taken where the loss is nearly worst in a small ball around the weights.

    ε = ρ ∇L(θ) / ‖∇L(θ)‖ over all parameters together;  g = ∇L(θ + ε), and the optimiser steps
    from θ with g. L is all that is minimised. A step costs two passes.

    Both passes see the same random numbers, so that dropout gives them one and the same network.
    The first one counts: its loss is reported, its state carried on, and running statistics are
    those that it leaves.

    Null value: rho = 0.

    Source: Foret, Kleiner, Mobahi & Neyshabur (2021), arXiv:2010.01412, eqs. 2-3 and algorithm 1.
    """

    name: ClassVar[str] = "sam"
    null: ClassVar[Mapping[str, Any] | None] = {"rho": 0.0}

    rho: float = setting(0.05, "ρ, radius of the ball", low=0.0, search=(0.01, 0.5, "log"))

    def sites(self) -> tuple[str, ...]:
        return () if self.rho == 0 else super().sites()

    def estimator(self, inner: Estimator) -> Estimator:
        def ascend_then_descend(learning: EstimatorInput) -> State:
            model = learning.model
            with torch.random.fork_rng(_devices(model)):  # puts the generators back afterwards
                final = inner(learning)
            buffers = [b.clone() for b in model.buffers()]
            moved = [p for p in model.parameters() if p.grad is not None]
            weights = [p.detach().clone() for p in moved]
            gradients = [p.grad for p in moved if p.grad is not None]
            norm = torch.stack([g.norm() for g in gradients]).norm()
            with torch.no_grad():
                for p, g in zip(moved, gradients, strict=True):
                    p.add_(g * (self.rho / (norm + 1e-12)))
            for p in moved:
                p.grad = None
            try:
                inner(dataclasses.replace(learning, forward=_unreported(learning)))
            finally:
                with torch.no_grad():
                    for p, weight in zip(moved, weights, strict=True):
                        p.copy_(weight)
                    for b, buffer in zip(model.buffers(), buffers, strict=True):
                        b.copy_(buffer)
            return final

        return ascend_then_descend


def _unreported(learning: EstimatorInput) -> Any:
    """Run `learning.forward` for another look at the same targets, without a report."""

    def forward(
        state: State, part: Batch | None = None, report: bool = False
    ) -> tuple[Tensor, Result]:
        return learning.forward(state, part, report=False)

    return forward


def _devices(model: nn.Module) -> list[torch.device]:
    """Return the devices with random generators besides the CPU's."""
    return list({p.device for p in model.parameters() if p.device.type == "cuda"})
