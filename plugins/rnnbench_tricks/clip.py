"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnbench.contract import Moment, Trick, setting

SMALLEST_NORM = 1e-3  # ε of adaptive clipping: weights that are 0 at first must be able to grow


@dataclass(frozen=True)
class Clip(Trick):
    """Bound the gradient, so that one step cannot undo many.

    norm:  g <- g · min(1, limit / ‖g‖) with ‖g‖ over all parameters together
    value: every g_i <- clamp(g_i, -limit, limit)
    layer: as norm, but every parameter tensor by itself
    adaptive: g_u <- g_u · min(1, limit · max(‖w_u‖, 10⁻³) / ‖g_u‖) for every unit u, that is every
        row of a matrix (all that is beyond the first dimension), and a vector as a whole. The
        paper leaves the last layer out; here it is clipped as the others are.

    Null value: limit = inf.

    Source: Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, algorithm 1 (norm);
    Mikolov (2012), PhD thesis, section 3.2.2 (value); Brock et al. (2021), arXiv:2102.06171,
    eq. 3 (adaptive).
    """

    null: ClassVar[Mapping[str, Any] | None] = {"limit": float("inf")}

    by: Literal["norm", "value", "layer", "adaptive"] = setting(
        "norm", "bound the global norm, every component, every tensor's norm, or every unit's"
    )
    limit: float = setting(
        1.0, "largest norm or magnitude; of adaptive the largest share of the weights' norm",
        low=0.0, search=(0.1, 10.0, "log"),
    )  # fmt: skip

    def gradient(self, parameters: list[nn.Parameter], at: Moment) -> list[nn.Parameter]:
        if self.by == "norm":
            nn.utils.clip_grad_norm_(parameters, self.limit)
        elif self.by == "value":
            nn.utils.clip_grad_value_(parameters, self.limit)
        else:
            for p in parameters:
                if self.by == "layer":
                    nn.utils.clip_grad_norm_(p, self.limit)
                else:
                    clip_units(p, self.limit)
        return parameters


@torch.no_grad()
def clip_units(p: nn.Parameter, limit: float) -> None:
    """Bound every unit's gradient by the norm of the unit's weights."""
    assert p.grad is not None
    largest = limit * unit_norms(p).clamp(min=SMALLEST_NORM)
    norms = unit_norms(p.grad)
    p.grad.mul_(torch.where(norms > largest, largest / norms, 1.0))


def unit_norms(p: Tensor) -> Tensor:
    """Return the norm of every row, or of a vector as a whole; it broadcasts to p's shape."""
    over = tuple(range(1, p.dim())) if p.dim() > 1 else None
    return torch.linalg.vector_norm(p, dim=over, keepdim=p.dim() > 1)
