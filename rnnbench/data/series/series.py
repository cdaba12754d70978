"""Series of numbers: their chronological split, their scaling, and windows on them.

P counts series, which stand one below the other in one array of N rows and D columns, of which V
are forecast. A window at time t reads `context` steps, t - context … t - 1, and its target is the
`horizon` steps t … t + horizon - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from rnnbench.contract import Batch, Data
from rnnbench.data.series.gaps import carry_forward, refuse_unknown
from rnnbench.errors import SeriesError

__all__ = ["SPLITS", "Centre", "Series", "Unit", "Windows", "carry_forward"]

SPLITS = ("train", "valid", "test")
Centre = Literal["last", "none"]


class Series:
    """One or more series of D columns, split in time and scaled by what their training parts show.

    Columns become z-scores by the mean and standard deviation of their observed training values.
    Where an input is missing the last observed value of its series stands in for it; a missing
    target stays NaN and is left out of loss and metrics.

    Args:
        values_ND: the columns, NaN where missing; series one below the other.
        ends: index after the last row of the training, validation and test part; (P, 3) for
            several series, each of which begins where the one before ends.
        season: rows in a season.
        target: column or columns to be forecast.
        known_NK: further inputs that are read as they are, such as the time of the year.
        ahead: columns that are known over the horizon too, and are read `horizon` steps ahead.
        names, columns: of the series and the columns, for messages.
        scaled: "each" series by its own mean and deviation, or "together".
        insample: whose rows the denominator of MASE is measured on at the test: the training
            part's, as at validation, or all that lie "before" the test.
        leading: what stands for values that are missing before the first observed one: they are
            refused, or the training "mean" does.
    Attributes:
        scaled_ND: z-scores, NaN where missing.
        inputs_NI: (N, D + K) z-scores with gaps filled, then the known columns.
        naive_PV: mean |z_t - z_{t - season}| of each target over the training part, where both
            are observed: the denominator of MASE. naive_at_test_PV: the same at the test.
    Raises:
        SeriesError: a column begins with a missing value, has no spread, or the training part is
            no longer than a season.
    Source of MASE: Hyndman & Koehler (2006), Int. J. Forecasting 22, section 3; the seasonal
    denominator as in Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 5.8.
    """

    def __init__(
        self,
        values_ND: np.ndarray,
        *,
        ends: tuple[int, int, int] | np.ndarray,
        season: int,
        target: int | Sequence[int] = 0,
        known_NK: np.ndarray | None = None,
        ahead: Sequence[int] = (),
        names: Sequence[str] = ("",),
        columns: Sequence[str] = (),
        scaled: Literal["each", "together"] = "each",
        insample: Literal["train", "before"] = "train",
        leading: Literal["refuse", "mean"] = "refuse",
    ) -> None:
        self.ends, self.ends_P3, self.season = ends, np.atleast_2d(np.asarray(ends)), season
        self.begin_P = np.concatenate([[0], self.ends_P3[:-1, 2]])
        self.names = tuple(names)
        self.columns = tuple(columns) or tuple(f"column {d}" for d in range(values_ND.shape[1]))
        self.target = (target,) if isinstance(target, int) else tuple(target)
        self.ahead, self.leading = tuple(ahead), leading
        if self.ends_P3[-1, 2] != len(values_ND) or len(self.names) != len(self.ends_P3):
            raise SeriesError(f"{len(values_ND)} rows of {len(self.names)} series: not {ends}")
        for name, begin, (train, valid, test) in self._parts():
            if not begin + season < train < valid < test:
                raise SeriesError(
                    f"{name}{test - begin} rows, season {season}: no split at {train - begin}, "
                    f"{valid - begin}, {test - begin}, since training needs more than a season"
                )
            gone = np.isnan(values_ND[begin])
            if leading == "refuse" and gone.any():
                raise SeriesError(
                    f"{name}{self.columns[int(gone.argmax())]} begins with a missing value: there "
                    "is nothing to carry on"
                )
        self.mean_PD, self.std_PD = self._moments(values_ND, scaled)
        of_N = np.repeat(np.arange(len(self.names)), self.ends_P3[:, 2] - self.begin_P)
        self.scaled_ND = values_ND.astype(np.float64)
        self.scaled_ND -= self.mean_PD[of_N]
        self.scaled_ND /= self.std_PD[of_N]
        self.scaled_ND = self.scaled_ND.astype(np.float32)
        filled_ND = carry_forward(self.scaled_ND, self.begin_P[of_N])
        known_NK = np.empty((len(values_ND), 0)) if known_NK is None else known_NK
        self.inputs_NI = np.concatenate([filled_ND, known_NK], 1, dtype=np.float32)
        all_targets = self.target == tuple(range(values_ND.shape[1]))
        self.target_NV = self.scaled_ND if all_targets else self.scaled_ND[:, self.target]
        self.naive_PV = self._naive_errors(0)
        self.naive_at_test_PV = self._naive_errors(1) if insample == "before" else self.naive_PV

    def _parts(self) -> list[tuple[str, int, list[int]]]:
        """Return what messages call each series, its first row, and the ends of its parts."""
        called = (f"series {name!r}: " if name else "" for name in self.names)
        return list(zip(called, self.begin_P.tolist(), self.ends_P3.tolist(), strict=True))

    def _moments(
        self, values_ND: np.ndarray, scaled: Literal["each", "together"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (P, D) of the observed training values."""
        parts = [(name, values_ND[begin:train]) for name, begin, (train, _, _) in self._parts()]
        if scaled == "together":
            parts = [("", np.concatenate([rows for _, rows in parts]))]
        means, stds = [], []
        for name, rows_RD in parts:
            unseen = np.isnan(rows_RD).all(0)
            if unseen.any():
                raise SeriesError(
                    f"{name}{self.columns[int(unseen.argmax())]} has no value in the training part"
                )
            mean_D, std_D = np.nanmean(rows_RD, 0), np.nanstd(rows_RD, 0)
            flat = ~(std_D > 1e-12 * np.abs(mean_D))
            if flat.any():
                raise SeriesError(
                    f"{name}{self.columns[int(flat.argmax())]} is constant over the training part "
                    "and cannot be scaled"
                )
            means.append(mean_D)
            stds.append(std_D)
        shape = (len(self.names), values_ND.shape[1])
        return np.broadcast_to(means, shape), np.broadcast_to(stds, shape)

    def _naive_errors(self, part: int) -> np.ndarray:
        """Return errors (P, V) of the seasonal naive forecast up to the end of a part."""
        errors = []
        for name, begin, ends in self._parts():
            z_RV = self.target_NV[begin : ends[part]].astype(np.float64)
            error_RV = np.abs(z_RV[self.season :] - z_RV[: -self.season])
            unpaired = np.isnan(error_RV).all(0)
            if unpaired.any():
                raise SeriesError(
                    f"{name}{self.columns[self.target[int(unpaired.argmax())]]} has no two values "
                    f"a season of {self.season} apart in the training part, so MASE has no scale"
                )
            errors.append(np.nanmean(error_RV, 0))
        return np.stack(errors)

    @property
    def width(self) -> int:
        """Return how many columns a model reads."""
        return self.inputs_NI.shape[1] + len(self.ahead)

    def tail(
        self,
        values_ND: np.ndarray,
        known_NK: np.ndarray | None,
        centre: Centre,
        *,
        context: int | None = None,
        horizon: int = 0,
        series: int = 0,
        moments: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Return inputs (1, T, I) of a user's rows, and what turns forecasts into the data's unit.

        The forecasts that it turns are (S, V). A missing value is the last one before it, in all
        rows that are there, as in training.

        Args:
            known_NK: as many rows, or those of the context and the horizon alone.
            context: T, the rows that a model reads, all by default; what lies before them fills
                missing values.
            horizon: the last so many rows hold no more than the columns that are known ahead.
            moments: mean and deviation of each column, of a series that is none of these.
        Raises:
            SeriesError: a column has no value, or none where there has to be one before the first
                row that is read.
        """
        context = len(values_ND) - horizon if context is None else context
        refuse_unknown(
            values_ND[: len(values_ND) - horizon],
            context,
            self.columns,
            begins_known=self.leading == "refuse",
        )
        mean_D, std_D = moments or (self.mean_PD[series], self.std_PD[series])
        filled_ND = carry_forward((values_ND - mean_D) / std_D, np.zeros(len(values_ND), int))
        filled_ND, steps = filled_ND[-(context + horizon) :], context
        if known_NK is not None:
            known_NK = known_NK[-(context + horizon) :]
        last_D = filled_ND[steps - 1] * (centre == "last")
        ahead_NA = filled_ND[:, self.ahead] - last_D[list(self.ahead)]
        parts = [filled_ND[:steps] - last_D, ahead_NA[len(ahead_NA) - steps :]]
        if known_NK is not None:
            parts.insert(1, known_NK[:steps])
        at = list(self.target)

        def restore(forecast_SV: np.ndarray) -> np.ndarray:
            return (forecast_SV + last_D[at]) * std_D[at] + mean_D[at]

        return np.concatenate(parts, 1).astype(np.float32)[None], restore

    def windows(
        self, split: str, context: int, horizon: int, centre: Centre, stride: int = 1
    ) -> Windows:
        """Return all windows whose whole target lies in a split; their context may begin before it.

        Args:
            stride: steps from a window of a series to its next.
        Raises:
            SeriesError: a held-out part is too short for one window, no training part is long
                enough, or the context is too short to show what is known ahead.
        """
        if self.ahead and context < horizon:
            raise SeriesError(
                f"columns known ahead are read {horizon} steps ahead within the context, which has "
                f"{context}: make it at least as long as the horizon.\n"
                f"  Set task.context={horizon} or more, or task.horizon={context} or less"
            )
        part, times = SPLITS.index(split), []
        short: tuple[str, int] | None = None
        for name, first, ends in self._parts():
            begin, end = (first, *ends)[part : part + 2]
            times.append(np.arange(max(begin, first + context), end - horizon + 1, stride))
            if not len(times[-1]):
                short = short or (name, end - begin)
        if short and (split != "train" or not any(map(len, times))):
            raise SeriesError(
                f"{short[0]}{split} has {short[1]} rows, too few for a context of {context} and a "
                f"horizon of {horizon}: make them smaller.\n"
                f"  {self._say_what_fits(context, horizon)}"
            )
        naive_PV = self.naive_at_test_PV if split == "test" else self.naive_PV
        return Windows(self, np.concatenate(times), context, horizon, centre, naive_PV)

    def _say_what_fits(self, context: int, horizon: int) -> str:
        """Say which of the two to lower, and how far, so that every split has a window."""
        train_P, valid_P, test_P = (self.ends_P3 - self.begin_P[:, None]).T
        held_out = int(np.minimum(valid_P - train_P, test_P - valid_P).min())
        # A window lies within training; of what is held out the target alone, as far as what
        # precedes it holds the context.
        longest = min(int(train_P.max()) - context, held_out, int(valid_P.min()) - context)
        if self.ahead:
            longest = min(longest, context)
        if longest >= 1:
            return f"Set task.horizon={longest} or lower, or give it more rows"
        widest = min(int(train_P.max()), int(valid_P.min())) - horizon
        if widest >= (horizon if self.ahead else 1) and held_out >= horizon:
            return f"Set task.context={widest} or lower, or give it more rows"
        return "Set both task.context and task.horizon lower, or give it more rows"


class Unit(NamedTuple):
    """The meaning of values in some windows.

    z = value + level, and in the data's unit z * std + mean.
    """

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
        """Return the times of up to `size` windows a batch; every window once."""
        n = len(self)
        index_W = np.arange(n) if rng is None else torch.randperm(n, generator=rng).numpy()
        return [self.times_W[index_W[i : i + size]] for i in range(0, n, size)]

    def batch(self, key: np.ndarray, rng: torch.Generator | None) -> Batch:
        """Return x (B, context, I) and y (B, horizon, V), NaN where the target is missing."""
        s, ahead = self.series, list(self.series.ahead)
        scaled = s.scaled_ND.shape[1]
        x_BTI = _copy_windows(s.inputs_NI, key - self.context, self.context)
        y_BSV = _copy_windows(s.target_NV, key, self.horizon)
        last_BD = x_BTI[:, -1, :scaled].copy()
        if ahead:
            # At most `horizon` rows beyond the context are new; a window is small, so all are cut.
            later_BTA = _copy_windows(s.inputs_NI, key - self.context + self.horizon, self.context)
            x_BTI = np.concatenate([x_BTI, later_BTA[:, :, ahead]], 2)
        if self.centre == "last":
            x_BTI[:, :, :scaled] -= last_BD[:, None]
            y_BSV -= last_BD[:, None, list(s.target)]
            if ahead:
                x_BTI[:, :, -len(ahead) :] -= last_BD[:, None, ahead]
        item_B = torch.from_numpy(key.astype(np.int64))
        return Batch(torch.from_numpy(x_BTI), torch.from_numpy(y_BSV), item_B=item_B)

    def unit(self, item_B: Tensor) -> Unit:
        """Return what the values of a batch mean, by its `item_B`."""
        s, key = self.series, item_B.cpu().numpy()
        of_B = np.searchsorted(s.ends_P3[:, 2], key, side="right")
        at = list(s.target)
        level_BV = self.level(key).astype(np.float64)
        mean_BV, std_BV = s.mean_PD[of_B][:, at], s.std_PD[of_B][:, at]
        parts = (mean_BV, std_BV, level_BV, self.naive_PV[of_B], of_B)
        return Unit(*(torch.from_numpy(np.ascontiguousarray(a)) for a in parts))

    def level(self, key: np.ndarray) -> np.ndarray:
        """Return (B, V): the z-scores that stand at 0 in the windows at some times."""
        last_BV = self.series.inputs_NI[key - 1][:, list(self.series.target)]
        return last_BV if self.centre == "last" else np.zeros_like(last_BV)


def _copy_windows(rows_NI: np.ndarray, first_B: np.ndarray, steps: int) -> np.ndarray:
    """Copy `steps` rows from each first one on: (B, steps, I)."""
    return sliding_window_view(rows_NI, steps, 0)[first_B].swapaxes(1, 2).copy()
