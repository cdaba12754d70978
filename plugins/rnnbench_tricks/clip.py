"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from rnnbench.contract import Moment, Trick, setting


@dataclass(frozen=True)
class Clip(Trick):
    """Bound the gradient, so that one step cannot undo many.

    norm:  g <- g · min(1, limit / ‖g‖) with ‖g‖ over all parameters together
    value: every g_i <- clamp(g_i, -limit, limit)

    Null value: limit = inf.

    Source: Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, algorithm 1 (norm);
    Mikolov (2012), PhD thesis, section 3.2.2 (value).
    """

    null: ClassVar[Mapping[str, Any] | None] = {"limit": float("inf")}

    by: Literal["norm", "value"] = setting("norm", "bound the global norm, or every component")
    limit: float = setting(1.0, "largest norm or magnitude", low=0.0, search=(0.1, 10.0, "log"))

    def gradient(self, parameters: list[nn.Parameter], at: Moment) -> list[nn.Parameter]:
        if self.by == "norm":
            nn.utils.clip_grad_norm_(parameters, self.limit)
        else:
            nn.utils.clip_grad_value_(parameters, self.limit)
        return parameters
