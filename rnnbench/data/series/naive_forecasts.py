"""Forecasts that cost nothing, and what they reach."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from rnnbench.contract import Meter, Prediction
from rnnbench.data.series.series import Windows

__all__ = ["naive_forecasts", "naive_scores"]

AT_ONCE = 2**19  # values that are forecast at once


def naive_forecasts(windows: Windows, times_B: np.ndarray) -> dict[str, torch.Tensor]:
    """Return forecasts (B, horizon, V) that cost nothing, shifted as the windows' targets are.

    "seasonal_naive": the value one season before, or the least number of seasons that lies before
    the window; missing values are carried forward. It is left out where a window begins within
    the first season of its series, so that nothing lies a season before it.
    "repeat_last": the last value read. "mean": the mean of the training part.
    """
    s = windows.series
    filled_NV = s.inputs_NI[:, : s.scaled_ND.shape[1]]
    at = list(s.target)
    step_S = np.arange(windows.horizon)
    level_B1V = windows.level(times_B)[:, None]
    forecasts = {}
    if has_season(windows):
        before_BS = times_B[:, None] + step_S - s.season * (step_S // s.season + 1)
        forecasts["seasonal_naive"] = filled_NV[before_BS][:, :, at] - level_B1V
    last_B1V = filled_NV[times_B - 1][:, None, at]
    forecasts["repeat_last"] = np.repeat(last_B1V - level_B1V, len(step_S), 1)
    forecasts["mean"] = np.repeat(-level_B1V, len(step_S), 1)
    return {name: torch.from_numpy(values) for name, values in forecasts.items()}


def has_season(windows: Windows) -> bool:
    """Tell whether a whole season of its series lies before every window."""
    s, times_W = windows.series, windows.times_W
    first_W = s.begin_P[np.searchsorted(s.ends_P3[:, 2], times_W, side="right")]
    return bool((times_W - first_W >= s.season).all())


def naive_scores(windows: Windows, meter: Callable[[], Meter]) -> dict[str, dict[str, float]]:
    """Measure the naive forecasts on these very windows, by the task's own meter."""
    meters: dict[str, Meter] = {}
    values = windows.horizon * len(windows.series.target)
    for key in windows.order(max(1, AT_ONCE // values), None):
        batch = windows.batch(key, None)
        mask = ~batch.y.isnan()
        for name, guess in naive_forecasts(windows, key).items():
            error = torch.where(mask, guess - batch.y, 0.0)
            prediction = Prediction(error.square(), mask, guess, guess)
            meters.setdefault(name, meter()).update(batch, prediction)
    return {name: m.compute() for name, m in meters.items()}
