"""Forecasting: a series, its chronological split and scaling, and windows on it as views.

A window at time t reads `context` steps, t - context … t - 1, and its target is the `horizon`
steps t … t + horizon - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from rnnbench.contract import Batch, Data, Meter, Prediction

__all__ = ["SPLITS", "Series", "Windows", "naive_forecasts", "naive_scores", "time_of_year"]

SPLITS = ("train", "valid", "test")
Centre = Literal["last", "none"]


class Series:
    """A series of D columns, split in time and scaled by what its training part shows.

    Columns become z-scores by the mean and standard deviation of their observed training values.
    Where an input is missing the last observed value stands in for it; a missing target stays
    NaN and is left out of loss and metrics.

    Args:
        values_ND: the columns, NaN where missing.
        ends: index after the last row of the training, validation and test part.
        season: rows in a season.
        target: column to be forecast.
        known_NK: further inputs that are read as they are, such as the time of the year.
    Attributes:
        scaled_ND: z-scores, NaN where missing.
        inputs_NI: (N, D + K) z-scores with gaps filled, then the known columns.
        naive_scale: mean |z_t - z_{t - season}| of the target over the training part, where both
            are observed: the denominator of MASE.
    Raises:
        ValueError: a column begins with a missing value, has no spread, or the training part is
            no longer than a season.
    Source of MASE: Hyndman & Koehler (2006), Int. J. Forecasting 22, section 3; the seasonal
    denominator as in Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 5.8.
    """

    def __init__(
        self,
        values_ND: np.ndarray,
        *,
        ends: tuple[int, int, int],
        season: int,
        target: int = 0,
        known_NK: np.ndarray | None = None,
    ) -> None:
        if ends[2] != len(values_ND) or not season < ends[0] < ends[1] < ends[2]:
            raise ValueError(f"{len(values_ND)} rows, season {season}: no split at {ends}")
        if np.isnan(values_ND[0]).any():
            raise ValueError("a column begins with a missing value: there is nothing to carry on")
        train_ND = values_ND[: ends[0]]
        self.mean_D, self.std_D = np.nanmean(train_ND, 0), np.nanstd(train_ND, 0)
        if not (self.std_D > 0).all():
            raise ValueError("a column is constant over the training part and cannot be scaled")
        self.ends, self.season, self.target = ends, season, target
        self.scaled_ND = ((values_ND - self.mean_D) / self.std_D).astype(np.float32)
        known_NK = np.empty((len(values_ND), 0)) if known_NK is None else known_NK
        self.inputs_NI = np.concatenate([_carry_forward(self.scaled_ND), known_NK], 1)
        self.inputs_NI = self.inputs_NI.astype(np.float32)
        z_N = self.scaled_ND[: ends[0], target].astype(np.float64)
        self.naive_scale = float(np.nanmean(np.abs(z_N[season:] - z_N[:-season])))

    def tail(
        self, values_ND: np.ndarray, known_NK: np.ndarray | None, centre: Centre
    ) -> tuple[np.ndarray, float]:
        """Inputs (1, N, D + K) of rows that a user gives, and what their target was shifted by.

        Raises:
            ValueError: a column begins with a missing value.
        """
        if np.isnan(values_ND[0]).any():
            raise ValueError("a column begins with a missing value: there is nothing to carry on")
        scaled_ND = _carry_forward((values_ND - self.mean_D) / self.std_D)
        last_D = scaled_ND[-1].copy() if centre == "last" else np.zeros_like(scaled_ND[-1])
        parts = [scaled_ND - last_D, *([] if known_NK is None else [known_NK])]
        return np.concatenate(parts, 1).astype(np.float32)[None], float(last_D[self.target])

    def windows(self, split: str, context: int, horizon: int, centre: Centre) -> Windows:
        """All windows whose whole target lies in a split; their context may begin before it.

        Raises:
            ValueError: the split is too short for one window, or unknown.
        """
        part = SPLITS.index(split)
        begin, end = (0, *self.ends)[part : part + 2]
        times_W = np.arange(max(begin, context), end - horizon + 1)
        if not len(times_W):
            raise ValueError(
                f"{split} has {end - begin} rows, too few for a context of {context} and a "
                f"horizon of {horizon}: make them smaller"
            )
        return Windows(self, times_W, context, horizon, centre)


class Windows(Data):
    """The windows of one split. A batch copies its own windows only, and an epoch nothing.

    With `centre="last"` the scaled columns of a window, and its target, are shifted so that the
    last value read is 0: a trend then looks alike wherever it stands, and errors are what they
    were, because forecast and truth move together.
    """

    def __init__(
        self, series: Series, times_W: np.ndarray, context: int, horizon: int, centre: Centre
    ) -> None:
        self.series, self.times_W = series, times_W
        self.context, self.horizon, self.centre = context, horizon, centre

    def __len__(self) -> int:
        return len(self.times_W)

    def order(self, size: int, rng: torch.Generator | None) -> list[np.ndarray]:
        """Times of up to `size` windows; every window once."""
        n = len(self)
        index_W = np.arange(n) if rng is None else torch.randperm(n, generator=rng).numpy()
        return [self.times_W[index_W[i : i + size]] for i in range(0, n, size)]

    def batch(self, key: np.ndarray, rng: torch.Generator | None) -> Batch:
        """x (B, context, D + K) and y (B, horizon, 1), which is NaN where the target is missing."""
        s = self.series
        x_BTI = sliding_window_view(s.inputs_NI, self.context, 0)[key - self.context]
        x_BTI = x_BTI.swapaxes(1, 2).copy()
        y_BS = sliding_window_view(s.scaled_ND[:, s.target], self.horizon)[key].copy()
        if self.centre == "last":
            last_BD = x_BTI[:, -1, : s.scaled_ND.shape[1]].copy()
            x_BTI[:, :, : s.scaled_ND.shape[1]] -= last_BD[:, None]
            y_BS -= last_BD[:, s.target, None]
        return Batch(torch.from_numpy(x_BTI), torch.from_numpy(y_BS)[:, :, None])


def naive_forecasts(windows: Windows, times_B: np.ndarray) -> dict[str, torch.Tensor]:
    """(B, horizon, 1) of the two forecasts that cost nothing, shifted as the windows' targets are.

    "repeat_last": the last value read. "seasonal_naive": the value one season before, or the
    least number of seasons that lies before the window; missing values are carried forward.
    Raises:
        ValueError: a window begins within the first season, so nothing lies a season before it.
    """
    if times_B.min() < windows.series.season:
        raise ValueError("no seasonal naive forecast for windows in the first season")
    s = windows.series
    filled_N = s.inputs_NI[:, s.target]
    last_B1 = filled_N[times_B - 1][:, None]
    step_S = np.arange(windows.horizon)
    seasonal_BS = filled_N[times_B[:, None] + step_S - s.season * (step_S // s.season + 1)]
    shift_B1 = last_B1 if windows.centre == "last" else np.zeros_like(last_B1)
    forecasts = {"seasonal_naive": seasonal_BS, "repeat_last": np.repeat(last_B1, len(step_S), 1)}
    return {k: torch.from_numpy(v - shift_B1)[:, :, None] for k, v in forecasts.items()}


def naive_scores(windows: Windows, meter: Callable[[], Meter]) -> dict[str, dict[str, float]]:
    """What the naive forecasts reach on these very windows, by the task's own meter.

    {} where some windows begin within the first season (part of the training split may).
    """
    if windows.times_W.min() < windows.series.season:
        return {}
    meters = {"seasonal_naive": meter(), "repeat_last": meter()}
    for key in windows.order(1024, None):
        batch = windows.batch(key, None)
        for name, guess in naive_forecasts(windows, key).items():
            mask = ~batch.y.isnan()
            error = torch.where(mask, guess - batch.y, 0.0)
            meters[name].update(batch, Prediction(error.square(), mask, guess, guess))
    return {name: m.compute() for name, m in meters.items()}


def _carry_forward(values_ND: np.ndarray) -> np.ndarray:
    """Each missing value replaced by the last observed one of its column."""
    row_ND = np.where(np.isnan(values_ND), 0, np.arange(len(values_ND))[:, None])
    return np.take_along_axis(values_ND, np.maximum.accumulate(row_ND, 0), 0)


def time_of_year(day_of_year_N: Sequence[int] | np.ndarray) -> np.ndarray:
    """(N, 2): sine and cosine of the angle that the day stands for, with 365.25 days a turn."""
    angle_N = 2 * np.pi * np.asarray(day_of_year_N) / 365.25
    return np.stack([np.sin(angle_N), np.cos(angle_N)], 1)
