"""Forecasting the carbon dioxide of the air above Mauna Loa."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from rnnbench.contract import Port, Source, setting
from rnnbench.data import Series, fetch, time_of_year
from rnnbench.data.tasks.forecasting import Forecast

_FILE = "statsmodels/datasets/co2/co2.csv"
_CO2 = Source(
    name="co2",
    origin="package:statsmodels",
    files={_FILE: "16695fa2786e53414e5a6b54767a3fdf5de99cfbc68617f69d1362d92776a92f"},
    licence="public domain",
    citation="Keeling & Whorf (2004), Atmospheric CO2 from continuous air samples at Mauna Loa",
)
_FIRST_YEAR = {"valid": 1988, "test": 1995}
_SEASON = 52


@dataclass(frozen=True)
class CO2(Forecast):
    """Forecast the weekly carbon dioxide above Mauna Loa from its past.

    2,284 weeks from March 1958 to December 2001, of which 59 are missing. Split in time:
    training to the end of 1987 (1,553 weeks), validation 1988 to 1994 (366), test from 1995
    (365). Values are z-scores by the mean and deviation of the training part. A missing input is
    the last value before it; a missing target counts neither in the loss nor in a metric. Sine
    and cosine of the time of year are read as well (`calendar`).
    Every window whose whole target lies in a split is one item of it, its context may begin
    before the split. Windows are centred on their last value (`centre`), since the series rises
    beyond all that training saw; errors are the same either way, and a decoder that starts from
    zero starts from the last value.

    Metrics are those of free-running forecasts, over all horizons together, in z-scores; MASE
    divides by the mean absolute difference over a season of 52 weeks within the training part.
    Baselines: the value a season before, and the last value.

    Source: Keeling & Whorf (2004), as in statsmodels; MASE: Hyndman & Koehler (2006),
    Int. J. Forecasting 22, section 3.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 3e-3,
        "budget.steps": 600,
        "budget.validate_every": 50,
    }

    context: int = setting(52, "weeks that are read", unit="steps", low=1)
    horizon: int = setting(26, "weeks that are forecast", unit="steps", low=1)
    centre: Literal["last", "none"] = setting("last", "what value of a window becomes zero")
    calendar: bool = setting(True, "read sine and cosine of the time of year as well")

    @property
    def source(self) -> Port:
        return Port(width=3 if self.calendar else 1, longest=self.context)

    def sources(self) -> tuple[Source, ...]:
        return (_CO2,)

    @cached_property
    def series(self) -> Series:
        with (fetch(_CO2) / _FILE).open(newline="") as f:
            rows = list(csv.DictReader(f))
        values_N1, known_N2 = self.table(rows)
        ends = [sum(_day(row).year < year for row in rows) for year in _FIRST_YEAR.values()]
        return Series(
            values_N1, ends=(ends[0], ends[1], len(rows)), season=_SEASON, known_NK=known_N2
        )

    def table(self, rows: Sequence[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray | None]:
        values_N1 = np.array([[float(row["co2"] or "nan")] for row in rows])
        if not self.calendar:
            return values_N1, None
        return values_N1, time_of_year([_day(row).timetuple().tm_yday for row in rows])


def _day(row: Mapping[str, str]) -> datetime:
    return datetime.strptime(row["date"], "%Y%m%d")
