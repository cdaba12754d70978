"""NoBackTrack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import setting
from rnnbench.nn.estimators.forward_mode import (
    DifferentiableStep,
    Gradients,
    Online,
    add,
    refuse_large,
)

EPSILON = 1e-7


@dataclass(frozen=True)
class NoBackTrack(Online):
    """An unbiased estimate of real-time recurrent learning with a scale for every unit.

    The influence J = ds/dθ is replaced by v wᵀ, whose mean is J. With e_i the i-th unit vector,
    w_i = ∂s_i/∂θ the i-th row of F_θ, and signs ν_i = ±1, each with probability ½:

    dL_t/dθ ≈ ∂L_t/∂θ + ((∂L_t/∂s_{t-1}) v) w   with v and w of t - 1, and then
    v ← ρ0 F_s v + Σ_i ν_i ρ_i e_i,   w ← w / ρ0 + Σ_i ν_i w_i / ρ_i,
    ρ0 = √(‖w‖ / ‖F_s v‖),   ρ_i = √(‖w_i‖ / ‖e_i‖), each norm with 1e-7 added.

    It differs from uoro in ρ_i: that takes one scale for all units. Every row of a batch has a
    pair and signs of its own. Here the rows w_i are formed at each step for any cell, which takes
    the time of S backward passes; what is carried is S + P numbers a row.

    Null value: none.

    Source: Ollivier, Tallec & Charpiat (2015), arXiv:1507.07680, the Euclidean algorithm (without
    the Kalman filter of its second part).
    """

    name: ClassVar[str] = "nobacktrack"

    largest: int = setting(
        20_000_000, "numbers of F_θ for one row, S·P, above which it is refused", low=1
    )

    def follow(self, step: DifferentiableStep, memory: dict[str, Any]) -> Gradients:
        gradients, ds_BS = step.direct()
        v_BS: Tensor | None = memory.get("v")
        old: dict[int, Tensor] = memory.get("w", {})
        if v_BS is None:
            refuse_large(self.name, step, self.largest)
        rows = step.influence()
        square_BS = sum((f_BSN.square().sum(2) for f_BSN in rows.values()),
                        torch.zeros_like(step.new_BS))  # fmt: skip
        rho_BS = ((square_BS.sqrt() + EPSILON) / (1 + EPSILON)).sqrt()
        nu_BS = torch.randint_like(step.new_BS, 2) * 2 - 1
        new_v_BS = nu_BS * rho_BS
        w = {k: torch.einsum("bs,bsn->bn", nu_BS / rho_BS, f_BSN) for k, f_BSN in rows.items()}
        if v_BS is not None and ds_BS is not None:
            weight_B = (ds_BS * v_BS).sum(1)
            moved_BS = step.pushed_forward(v_BS)
            norm_w_B1 = sum((w_BN.square().sum(1, keepdim=True) for w_BN in old.values()),
                            torch.zeros_like(v_BS[:, :1])).sqrt()  # fmt: skip
            norm_v_B1 = moved_BS.norm(dim=1, keepdim=True)
            rho0_B1 = ((norm_w_B1 + EPSILON) / (norm_v_B1 + EPSILON)).sqrt()
            new_v_BS = rho0_B1 * moved_BS + new_v_BS
            for k, w_BN in old.items():
                add(gradients, k, step.parameters[k], weight_B @ w_BN)
                kept_BN = w_BN / rho0_B1
                w[k] = kept_BN + w[k] if k in w else kept_BN
        memory["v"], memory["w"] = new_v_BS, w
        return gradients
