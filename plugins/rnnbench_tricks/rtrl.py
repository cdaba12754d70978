"""Real-time recurrent learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract import setting
from rnnbench.nn.estimators.forward_mode import (
    DifferentiableStep,
    Gradients,
    Online,
    add,
    refuse_large,
)


@dataclass(frozen=True)
class RTRL(Online):
    """The exact gradient, carried forwards in time, so that no past has to be kept.

    J_t = F_s J_{t-1} + F_θ,   dL_t/dθ = ∂L_t/∂θ + (∂L_t/∂s_{t-1}) J_{t-1},
    F_s = ∂s_t/∂s_{t-1},   F_θ = ∂s_t/∂θ with s_{t-1} fixed.

    J is kept for every row of a batch and every parameter that the state depends on, from the
    stream's beginning: S·P numbers a row for a state of S numbers, and S²·P products a step.
    While parameters stay as they are, its gradient is that of back-propagation through the whole
    past; after an update, what J says of earlier steps holds for the parameters of then.

    Null value: none.

    Source: Williams & Zipser (1989), A learning algorithm for continually running fully recurrent
    neural networks, Neural Computation 1(2), 270-280.
    """

    name: ClassVar[str] = "rtrl"

    largest: int = setting(
        20_000_000, "numbers of J for one row, S·P, above which it is refused", low=1
    )

    def follow(self, step: DifferentiableStep, memory: dict[str, Any]) -> Gradients:
        gradients, ds_BS = step.direct()
        influence: dict[int, torch.Tensor] = memory.get("influence", {})
        for k, j_BSN in influence.items():
            add(gradients, k, step.parameters[k], torch.einsum("bs,bsn->n", ds_BS, j_BSN))
        if not influence:
            refuse_large(self.name, step, self.largest)
        fresh = step.influence()
        f_BSS = step.transition() if influence else None
        if f_BSS is not None:
            for k, j_BSN in influence.items():
                moved = f_BSS @ j_BSN
                fresh[k] = moved + fresh[k] if k in fresh else moved
        memory["influence"] = fresh
        return gradients
