"""Times of rows turned into steps of equal length, so that a gap in time is a gap in the data."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import numpy as np

from rnnbench.data.series.tables import Table
from rnnbench.data.series.time_zones import Clock
from rnnbench.errors import DataError

__all__ = ["Spaced", "TimeStep", "find_step", "spaced"]

MOST_FILLED = 10  # times as many rows as were given
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}


class TimeStep(NamedTuple):
    """The time from a row to the next, on average over months where the unit is "month".

    Attributes:
        unit: "second", "month", "number" (of plain numbers), or "row": times say the order alone.
        local: it is counted on the clock of a series, so that a day is a day where the clock is
            set forward or back; else between instants.
    """

    unit: Literal["second", "month", "number", "row"]
    amount: float
    local: bool = True

    @property
    def of_days(self) -> bool:
        """Tell whether it is a whole number of days, or of months."""
        return self.unit == "month" or (self.unit == "second" and self.amount % 86400 == 0)

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
        times: of each row, local ones; datetimes, or plain numbers.
        names: of the P series.
        ends_P: the row after the last of each series.
        gaps: how many rows were not given.
        instants: of each row.
        clocks: of each series.
    """

    values_ND: np.ndarray
    times: list[Any]
    names: tuple[str, ...]
    ends_P: np.ndarray
    gaps: int
    instants: list[Any]
    clocks: tuple[Clock, ...]

    def later(self, row: int, step: TimeStep, count: int) -> tuple[Any, Any]:
        """Return the local time and the instant some steps after a row."""
        clock = self.clocks[int(np.searchsorted(self.ends_P, row, side="right"))]
        if step.local:
            local = step.after(self.times[row], count)
            return local, clock.instant(local) if isinstance(local, datetime) else local
        instant = step.after(self.instants[row], count)
        return clock.local(instant) if isinstance(instant, datetime) else instant, instant


def find_step(table: Table, name: str, place: str = "line") -> TimeStep:
    """Return the step that most rows are apart.

    Where clocks are changed, days and more are counted by the clock and less between instants, or
    the other way round where only that makes every row a whole number of steps.

    Raises:
        DataError: two rows of a series have the same time, or no series has two rows.
    """
    rows = _group_by_series(table)
    _refuse_repeats(table, rows, name, place)
    if not isinstance(table.times[0], datetime):
        return TimeStep("number", _commonest(_count_gaps(rows, table.times), name))
    changed = any(clock.is_changed for clock in table.clocks.values())
    ways = [(True, _count_days(table, rows)), *([(False, table.instants)] if changed else [])]
    for local, times in ways:
        months = _whole_months(times)
        if months is not None and (apart := _count_gaps(rows, months)):
            return TimeStep("month", _commonest(apart, name), local)
    steps = [
        TimeStep("second", _commonest(apart, name), local)
        for local, times in ways
        if (apart := _count_gaps(rows, times)) or not local or not changed
    ]
    if changed and not steps[0].of_days:
        steps.reverse()
    return next((step for step in steps if _is_whole(table, rows, step)), steps[0])


def spaced(table: Table, step: TimeStep, name: str, place: str = "line") -> Spaced:
    """Return one row a step for each series, in the order of their first rows.

    Steps that the table has no row for become rows of missing values.

    Raises:
        DataError: two rows of a series have the same time, a time is not a whole number of steps
            after the first, or the gaps are far larger than the data.
    """
    blocks, times, instants, ends, gaps = [], [], [], [], 0
    by_series = _group_by_series(table)
    if step.unit != "row":
        _refuse_repeats(table, by_series, name, place)
        if not step.local:
            _refuse_doubts(table, name, place)
    counted = _counted(table, by_series, step)
    for series, at in by_series.items():
        whose = f" of series {series!r}" if series else ""
        clock = table.clocks[series]
        if step.unit == "row":
            blocks.append(table.values_ND[at])
            times += [table.local[i] for i in at]
            instants += [table.instants[i] for i in at]
            ends.append(len(times))
            continue
        first = counted[at[0]]
        places = [step.place(counted[i], first) for i in at]
        for i, at_step in zip(at, places, strict=True):
            if abs(at_step - round(at_step)) > 1e-6:
                raise DataError(
                    f"{name}, {place} {table.lines[i]}: {_show_time(table.times[i])} is not a "
                    f"whole number of steps of {step} after {_show_time(table.times[at[0]])}"
                    f"{whose}. Resample the data, or set task.steps=rows to count each row as a "
                    f"step{_zone_advice(table, step, clock)}"
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
        filled: list[Any] = [step.after(first, k) for k in range(rows)]
        times += filled if step.local else [clock.local(t) for t in filled]
        instants += [clock.instant(t) for t in filled] if step.local and clock.name else filled
        gaps += rows - len(at)
        ends.append(len(times))
    clocks = tuple(table.clocks[series] for series in by_series)
    return Spaced(
        np.concatenate(blocks), times, tuple(by_series), np.array(ends), gaps, instants, clocks
    )


def _zone_advice(table: Table, step: TimeStep, clock: Clock) -> str:
    if table.aware and step.of_days and not clock.is_changed:
        return ". If days begin by the clock of a place, name it, such as task.zone=Europe/Berlin"
    return ""


def _counted(table: Table, rows: Mapping[str, list[int]], step: TimeStep) -> list[Any]:
    """Return the times of rows as a step counts them."""
    if not step.local:
        return table.instants
    return _count_days(table, rows) if step.of_days else table.local


def _is_whole(table: Table, rows: Mapping[str, list[int]], step: TimeStep) -> bool:
    """Tell whether all rows are whole steps after their series' first, and no two are one."""
    counted = _counted(table, rows, step)
    for at in rows.values():
        places = np.array([step.place(counted[i], counted[at[0]]) for i in at])
        whole = np.round(places)
        if (np.abs(places - whole) > 1e-6).any() or len(np.unique(whole)) < len(whole):
            return False
    return True


def _count_days(table: Table, rows: Mapping[str, list[int]]) -> list[Any]:
    """Return local times, each at the time of day of most where a clock skipped that one."""
    times = table.local
    for series, at in rows.items():
        clock = table.clocks[series]
        if not clock.is_changed:
            continue
        usual, count = Counter(table.local[i].time() for i in at).most_common(1)[0]
        if count == len(at) or 2 * count < len(at):
            continue
        times = list(times) if times is table.local else times
        for i in at:
            then = datetime.combine(table.local[i].date(), usual)
            if clock.instant(then) == table.instants[i]:
                times[i] = then
    return times


def _refuse_doubts(table: Table, name: str, place: str) -> None:
    """Refuse times by whose clock it cannot be said which instant they are."""
    for i, why in sorted(table.doubts.items())[:1]:
        shown = table.clocks[table.series[i]].at(table.instants[i])
        offset = shown.isoformat(timespec="seconds")[19:]
        raise DataError(
            f"{name}, {place} {table.lines[i]}: the time {table.times[i]} is in doubt: {why}. "
            f"Write times with their offset, such as {table.times[i].isoformat()}{offset}, or "
            "leave out task.zone to take every day for one of 24 hours"
        )


def _refuse_repeats(
    table: Table, by_series: Mapping[str, list[int]], name: str, place: str
) -> None:
    for series, at in by_series.items():
        whose = f" of series {series!r}" if series else ""
        for i, j in itertools.pairwise(at):
            if table.instants[i] == table.instants[j]:
                if table.times[i] != table.times[j]:
                    _refuse_doubts(table, name, place)
                raise DataError(
                    f"{name}, {place} {table.lines[j]}: its time, {_show_time(table.times[j])}, is "
                    f"that of {place} {table.lines[i]}{whose} too. Drop one of them, or name the "
                    "column that tells series apart (task.series_column), or set "
                    "task.duplicates=first or mean"
                    + _set_back(table.times[j], table.clocks[series])
                )


def _set_back(time: datetime | float, clock: Clock) -> str:
    """Return what to do where one time may be two, since clocks were set back."""
    if not isinstance(time, datetime) or time.tzinfo or clock.name or time == _midnight(time):
        return ""
    return ", or the zone by whose clocks there are two such times, such as task.zone=Europe/Berlin"


def _group_by_series(table: Table) -> dict[str, list[int]]:
    """Return the rows of each series in order of time; rows of the same time keep their order."""
    rows_by_series: dict[str, list[int]] = {}
    for i, series in enumerate(table.series):
        rows_by_series.setdefault(series, []).append(i)
    for rows in rows_by_series.values():
        rows.sort(key=lambda i: table.instants[i])
    return rows_by_series


def _count_gaps(rows: Mapping[str, list[int]], times: Sequence[Any]) -> Counter[float]:
    """Count how far each row is from the one before it in its series, of dates in seconds."""
    return Counter(
        (b - a).total_seconds() if isinstance(a, datetime) else round(b - a, 9)
        for at in rows.values()
        for a, b in itertools.pairwise([times[i] for i in at])
        if b > a
    )


def _commonest(apart: Counter, name: str) -> float:
    """Return the most frequent value; of equally frequent ones the least."""
    if not apart:
        raise DataError(f"{name}: no series has two rows, so there is no step")
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
    return datetime(time.year, time.month, time.day, tzinfo=time.tzinfo)


def _show_time(time: datetime | float) -> str:
    return str(time) if isinstance(time, datetime) else f"{time:g}"
