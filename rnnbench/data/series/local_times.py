"""Instants and local times of a table's rows, by the clock that each series follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

from rnnbench.data.series.time_formats import write_like
from rnnbench.data.series.time_zones import Clock, find_clock, fits, instants_of
from rnnbench.errors import DataError

__all__ = ["Followed", "TimeWriter", "follow_clocks"]


class Followed(NamedTuple):
    """Times of a table's rows by the clocks of its series; see `tables.Table`."""

    instants: list[Any]
    local: list[Any]
    clocks: Mapping[str, Clock]
    doubts: Mapping[int, str]


class TimeWriter:
    """Writes times as those of a series in a table are written, with offsets if these have them.

    Args:
        times: of the series, as they are written.
        like: one of them, as text; "" where there is none.
        decimal: the separator of plain numbers.
    """

    def __init__(
        self, times: Sequence[Any], clock: Clock, like: str, time_format: str, decimal: str = "."
    ) -> None:
        self.clock, self.like, self.time_format, self.decimal = clock, like, time_format, decimal
        self.own_offset: tzinfo | None = None
        self.aware = isinstance(times[0], datetime) and times[0].tzinfo is not None
        if self.aware and not fits(clock, times):
            self.own_offset = times[-1].tzinfo  # such as a table in UTC of a place

    def __call__(self, local: Any, instant: Any) -> str:
        """Write the time that is `local` on the clock, and `instant` by UTC."""
        if not isinstance(local, datetime):
            whole = float(local).is_integer() and abs(local) < 1e21  # such as 13 digits of an epoch
            return f"{local:.0f}" if whole else f"{local:.14g}".replace(".", self.decimal)
        time = self.clock.at(instant) if self.aware else local
        if self.own_offset is not None:
            time = time.astimezone(self.own_offset)
        return write_like(time, self.like, self.time_format)


def follow_clocks(
    place: str,
    times: Sequence[Any],
    series: Sequence[str],
    lines: Sequence[int],
    zone: str | Mapping[str, str],
) -> Followed:
    """Find the clock of each series, and what it shows.

    Args:
        place: what stands before a line's number in messages.
        times: as they are written: datetimes, with an offset each or none, or plain numbers.
        zone: of all, or of each series; "" for what their offsets say: one that is never changed,
            the zone that all rows fit, or a zone of each series.
    Raises:
        DataError: no clock shows such offsets.
    """
    times = list(times)
    rows_by_series: dict[str, list[int]] = {}
    for i, whose in enumerate(series):
        rows_by_series.setdefault(whose, []).append(i)
    if not isinstance(times[0], datetime):
        return Followed(times, times, dict.fromkeys(rows_by_series, Clock()), {})
    aware = times[0].tzinfo is not None
    if isinstance(zone, str) and (zone or not aware):
        clocks = dict.fromkeys(rows_by_series, Clock(zone))
    elif not isinstance(zone, str):
        clocks = {name: Clock(zone.get(name, "UTC" if aware else "")) for name in rows_by_series}
    else:
        clocks = _find_clocks(place, times, lines, rows_by_series)
    if aware:
        instants = [t.astimezone(UTC).replace(tzinfo=None) for t in times]
        local = [clocks[name].local(t) for name, t in zip(series, instants, strict=True)]
        return Followed(instants, local, clocks, {})
    if not any(clock.name for clock in clocks.values()):
        return Followed(times, times, clocks, {})
    doubts: dict[int, str] = {}
    instants = list(times)
    for name, rows in rows_by_series.items():
        found, why = instants_of([times[i] for i in rows], clocks[name])
        for i, instant in zip(rows, found, strict=True):
            instants[i] = instant
        doubts |= {rows[k]: reason for k, reason in why.items()}
    return Followed(instants, times, clocks, doubts)


def _find_clocks(
    place: str,
    times: Sequence[datetime],
    lines: Sequence[int],
    rows_by_series: Mapping[str, Sequence[int]],
) -> dict[str, Clock]:
    """Return the clock that all series follow, or one of each."""
    try:
        if clock := find_clock(times):
            return dict.fromkeys(rows_by_series, clock)
        clocks: dict[str, Clock] = {}
        for name, rows in rows_by_series.items():
            own = [times[i] for i in rows]
            known = (clock for clock in set(clocks.values()) if fits(clock, own))
            clock = next(known, None) or find_clock(own)
            if clock is None:
                break
            clocks[name] = clock
        else:
            return clocks
    except ValueError as error:
        raise DataError(f"{place} {lines[0]} and later: {error}") from error
    other = next(i for i in rows if times[i].utcoffset() != times[rows[0]].utcoffset())
    whose = f" of series {name!r}" if name else ""
    raise DataError(
        f"{place} {lines[other]}: the time {times[other]} has another offset than "
        f"{times[rows[0]]}{whose}, and no time zone has the offsets of all rows. Say by which "
        "clock days begin: task.zone=UTC, or that of a place, such as task.zone=Europe/Berlin"
    )
