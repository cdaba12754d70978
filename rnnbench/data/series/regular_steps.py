"""Times of rows turned into steps of equal length, so that a gap in time is a gap in the data."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import numpy as np

from rnnbench.data.series.tables import Table
from rnnbench.data.series.time_formats import TimeReader
from rnnbench.errors import DataError

__all__ = ["Spaced", "TimeStep", "cut_points", "find_step", "spaced"]

MOST_FILLED = 10  # times as many rows as were given
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}


class TimeStep(NamedTuple):
    """The time from a row to the next, on average over months where the unit is "month".

    Attributes:
        unit: "second", "month", "number" (of plain numbers), or "row": times say the order alone.
    """

    unit: Literal["second", "month", "number", "row"]
    amount: float

    def __str__(self) -> str:
        if self.unit in ("number", "row"):
            return f"{self.amount:g}" if self.unit == "number" else "one row"
        name: str = self.unit
        amount = self.amount
        for larger, seconds in _SECONDS.items():
            if self.unit == "second" and self.amount % seconds == 0:
                name, amount = larger, self.amount / seconds
        return f"{amount:g} {name}{'s' if amount != 1 else ''}"

    @property
    def season(self) -> int:
        """Return the steps of what repeats itself, else 1.

        That is a day for what is shorter than a day, a week for days, a year for weeks or months.
        """
        if self.unit == "month":
            return max(1, round(12 / self.amount))
        if self.unit != "second":
            return 1
        for below, period in ((86400, 86400), (7 * 86400, 7 * 86400), (3e7, 365.25 * 86400)):
            if self.amount < below:
                return max(1, round(period / self.amount))
        return 1

    def place(self, time: datetime | float, since: datetime | float) -> float:
        """Return how many steps a time lies after another."""
        if isinstance(time, datetime) and isinstance(since, datetime):
            if self.unit == "month":
                return ((time.year - since.year) * 12 + time.month - since.month) / self.amount
            return (time - since) / timedelta(seconds=self.amount)
        return (float(time) - float(since)) / self.amount  # type: ignore[arg-type]

    def written(self, since: datetime | float, steps: int) -> str:
        """Return the time some steps after another, as a CSV says it."""
        time = self.after(since, steps)
        if not isinstance(time, datetime):
            return f"{time:.12g}"
        days = self.unit == "month" or self.amount % _SECONDS["day"] == 0
        return str(time.date()) if days and time == _midnight(time) else time.isoformat(" ")

    def after(self, since: datetime | float, steps: int) -> datetime | float:
        """Return the time some steps after another."""
        if not isinstance(since, datetime):
            return since + steps * self.amount
        if self.unit != "month":
            return since + timedelta(seconds=steps * self.amount)
        months = since.year * 12 + since.month - 1 + steps * int(self.amount)
        year, month = months // 12, months % 12 + 1
        first_of_next = datetime(year + month // 12, month % 12 + 1, 1)
        last = (first_of_next - timedelta(days=1)).day
        # A series of month ends stays at month ends.
        at_end = (since + timedelta(days=1)).month != since.month
        return since.replace(year=year, month=month, day=last if at_end else min(since.day, last))


class Spaced(NamedTuple):
    """Series one below the other, a row a step.

    Attributes:
        values_ND: NaN in rows that were not given too.
        times: of each row.
        names: of the P series.
        ends_P: the row after the last of each series.
        gaps: how many rows were not given.
    """

    values_ND: np.ndarray
    times: list[Any]  # datetimes, or plain numbers
    names: tuple[str, ...]
    ends_P: np.ndarray
    gaps: int


def find_step(table: Table, name: str, place: str = "line") -> TimeStep:
    """Return the step that most rows are apart.

    Raises:
        DataError: two rows of a series have the same time, or no series has two rows.
    """
    rows = _group_by_series(table)
    _refuse_repeats(table, rows, name, place)
    if isinstance(table.times[0], datetime):
        months = _whole_months(table.times)
        if months is not None:
            apart = Counter(
                b - a
                for at in rows.values()
                for a, b in itertools.pairwise([months[i] for i in at])
                if b > a
            )
            if apart:
                return TimeStep("month", _commonest(apart))
    seconds = Counter(
        (b - a).total_seconds() if isinstance(a, datetime) else round(b - a, 9)
        for at in rows.values()
        for a, b in itertools.pairwise([table.times[i] for i in at])
        if b > a
    )
    if not seconds:
        raise DataError(f"{name}: no series has two rows, so there is no step")
    unit: Literal["second", "number"] = (
        "second" if isinstance(table.times[0], datetime) else "number"
    )
    return TimeStep(unit, _commonest(seconds))


def spaced(table: Table, step: TimeStep, name: str, place: str = "line") -> Spaced:
    """Return one row a step for each series, in the order of their first rows.

    Steps that the table has no row for become rows of missing values.

    Raises:
        DataError: two rows of a series have the same time, a time is not a whole number of steps
            after the first, or the gaps are far larger than the data.
    """
    blocks, times, ends, gaps = [], [], [], 0
    by_series = _group_by_series(table)
    if step.unit != "row":
        _refuse_repeats(table, by_series, name, place)
    for series, at in by_series.items():
        whose = f" of series {series!r}" if series else ""
        first = table.times[at[0]]
        if step.unit == "row":
            blocks.append(table.values_ND[at])
            times += [table.times[i] for i in at]
            ends.append(len(times))
            continue
        places = [step.place(table.times[i], first) for i in at]
        for i, at_step in zip(at, places, strict=True):
            if abs(at_step - round(at_step)) > 1e-6:
                raise DataError(
                    f"{name}, {place} {table.lines[i]}: {_show_time(table.times[i])} is not a "
                    f"whole number of steps of {step} after {_show_time(first)}{whose}. Resample "
                    "the data, or set task.steps=rows to count each row as a step"
                )
        rows = round(places[-1]) + 1
        if rows > MOST_FILLED * len(at) + 1000:
            raise DataError(
                f"{name}: {len(at)} rows{whose} span {rows:,} steps of {step}: nearly all would be "
                "missing. Resample the data, or set task.steps=rows"
            )
        block = np.full((rows, table.values_ND.shape[1]), np.nan)
        block[np.round(places).astype(int)] = table.values_ND[at]
        blocks.append(block)
        times += [step.after(first, k) for k in range(rows)]
        gaps += rows - len(at)
        ends.append(len(times))
    return Spaced(np.concatenate(blocks), times, tuple(by_series), np.array(ends), gaps)


def _refuse_repeats(
    table: Table, by_series: Mapping[str, list[int]], name: str, place: str
) -> None:
    for series, at in by_series.items():
        whose = f" of series {series!r}" if series else ""
        for i, j in itertools.pairwise(at):
            if table.times[i] == table.times[j]:
                raise DataError(
                    f"{name}, {place} {table.lines[j]}: its time, {_show_time(table.times[j])}, is "
                    f"that of {place} {table.lines[i]}{whose} too. Drop one of them, or name the "
                    "column that tells series apart (task.series_column)"
                )


def cut_points(valid: str, test: str, time_format: str = "") -> Callable[[Spaced, str], np.ndarray]:
    """Return a function that says where each series is cut.

    It gives (P, 3): the row after the training, validation and test part.

    Args:
        valid, test: both shares of each series, such as "0.1", or both times at which the parts
            begin.
        time_format: of the times.
    Raises:
        ValueError: they are neither.
    """
    shares = [_read_share(valid), _read_share(test)]
    if None in shares:
        if shares != [None, None]:
            raise ValueError(
                f"valid={valid} and test={test}: give two shares of each series (above 0, below 1 "
                "together), or the times at which both parts begin"
            )
        return lambda rows, name: _cut_at_times(rows, name, valid, test, time_format)
    if sum(shares) >= 1:  # type: ignore[arg-type]
        raise ValueError(f"valid={valid} and test={test} leave nothing for training")

    def cut(rows: Spaced, name: str) -> np.ndarray:
        begin_P = np.concatenate([[0], rows.ends_P[:-1]])
        size_P = rows.ends_P - begin_P
        held_2P = np.round(np.array(shares, float)[:, None] * size_P).astype(int)
        return np.stack([rows.ends_P - held_2P.sum(0), rows.ends_P - held_2P[1], rows.ends_P], 1)

    return cut


def _read_share(text: str) -> float | None:
    try:
        return value if 0 < (value := float(text)) < 1 else None
    except ValueError:
        return None


def _cut_at_times(rows: Spaced, name: str, valid: str, test: str, time_format: str) -> np.ndarray:
    read = TimeReader(time_format)
    try:
        first, second = read(valid), read(test)
        if isinstance(first, datetime) is not isinstance(rows.times[0], datetime):
            raise ValueError("they are of another kind than the times of the file")
        if not first < second:  # type: ignore[operator]
            raise ValueError("validation must begin before the test")
    except ValueError as error:
        raise DataError(f"valid={valid}, test={test}: {error}") from error
    ends, begin = [], 0
    for end in rows.ends_P.tolist():
        of_series = rows.times[begin:end]
        cuts = [begin + bisect.bisect_left(of_series, at) for at in (first, second)]
        ends.append([*cuts, end])
        begin = end
    return np.array(ends)


def _group_by_series(table: Table) -> dict[str, list[int]]:
    """Return the rows of each series in order of time; rows of the same time keep their order."""
    rows_by_series: dict[str, list[int]] = {}
    for i, series in enumerate(table.series):
        rows_by_series.setdefault(series, []).append(i)
    for rows in rows_by_series.values():
        rows.sort(key=lambda i: table.times[i])
    return rows_by_series


def _commonest(apart: Counter) -> float:
    """Return the most frequent value; of equally frequent ones the least."""
    most = max(apart.values())
    return min(value for value, count in apart.items() if count == most)


def _whole_months(times: Sequence[datetime]) -> list[int] | None:
    """Return months since year 0 if all times are the same moment of a month, or its last day."""
    moments = {(t.day, t.time()) for t in times}
    ends = len({t.time() for t in times}) == 1 and all(
        (t + timedelta(days=1)).day == 1 for t in times
    )
    return [t.year * 12 + t.month for t in times] if len(moments) == 1 or ends else None


def _midnight(time: datetime) -> datetime:
    return datetime(time.year, time.month, time.day)


def _show_time(time: datetime | float) -> str:
    return str(time) if isinstance(time, datetime) else f"{time:g}"
