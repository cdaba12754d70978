"""Forecasting a user's own series, from a CSV or Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from rnnbench.contract import Answers, Batch, Source, setting
from rnnbench.data import DataError, Series, own_files, prepare
from rnnbench.data.series.calendar_features import CALENDAR
from rnnbench.data.series.cut_points import cut_points
from rnnbench.data.series.number_cells import THOUSANDS
from rnnbench.data.series.regular_steps import Spaced, TimeStep, find_step, spaced
from rnnbench.data.series.repeated_times import without_repeats
from rnnbench.data.series.table_files import read_tables
from rnnbench.data.series.table_summary import summarise, write_clocks, write_names
from rnnbench.data.series.tables import Table, TableFormat, is_parquet
from rnnbench.data.series.time_formats import TimeReader
from rnnbench.data.series.time_zones import read_zone
from rnnbench.data.tasks.forecasting import Forecast
from rnnbench_tasks._csv_answers import TableAnswers, known_columns, writer_of

_TABLE = "statsmodels/datasets/sunspots/sunspots.csv"

MOST_SECONDS = 40 * 86400  # of a step: more are taken for milliseconds


@dataclass(frozen=True, kw_only=True)
class CSVForecast(Forecast):
    """Forecast your own series, from a CSV or Parquet file with a column of times.

    One row is one time of one series. `targets` are forecast; `covariates` are read and not
    forecast; those in `ahead` are known over the horizon too (holidays, prices, a weather
    forecast) and are also read `horizon` steps ahead. Where no target is named, every other column
    is one, but an index (a column without a name, or that of pandas) only where it is named.
    Several series in one file are told apart by the column `series_column`. `rnnbench check` says
    which columns are read as what.

    A folder or a pattern such as "shops/*.csv" is read file by file: each is a series, unless
    `series_column` tells them apart. `categories` are columns of words; each word is a vector that
    is learnt. With `header=false` the columns are c1, c2 and so on. Packed files (gzip, bzip2, xz)
    are read as they are.

    Rows may stand in any order. The step is what most rows are apart (or a month, where all times
    are the same moment of a month); rows that are missing are steps with missing values, and a
    time that is not a whole number of steps after its series' first is refused, as two rows at
    one time are, unless `duplicates` says which counts.
    Times have all an offset or none. Days, cuts and the calendar follow the clock of `zone`; by
    default the one offset that times have, or the time zone that has theirs over the year. Where
    that clock is set forward or back, days, weeks and months are still whole steps, and hours are
    counted as they pass. A cut has an offset only where the times have one, or `zone` is given.
    Numbers may have groups of three digits between blanks, apostrophes, points (where `decimal` is
    a comma) or several commas; what may be read in two ways is refused, until `decimal` or
    `thousands` says which.
    Empty cells, NA, NaN, null, none, ? and - are missing: a missing input is the last value before
    it (before the first, the training part's mean), a missing target counts neither in the loss
    nor in a metric.
    The last shares of each series are validation and test (`valid`, `test`), or the parts that
    begin at two times. Values are z-scores by the mean and deviation of the training part. Every
    window whose whole target lies in a split is one item of it; its context may begin before it.

    Metrics are those of free-running forecasts over all series, columns and horizons, MSE, MAE and
    RSE in z-scores. Baselines: the value a season before, the last value, the training part's
    mean. The file's content is part of the data's version: results on other content never share
    a leaderboard. `rnnbench predict RUN --input tail.csv` forecasts what follows the last rows of
    a CSV with the same columns, written as these are, of all series in it; with columns in
    `ahead`, the last `horizon` rows of each hold these. With an `output` other than "point" it
    writes quantiles too. A series that training did not have is scaled by its own rows, which is
    said.

    Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, chapters
    5 and 7, for the errors, the naive forecasts and covariates known ahead.
    """

    name: ClassVar[str] = "csv-forecast"
    version: ClassVar[int] = 2  # 1 turned times into UTC, read an index as a series, 1.004 as 1.004
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "budget.steps": 1000,
        "budget.validate_every": 100,
    }
    tiny: ClassVar[Mapping[str, Any]] = {  # a table that every installation has
        "path": str(distribution("statsmodels").locate_file(_TABLE)), "context": 22, "horizon": 11,
        "season": 11,
    }  # fmt: skip

    path: str = setting(help="the file; or a folder or a pattern (*.csv): a series in each file")
    context: int = setting(48, "steps that are read", unit="steps", low=1)
    horizon: int = setting(24, "steps that are forecast", unit="steps", low=1)
    time: str = setting("", "column of times; empty: the first that is no index")
    series_column: str = setting("", "column that tells series apart; empty: there is one series")
    targets: tuple[str, ...] = setting((), "columns that are forecast; empty: all others")
    covariates: tuple[str, ...] = setting((), "columns that are read and not forecast")
    ahead: tuple[str, ...] = setting((), "covariates that are known over the horizon too")
    calendar: tuple[str, ...] = setting((), "read as well: hour, weekday, monthday, yearday")
    season: int = setting(0, "steps; 0: a day, a week or a year, by the step", unit="steps", low=0)
    valid: str = setting("0.1", "share of each series, or the time at which validation begins")
    test: str = setting("0.2", "share of each series, or the time at which the test begins")
    steps: Literal["regular", "rows"] = setting(
        "regular", "rows: each row is a step, in order of time"
    )
    short: Literal["refuse", "leave out"] = setting("refuse", "series too short for every split")
    scaled: Literal["each", "together"] = setting("each", "series by its own mean, or by one")
    time_format: str = setting("", "of datetime.strptime; empty: ISO 8601 or plain numbers")
    delimiter: str = setting("", "between cells; empty: , ; | or tab, which the header has most of")
    decimal: Literal[".", ","] = setting(".", "decimal separator")
    encoding: str = setting("utf-8", "of a CSV, as Python names it")
    thousands: str = setting(
        "", "between groups of digits, such as . or none; empty: what can be nothing else"
    )
    duplicates: Literal["error", "first", "mean"] = setting(
        "error", "rows of one time and series: refused, or the first or the mean kept", added=True
    )
    header: bool = setting(
        True, "the first line names the columns; else they are c1, c2 and so on", added=True
    )
    categories: tuple[str, ...] = setting(
        (), "columns of words, each read as one of some kinds (embedded)", added=True
    )
    zone: str = setting(
        "", "Europe/Berlin, UTC, +09:00 …: by whose clock days begin; empty: by the times' offsets"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [f for f in self.calendar if f not in CALENDAR]
        if unknown:
            raise ValueError(f"{self.name}: calendar has no {unknown[0]!r}; it has "
                             f"{', '.join(CALENDAR)}")  # fmt: skip
        cut_points(self.valid, self.test)
        TimeReader(self.time_format)
        if self.zone:
            read_zone(self.zone)
        if self.thousands not in THOUSANDS:
            raise ValueError(f"{self.name}: thousands={self.thousands!r} is none of "
                             f"{', '.join(map(repr, THOUSANDS[1:]))}")  # fmt: skip
        if self.thousands == self.decimal:
            other = "task.decimal=, too" if self.decimal == "." else "task.decimal=. too"
            raise ValueError(
                f"{self.name}: thousands and decimal are both {self.decimal!r}; "
                f"set {other}, or leave task.thousands out"
            )

    def sources(self) -> tuple[Source, ...]:
        return (own_files(self.path, "path"),)

    @property
    def _table_format(self) -> TableFormat:
        return TableFormat(
            self.time, self.series_column, self.targets, self.covariates + self.ahead,
            self.time_format, self.delimiter, self.decimal, self.encoding, self.thousands,
            self.zone, kinds=self.categories, header=self.header,
        )  # fmt: skip

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        settings = {
            name: getattr(self, name)
            for name in (
                *("time", "series_column", "targets", "covariates", "ahead", "calendar", "valid"),
                *("test", "steps", "time_format", "delimiter", "decimal", "encoding"),
                *("thousands", "zone", "duplicates", "header", "categories"),
            )
        }
        return prepare(self.name, self.sources(), self.version, settings, self._make)

    def _make(self, folder: Path) -> dict[str, Any]:
        names = list(self.sources()[0].files)
        file = folder / names[0] if len(names) == 1 else folder
        table = read_tables(folder, names, self._table_format)
        table, repeated = without_repeats(table, self.duplicates)
        place = "row" if is_parquet(folder / names[0]) else "line"
        step = TimeStep("row", 1) if self.steps == "rows" else find_step(table, str(file), place)
        rows = spaced(table, step, str(file), place)
        if not isinstance(rows.times[0], datetime):
            for named, what in ((self.calendar, "calendar to read"), (self.zone, "zone for them")):
                if named:
                    raise DataError(f"{file}: times are plain numbers, so there is no {what}")
        known_NK = known_columns(rows, self.calendar, table)
        ends_P3 = cut_points(self.valid, self.test, self.time_format)(rows, str(file))
        return {
            "values_ND": rows.values_ND[:, : len(table.columns.numbers)],
            "known_NK": known_NK, "ends_P3": ends_P3,
            "names": rows.names, "columns": table.columns.numbers,
            "targets": len(table.columns.values), "step": tuple(step), "aware": table.aware,
            "clocks": [clock.name for clock in rows.clocks], "time": table.columns.time,
            "unread": table.columns.unread, "gaps": rows.gaps, "repeated": repeated,
            "kinds": dict(table.kinds), "files": len(names),
            "parts_begin": self._write_cuts(table, rows, ends_P3[0].tolist()),
        }  # fmt: skip

    @property
    def step(self) -> TimeStep:
        return TimeStep(*self._prepared["step"])

    def figure_notes(self) -> tuple[str, ...]:
        """Say that plain numbers as times tell no season, so that MASE goes by the step before."""
        if self.season or self.step.unit != "number":
            return ()
        amount = self.step.amount
        seconds = amount if amount < MOST_SECONDS else amount / 1000
        unit = "seconds" if seconds == amount else "milliseconds"
        season = TimeStep("second", seconds).season
        guess = f" (if they are {unit}, perhaps task.season={season})" if season > 1 else ""
        return (
            "the times are plain numbers, which tell no season: mase compares with the step "
            f"before, a season of 1. Where values repeat, set task.season to the steps after "
            f"which they do{guess}.",
        )

    @cached_property
    def series(self) -> Series:
        prepared = self._prepared
        values_ND, known_NK, ends_P3 = (
            prepared["values_ND"],
            prepared["known_NK"],
            prepared["ends_P3"],
        )
        names, columns = prepared["names"], prepared["columns"]
        season = self.season or self.step.season
        if self.short == "leave out":
            parts_P3 = np.diff(ends_P3, axis=1, prepend=np.r_[0, ends_P3[:-1, 2]][:, None])
            kept = (parts_P3[:, 1:] >= self.horizon).all(1)
            kept &= (parts_P3[:, 0] >= self.context + self.horizon) & (parts_P3[:, 0] > season)
            if not kept.any():
                raise DataError(
                    f"{self.path}: all {len(names)} series are too short for a context of "
                    f"{self.context}, a horizon of {self.horizon} and a season of {season}"
                )
            keep_N = np.repeat(kept, parts_P3.sum(1))
            values_ND, known_NK = values_ND[keep_N], known_NK[keep_N]
            parts_P3 = parts_P3[kept]
            ends_P3 = np.cumsum(parts_P3).reshape(parts_P3.shape)
            names = [name for name, good in zip(names, kept, strict=True) if good]
        first_ahead = len(columns) - len(self.ahead)
        try:
            return Series(
                values_ND, ends=ends_P3, season=season, target=range(prepared["targets"]),
                known_NK=known_NK, ahead=range(first_ahead, len(columns)), names=names,
                columns=columns, scaled=self.scaled, leading="mean",
            )  # fmt: skip
        except ValueError as error:
            raise DataError(f"{self.path}: {error}") from error

    def _write_cuts(self, table: Table, rows: Spaced, ends: Sequence[int]) -> list[str]:
        """Return where validation and test of the first series begin, as the table writes times."""
        write = writer_of(table, rows, 0, self.time_format, self.decimal)
        return [
            (f"from {write(rows.times[at], rows.instants[at])} on, " if at < ends[2] else "")
            + f"after {at:,} steps"
            for at in ends[:2]
        ]

    def what_is_read(self) -> str:
        """Say which columns are which, what a step is, and where validation and test begin."""
        return summarise(f"read from {self.path}", self.card_facts())

    def steps_in_words(self) -> str:
        return f"steps of {self.step}"

    def card_facts(self) -> Mapping[str, str]:
        prepared, step = self._prepared, self.step
        columns, names = prepared["columns"], prepared["names"]
        targets, others = columns[: prepared["targets"]], columns[prepared["targets"] :]
        ahead = others[len(others) - len(self.ahead) :]
        valid, test = prepared["parts_begin"]
        first = f" of {write_names(names[:1])}" if len(names) > 1 else ""
        steps = len(prepared["values_ND"])
        filled = f", {prepared['gaps']:,} of them missing" if prepared["gaps"] else ""
        clocks = write_clocks(prepared["clocks"], prepared["aware"])
        by = write_names([self.series_column]) if self.series_column else ""
        by = by or ("file" if prepared["files"] > 1 else "")
        repeated = prepared["repeated"]
        dated = isinstance(step.unit, str) and step.unit != "number"
        return {
            "targets": write_names(targets),
            "covariates": write_names(others[: len(others) - len(ahead)]) or "none",
            "known ahead": write_names(ahead),
            "time": write_names([prepared["time"]]) + (f", {clocks}" if dated else ""),
            "series": f"{len(names):,} by {by}: {write_names(names)}" if by else "one",
            "categories": "; ".join(
                f"{column}: {write_names(kinds)}" for column, kinds in prepared["kinds"].items()
            ),
            "calendar": ", ".join(self.calendar),
            "not read": write_names(prepared["unread"]),
            "one time": f"{repeated:,} rows went into others of their time ({self.duplicates})"
            if repeated else "",
            "steps": f"{steps:,} of {step}{filled}; a season of {self.season or step.season}",
            "validation": valid + first,
            "test": test + first,
        }  # fmt: skip

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read the last rows of one series, as `ask_rows` does those of several."""
        batch, read, _ = self.ask_rows(text)
        if len(batch.x) > 1:
            raise ValueError(f"{self.name}: the input has {len(batch.x)} series; give one of them")
        return batch, lambda y_SV: read(y_SV[None], None)

    def ask_rows(self, text: str) -> Answers:
        """Read the last rows of a CSV with the columns of the file, of one or several series."""
        return TableAnswers(self).ask(text)
