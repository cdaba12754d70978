"""Forecasting the yearly number of sunspots."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from rnnbench.contract import Port, Source, setting
from rnnbench.data import Series, fetch
from rnnbench.data.tasks.forecasting import Forecast

_FILE = "statsmodels/datasets/sunspots/sunspots.csv"
_SUNSPOTS = Source(
    name="sunspots",
    origin="package:statsmodels",
    files={_FILE: "f67889b1d9002cd5227f0e0ef54e35b419cdd85a31279adef6f73fb41e5c0a9b"},
    licence="public domain",
    citation="NOAA National Geophysical Data Center, yearly mean sunspot numbers 1700 to 2008",
)
_FIRST_YEAR = {"valid": 1900, "test": 1950}
_CYCLE = 11


@dataclass(frozen=True)
class Sunspots(Forecast):
    """Forecast a cycle of yearly sunspot numbers from the two before it.

    309 years from 1700 to 2008, none missing. Split in time: training to 1899 (200 years),
    validation 1900 to 1949 (50), test from 1950 (59). Values are z-scores by the mean and
    deviation of the training part. Every window whose whole target lies in a split is one item
    of it; its context may begin before the split.

    Metrics are those of free-running forecasts, over all horizons together, in z-scores; MASE
    divides by the mean absolute difference over a cycle of 11 years within the training part.
    Baselines: the value a cycle before, the last value, the training part's mean.

    Source: NOAA, as in statsmodels; a classic since Yule (1927), Phil. Trans. R. Soc. A 226.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 3e-3,
        "budget.steps": 300,
        "budget.validate_every": 25,
    }

    context: int = setting(22, "years that are read", unit="steps", low=1)
    horizon: int = setting(11, "years that are forecast", unit="steps", low=1)
    centre: Literal["last", "none"] = setting("none", "what value of a window becomes zero")

    @property
    def source(self) -> Port:
        return Port(width=1, longest=self.context)

    def sources(self) -> tuple[Source, ...]:
        return (_SUNSPOTS,)

    @cached_property
    def series(self) -> Series:
        with (fetch(_SUNSPOTS) / _FILE).open(newline="") as f:
            rows = list(csv.DictReader(f))
        values_N1, _ = self.table(rows)
        ends = [sum(int(row["YEAR"]) < year for row in rows) for year in _FIRST_YEAR.values()]
        return Series(
            values_N1, ends=(ends[0], ends[1], len(rows)), season=_CYCLE, columns=("SUNACTIVITY",)
        )

    def table(self, rows: Sequence[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray | None]:
        return np.array([[float(row["SUNACTIVITY"] or "nan")] for row in rows]), None
