"""DLinear: a linear map of the trend and one of what is left, shared by all series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Task, setting
from rnnbench.nn.direct_forecast import AtOnce


class DLinearModel(AtOnce):
    """The model of `DLinear`. Each parameter of a distribution has maps of its own."""

    def __init__(self, architecture: DLinear, task: Task):
        super().__init__(architecture.name, task)
        self.kernel = architecture.kernel
        per_value = task.target.outputs // task.target.width
        self.seasonal = nn.Linear(self.context, self.horizon * per_value)
        self.trend = nn.Linear(self.context, self.horizon * per_value)

    def ahead(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        x_BVT = x_BTD[..., self.past].transpose(1, 2)
        trend_BVT = moving_average(x_BVT, self.kernel)
        out_BVN = self.seasonal(x_BVT - trend_BVT) + self.trend(trend_BVT)
        out_BSPV = out_BVN.unflatten(-1, (-1, self.horizon)).permute(0, 3, 2, 1)
        return out_BSPV.flatten(2), x_BVT.flatten(1)


def moving_average(x_BVT: Tensor, kernel: int) -> Tensor:
    """Return the mean of `kernel` steps about each; the first and last steps are repeated."""
    before = (kernel - 1) // 2
    padded = F.pad(x_BVT, (before, kernel - 1 - before), mode="replicate")
    return F.avg_pool1d(padded, kernel, stride=1)


@dataclass(frozen=True)
class DLinear(Architecture):
    """Decomposition and two linear maps: no recurrence, and hard to beat.

    X_t = moving average of X over `kernel` steps (ends repeated),  X_s = X - X_t
    ŷ = W_s X_s + b_s + W_t X_t + b_t,   W: horizon × context, the same for all series

    It reads the past of what is forecast, and no other column. All steps of the horizon are
    forecast at once.

    Source: Zeng et al. (2023), Are transformers effective for time series forecasting?,
    arXiv:2205.13504, section 4.
    """

    name: ClassVar[str] = "dlinear"
    tiny: ClassVar[Mapping[str, Any]] = {"kernel": 3}

    kernel: int = setting(25, "steps of the moving average", unit="steps", low=1)

    def model(self, task: Task) -> nn.Module:
        return DLinearModel(self, task)
