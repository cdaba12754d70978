"""Meters of forecasts. P counts series, V the values that are forecast at each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from rnnbench.contract import Batch, ItemScores, Meter, Prediction
from rnnbench.errors import EmptySplitError
from rnnbench.nn.distributions import Forecaster

__all__ = ["INTERVALS", "Forecasts"]

INTERVALS = (80, 90)  # per cent
LEAST_SCALE = 1e-6  # z-scores: a smaller in-sample error is what rounding leaves of none
NAMED = 5  # series without a scale that are named


class WindowUnit(Protocol):
    """The meaning of a batch's values; see `rnnbench.data.series.series.Unit`."""

    @property
    def mean_BV(self) -> Tensor: ...

    @property
    def std_BV(self) -> Tensor: ...

    @property
    def level_BV(self) -> Tensor: ...

    @property
    def naive_BV(self) -> Tensor: ...

    @property
    def series_B(self) -> Tensor: ...


class Forecasts(Meter):
    """Errors of forecasts made without seeing the target, over all steps and columns together.

    "mse", "mae": in z-scores. "mase": mean of |error| / in-sample error of the seasonal naive
    forecast of the same series and column; those that repeat themselves exactly have no such error
    and are left out, which `notes` says (NaN where all are). "smape": mean of
    200 |y - f| / (|y| + |f|) in the data's own unit, in per cent from 0 to 200. "rse":
    √(Σ (y - f)² / Σ (y - ȳ)²) over all z-scores. "corr": correlation of y and f within each series
    and column, averaged over those where y varies; 0 where f does not, and where no y varies.
    Of a distribution also "crps" in z-scores, and "coverage_80" and "coverage_90", the shares of
    y in its central intervals. A point forecast's CRPS is its absolute error.

    Missing (NaN) targets are left out, and every other target weighs the same.

    Args:
        unit: what the values of a batch mean, by `Batch.item_B`.
        series: P.
        distribution: of the forecasts; None for points.
        as_points: the forecasts to be measured are points though the task's are distributions:
            "crps" is measured, coverage is not.
        names: of the series, for `notes`.
        notes: what the task says of its figures, to which the meter's own are added.
    Source: MASE: Hyndman & Koehler (2006), Int. J. Forecasting 22, section 3; sMAPE:
    Makridakis (1993), Int. J. Forecasting 9(4); RSE and CORR: Lai et al. (2018),
    arXiv:1703.07015, section 4.2, there for one step; CRPS: Gneiting & Raftery (2007).
    """

    decodes = True

    def __init__(
        self,
        unit: Callable[[Tensor], WindowUnit],
        series: int = 1,
        distribution: Forecaster | None = None,
        as_points: bool = False,
        names: Sequence[str] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.unit, self.series = unit, series
        self.distribution, self.as_points = distribution, as_points
        self.names, self.notes = tuple(names), notes
        self.unscaled: set[int] = set()  # series of which a column has no scale
        self.totals: dict[str, float] = {}
        self.of_series: dict[str, Tensor] = {}  # the same sums, (P,)
        self._series_B: Tensor | None = None  # of the batch at hand
        self.moments_6PV: Tensor | None = None

    def update(self, batch: Batch, prediction: Prediction) -> None:
        f_BSV = prediction.decoded
        if f_BSV is None or batch.item_B is None:
            lacks = "decoded output" if f_BSV is None else "batches with item_B"
            raise ValueError(f"{type(self).__name__} needs {lacks}, and got none")
        if f_BSV.shape != batch.y.shape:
            raise ValueError(f"forecast {tuple(f_BSV.shape)} for y {tuple(batch.y.shape)}")
        unit = self.unit(batch.item_B)
        self._series_B = unit.series_B
        mask = (prediction.mask & ~batch.y.isnan()).cpu()
        y_BSV = torch.where(mask, batch.y.detach().cpu().double(), 0.0)
        f_BSV = f_BSV.detach().cpu().double()
        error = (f_BSV - y_BSV).abs()
        self._add("count", mask.double(), mask)
        self._add("squares", error.square(), mask)
        self._add("absolutes", error, mask)
        has_scale_B1V = (unit.naive_BV > LEAST_SCALE)[:, None]
        scaled = torch.where(has_scale_B1V, error / unit.naive_BV[:, None], 0.0)
        self._add("scaled", scaled, mask & has_scale_B1V)
        self._add("scaled_count", mask.double(), mask & has_scale_B1V)
        self.unscaled |= set(unit.series_B[~has_scale_B1V.flatten(1).all(1)].tolist())
        y_z, f_z = y_BSV + unit.level_BV[:, None], f_BSV + unit.level_BV[:, None]
        self._correlate(y_z, f_z, mask, unit.series_B)
        mean, std = unit.mean_BV[:, None], unit.std_BV[:, None]
        size = (y_z * std + mean).abs() + (f_z * std + mean).abs()
        self._add("shares", torch.where(size > 0, error * std / size, 0.0), mask)
        if self.distribution is not None and self.as_points:
            self._add("crps", error, mask)
        elif self.distribution is not None:
            self._score(self.distribution, prediction, y_BSV, mask)

    def _score(self, p: Forecaster, prediction: Prediction, y_BSV: Tensor, mask: Tensor) -> None:
        if prediction.decoded_out is None:
            raise ValueError(
                "forecasts are to be distributions, and the model said values alone: its "
                "`decoded` must give `out` as well"
            )
        out = prediction.decoded_out.detach().cpu().double()
        self._add("crps", p.crps(out, y_BSV), mask)
        for percent in INTERVALS:
            tail = round((100 - percent) / 200, 2)
            low, high = p.quantile(out, tail), p.quantile(out, round(1 - tail, 2))
            self._add(f"coverage_{percent}", ((low <= y_BSV) & (y_BSV <= high)).double(), mask)

    def _add(self, name: str, values: Tensor, mask: Tensor) -> None:
        of_rows = torch.where(mask, values, 0.0).double().flatten(1).sum(1)
        self.totals[name] = self.totals.get(name, 0.0) + float(of_rows.sum())
        if self.series > 1 and self._series_B is not None:
            sums = self.of_series.setdefault(name, torch.zeros(self.series, dtype=torch.float64))
            sums.index_add_(0, self._series_B.cpu(), of_rows)

    def _correlate(self, y: Tensor, f: Tensor, mask: Tensor, series_B: Tensor) -> None:
        """Add up n, Σy, Σf, Σy², Σf², Σyf of each series and column."""
        y, f = torch.where(mask, y, 0.0), torch.where(mask, f, 0.0)
        if self.moments_6PV is None:
            self.moments_6PV = torch.zeros(6, self.series, y.shape[-1], dtype=torch.float64)
        of_rows = (mask.double(), y, f, y * y, f * f, y * f)
        sums_6BV = torch.stack([values.sum(1) for values in of_rows])
        self.moments_6PV.index_add_(1, series_B, sums_6BV)

    def compute(self) -> dict[str, float]:
        count = self.totals.get("count", 0.0)
        if not count or self.moments_6PV is None:
            raise EmptySplitError(
                f"{type(self).__name__} saw no target: the split was empty or wholly masked"
            )
        n, sum_y, _, sum_yy, _, _ = self.moments_6PV.sum((1, 2)).tolist()
        spread = sum_yy - sum_y**2 / n
        values = {
            "mse": self.totals["squares"] / count,
            "mae": self.totals["absolutes"] / count,
            "mase": self._mean_scaled(),
            "smape": 200 * self.totals["shares"] / count,
            "rse": math.sqrt(self.totals["squares"] / spread) if spread > 0 else math.nan,
            "corr": self._correlation(self.moments_6PV),
        }
        extra = ("crps", *(f"coverage_{percent}" for percent in INTERVALS))
        return values | {name: self.totals[name] / count for name in extra if name in self.totals}

    def _mean_scaled(self) -> float:
        """Return MASE, and note which series it leaves out."""
        if self.unscaled:
            names = [repr(self.names[p]) if self.names else f"number {p + 1}"
                     for p in sorted(self.unscaled)]  # fmt: skip
            more = ", …" if len(names) > NAMED else ""
            which = f" ({', '.join(names[:NAMED])}{more})" if self.series > 1 else ""
            left_out = (
                f"mase leaves out what repeats itself exactly, season by season, in the training "
                f"part, for it has no scale there: in {len(names)} of {self.series} series{which}"
            )
            self.notes = tuple(dict.fromkeys((*self.notes, left_out)))
        count = self.totals["scaled_count"]
        return self.totals["scaled"] / count if count else math.nan

    def items(self, metric: str) -> ItemScores | None:
        """Return the errors of several series.

        The windows of one series overlap, so they are no items.
        """
        sums = {"mse": "squares", "mae": "absolutes", "mase": "scaled", "smape": "shares"}
        name = sums.get(metric, metric)
        if name not in self.of_series:
            return None
        count = "scaled_count" if name == "scaled" else "count"
        table = torch.stack([self.of_series[name], self.of_series[count]], 1)
        scale = 200.0 if metric == "smape" else 1.0
        return ItemScores("series", "ratio", table[table[:, 1] > 0].tolist(), scale)

    @staticmethod
    def _correlation(moments_6PV: Tensor) -> float:
        n, y, f, yy, ff, yf = moments_6PV.flatten(1)
        n = n.clamp(min=1)
        var_y, var_f, covariance = (
            yy / n - (y / n) ** 2,
            ff / n - (f / n) ** 2,
            yf / n - y * f / n**2,
        )
        varies = var_y > 1e-12 * yy / n  # less is what rounding leaves of a constant
        moves = varies & (var_f > 1e-12 * ff / n)
        if not varies.any():
            return 0.0
        r = torch.where(moves, covariance / (var_y * var_f).clamp(min=1e-300).sqrt(), 0.0)
        return float(r[varies].mean())
