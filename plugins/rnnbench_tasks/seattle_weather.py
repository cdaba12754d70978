"""Forecasting the daily weather of Seattle."""

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

_FILE = "vega_datasets/_data/seattle-weather.csv"
_WEATHER = Source(
    name="vega_datasets",
    origin="wheel:vega_datasets==0.9.0",
    files={_FILE: "62f0609f787158128aa2bd102967173a4953122dd4f872bf1d502cae1037df0b"},
    sha256="3d7c63917be6ca9b154b565f4779a31fedce57b01b5b9d99d8a34a7608062a1d",
    size=210_822,
    licence="BSD-3-Clause (the observations: public domain)",
    citation="NOAA National Centers for Environmental Information, Seattle 2012 to 2015",
)
_COLUMNS = ("temp_max", "temp_min", "precipitation", "wind")
_FIRST_YEAR = {"valid": 2014, "test": 2015}
_SEASON = 365


@dataclass(frozen=True)
class SeattleWeather(Forecast):
    """Forecast a week of Seattle's weather from the days before.

    1,461 days from 2012 to 2015 with the highest and lowest temperature (degrees Celsius),
    precipitation (mm) and wind (m/s), none missing. Split by whole years, so that each part has
    every season: training 2012 and 2013 (731 days), validation 2014, test 2015 (365 each). All
    four columns are read, as z-scores by the mean and deviation of the training part, with sine
    and cosine of the time of year (`calendar`); one of them (`target`) is forecast. Every window
    whose whole target lies in a split is one item of it; its context may begin before the split.
    The weather columns of a window are centred on their last value (`centre`), so a decoder that
    starts from zero starts from the last value; errors are the same either way.

    Metrics are those of free-running forecasts, over all horizons together, in z-scores; MASE
    divides by the mean absolute difference over 365 days within the training part.
    Baselines: the value 365 days before, and the last value.

    Source: NOAA, as in vega_datasets 0.9.0; MASE: Hyndman & Koehler (2006), Int. J. Forecasting
    22, section 3.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "budget.steps": 300,
        "budget.validate_every": 25,
    }

    target_column: Literal["temp_max", "temp_min", "precipitation", "wind"] = setting(
        "temp_max", "the column that is forecast"
    )
    context: int = setting(14, "days that are read", unit="steps", low=1)
    horizon: int = setting(7, "days that are forecast", unit="steps", low=1)
    centre: Literal["last", "none"] = setting("last", "what value of a window becomes zero")
    calendar: bool = setting(True, "read sine and cosine of the time of year as well")

    @property
    def source(self) -> Port:
        return Port(width=len(_COLUMNS) + (2 if self.calendar else 0), longest=self.context)

    def sources(self) -> tuple[Source, ...]:
        return (_WEATHER,)

    @cached_property
    def series(self) -> Series:
        with (fetch(_WEATHER) / _FILE).open(newline="") as f:
            rows = list(csv.DictReader(f))
        values_ND, known_N2 = self.table(rows)
        ends = [sum(_day(row).year < year for row in rows) for year in _FIRST_YEAR.values()]
        return Series(
            values_ND,
            ends=(ends[0], ends[1], len(rows)),
            season=_SEASON,
            target=_COLUMNS.index(self.target_column),
            known_NK=known_N2,
        )

    def table(self, rows: Sequence[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray | None]:
        values_ND = np.array([[float(row[c] or "nan") for c in _COLUMNS] for row in rows])
        if not self.calendar:
            return values_ND, None
        return values_ND, time_of_year([_day(row).timetuple().tm_yday for row in rows])


def _day(row: Mapping[str, str]) -> datetime:
    return datetime.strptime(row["date"], "%Y/%m/%d")
