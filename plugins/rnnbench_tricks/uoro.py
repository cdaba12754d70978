"""Unbiased online recurrent optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.nn.estimators.forward_mode import DifferentiableStep, Gradients, Online, add

EPSILON = 1e-7


@dataclass(frozen=True)
class UORO(Online):
    """An unbiased estimate of real-time recurrent learning at the cost of a few backward passes.

    The influence J = ds/dθ is replaced by a product of two vectors, s̃ θ̃ᵀ, whose mean is J:

    dL_t/dθ ≈ ∂L_t/∂θ + ((∂L_t/∂s_{t-1}) s̃) θ̃   with s̃ and θ̃ of t - 1, and then
    s̃ ← ρ0 F_s s̃ + ρ1 ν,   θ̃ ← θ̃ / ρ0 + νᵀF_θ / ρ1,   ν_i = ±1, each with probability ½,
    ρ0 = √((‖θ̃‖ + ε) / (‖F_s s̃‖ + ε)),   ρ1 = √((‖νᵀF_θ‖ + ε) / (‖ν‖ + ε)),   ε = 1e-7.

    Any ρ0, ρ1 > 0 leave it unbiased; these make the variance least. Every row of a batch has a
    pair of its own, and signs of its own; B rows take the time of B backward passes.

    Null value: none.

    Source: Tallec & Ollivier (2017), arXiv:1702.05043, algorithm 1 and section 3.
    """

    name: ClassVar[str] = "uoro"

    def follow(self, step: DifferentiableStep, memory: dict[str, Any]) -> Gradients:
        gradients, ds_BS = step.direct()
        s_BS: Tensor | None = memory.get("s")
        old: dict[int, Tensor] = memory.get("theta", {})
        nu_BS = torch.randint_like(step.new_BS, 2) * 2 - 1
        fresh = {k: v[0] for k, v in step.pulled_back(nu_BS[None]).items()}
        rho1_B1 = ratio(norm(fresh, nu_BS), nu_BS.norm(dim=1, keepdim=True))
        new_s_BS = rho1_B1 * nu_BS
        theta = {k: v_BN / rho1_B1 for k, v_BN in fresh.items()}
        if s_BS is not None and ds_BS is not None:
            weight_B = (ds_BS * s_BS).sum(1)
            moved_BS = step.pushed_forward(s_BS)
            rho0_B1 = ratio(norm(old, s_BS), moved_BS.norm(dim=1, keepdim=True))
            new_s_BS = rho0_B1 * moved_BS + new_s_BS
            for k, v_BN in old.items():
                add(gradients, k, step.parameters[k], weight_B @ v_BN)
                kept_BN = v_BN / rho0_B1
                theta[k] = kept_BN + theta[k] if k in theta else kept_BN
        memory["s"], memory["theta"] = new_s_BS, theta
        return gradients


def norm(parts: dict[int, Tensor], like: Tensor) -> Tensor:
    """Return the norm of each row over all parts together: (B, 1)."""
    squares = [v_BN.square().sum(1, keepdim=True) for v_BN in parts.values()]
    return torch.stack(squares).sum(0).sqrt() if squares else like.new_zeros(len(like), 1)


def ratio(a_B1: Tensor, b_B1: Tensor) -> Tensor:
    return ((a_B1 + EPSILON) / (b_B1 + EPSILON)).sqrt()
