"""Windows on series, as views: a batch copies its own windows only.

A window at time t reads `context` steps, t - context … t - 1, and its target is the `horizon`
steps t … t + horizon - 1. V columns are forecast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from rnnbench.contract import Batch, Data

if TYPE_CHECKING:
    from rnnbench.data.series.series import Series

__all__ = ["Centre", "Unit", "Windows"]

Centre = Literal["last", "none"]


class Unit(NamedTuple):
    """What the values of some windows mean: z = value + level, and in the data's unit
    z * std + mean."""

    mean_BV: Tensor
    std_BV: Tensor
    level_BV: Tensor
    naive_BV: Tensor  # of MASE, in z-scores: the in-sample error of the seasonal naive forecast
    series_B: Tensor  # which series


class Windows(Data):
    """The windows of one split. A batch copies its own windows only, and an epoch nothing.

    With `centre="last"` the scaled columns of a window, and its target, are shifted so that the
    last value read is 0: a trend then looks alike wherever it stands, and errors are what they
    were, because forecast and truth move together.
    """

    def __init__(
        self,
        series: Series,
        times_W: np.ndarray,
        context: int,
        horizon: int,
        centre: Centre,
        naive_PV: np.ndarray,
    ) -> None:
        self.series, self.times_W, self.naive_PV = series, times_W, naive_PV
        self.context, self.horizon, self.centre = context, horizon, centre

    def __len__(self) -> int:
        return len(self.times_W)

    def order(self, size: int, rng: torch.Generator | None) -> list[np.ndarray]:
        """Times of up to `size` windows; every window once."""
        n = len(self)
        index_W = np.arange(n) if rng is None else torch.randperm(n, generator=rng).numpy()
        return [self.times_W[index_W[i : i + size]] for i in range(0, n, size)]

    def batch(self, key: np.ndarray, rng: torch.Generator | None) -> Batch:
        """x (B, context, I) and y (B, horizon, V), which is NaN where the target is missing."""
        s, ahead = self.series, list(self.series.ahead)
        scaled = s.scaled_ND.shape[1]
        x_BTI = _cut(s.inputs_NI, key - self.context, self.context)
        y_BSV = _cut(s.target_NV, key, self.horizon)
        last_BD = x_BTI[:, -1, :scaled].copy()
        if ahead:
            # At most `horizon` rows beyond the context are new; a window is small, so all are cut.
            later_BTA = _cut(s.inputs_NI, key - self.context + self.horizon, self.context)
            x_BTI = np.concatenate([x_BTI, later_BTA[:, :, ahead]], 2)
        if self.centre == "last":
            x_BTI[:, :, :scaled] -= last_BD[:, None]
            y_BSV -= last_BD[:, None, list(s.target)]
            if ahead:
                x_BTI[:, :, -len(ahead) :] -= last_BD[:, None, ahead]
        item_B = torch.from_numpy(key.astype(np.int64))
        return Batch(torch.from_numpy(x_BTI), torch.from_numpy(y_BSV), item_B=item_B)

    def unit(self, item_B: Tensor) -> Unit:
        """What the values of a batch mean, by its `item_B`."""
        s, key = self.series, item_B.cpu().numpy()
        of_B = np.searchsorted(s.ends_P3[:, 2], key, side="right")
        at = list(s.target)
        level_BV = self.level(key).astype(np.float64)
        mean_BV, std_BV = s.mean_PD[of_B][:, at], s.std_PD[of_B][:, at]
        found = (mean_BV, std_BV, level_BV, self.naive_PV[of_B], of_B)
        return Unit(*(torch.from_numpy(np.ascontiguousarray(a)) for a in found))

    def level(self, key: np.ndarray) -> np.ndarray:
        """(B, V): the z-scores that stand at 0 in the windows at some times."""
        last_BV = self.series.inputs_NI[key - 1][:, list(self.series.target)]
        return last_BV if self.centre == "last" else np.zeros_like(last_BV)


def _cut(rows_NI: np.ndarray, first_B: np.ndarray, steps: int) -> np.ndarray:
    """(B, steps, I): a copy of `steps` rows from each first one on."""
    return sliding_window_view(rows_NI, steps, 0)[first_B].swapaxes(1, 2).copy()
