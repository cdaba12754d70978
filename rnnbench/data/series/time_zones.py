"""Clocks: what they show at an instant, and which clock the times of a table follow.

An instant is a time of UTC, written without a time zone; a local time is what a clock shows then.
Times that have no offset and no zone are both.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import re
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

__all__ = ["Clock", "find_clock", "fits", "instants_of", "read_zone"]

DAY = timedelta(days=1)
LATER = 2 * 366 * DAY  # how long zones must agree beyond the last row to stand for each other
MOST_DAYS = 4000  # that two zones are compared at
# Of most people where several zones fit; others come in order of the alphabet.
WELL_KNOWN = (
    *("Europe/Berlin", "Europe/London", "Europe/Athens", "Europe/Istanbul", "Europe/Moscow"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"),
    *("America/Halifax", "America/Mexico_City", "America/Santiago", "America/Sao_Paulo"),
    *("Africa/Cairo", "Asia/Jerusalem", "Australia/Sydney", "Pacific/Auckland"),
)
_OFFSET = re.compile(r"([+-])(\d\d?)(?::?(\d\d))?")


def read_zone(text: str) -> tzinfo:
    """Return the zone of a name such as Europe/Berlin or UTC, or of an offset such as +09:00.

    Raises:
        ValueError: there is none of this name; the message has names near it.
    """
    if text in ("UTC", "Z"):
        return UTC
    if match := _OFFSET.fullmatch(text):
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
        if offset < DAY and int(minutes or 0) < 60:
            return timezone(-offset if sign == "-" else offset)
    try:
        return zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    names = zoneinfo.available_timezones()
    if not names:
        raise ValueError(f"this machine has no time zones to find {text!r} in: pip install tzdata")
    wanted = text.casefold().replace(" ", "_")
    near = [n for n in sorted(names) if wanted in (n.casefold(), n.casefold().split("/")[-1])]
    near = near or difflib.get_close_matches(text, sorted(names), 1)
    if match := _OFFSET.fullmatch(re.sub(r"^(UTC|GMT)\s*", "", text, flags=re.IGNORECASE)):
        near = [f"{match[1]}{match[2]:0>2}:{match[3] or '00'}"]  # signs of Etc/GMT+2 are reversed
    meant = f"; did you mean {near[0]}?" if near else "."
    raise ValueError(
        f"there is no time zone {text!r}{meant} Give a name such as Europe/Berlin or UTC, or an "
        "offset such as +09:00"
    )


@dataclass(frozen=True)
class Clock:
    """A clock of some time zone.

    Attributes:
        name: as `read_zone` reads it; "" where times have neither offset nor zone.
    """

    name: str = ""

    @property
    def zone(self) -> tzinfo:
        return _zone_named(self.name)

    @property
    def is_changed(self) -> bool:
        """Tell whether it may be set forward and back over a year."""
        return bool(self.name) and not isinstance(self.zone, timezone)

    def local(self, instant: datetime) -> datetime:
        """Return the local time at an instant."""
        if not self.name:
            return instant
        return instant.replace(tzinfo=UTC).astimezone(self.zone).replace(tzinfo=None)

    def instant(self, local: datetime, fold: int = 0) -> datetime:
        """Return the instant of a local time, the first (or of fold 1 the second) where it is two.

        A local time that is skipped counts as so much later, as the clock is set forward by.
        """
        offset = local.replace(tzinfo=self.zone, fold=fold).utcoffset() if self.name else None
        return local - offset if offset else local

    def at(self, instant: datetime) -> datetime:
        """Return the local time at an instant, with its offset."""
        there = instant.replace(tzinfo=UTC).astimezone(self.zone)
        return there.replace(tzinfo=timezone(there.utcoffset() or timedelta()))


@functools.lru_cache(maxsize=1024)
def _zone_named(name: str) -> tzinfo:
    return read_zone(name) if name else UTC


def find_clock(times: Sequence[datetime]) -> Clock | None:
    """Return a clock that shows some times with the offsets that they have; None: there is none.

    Times of one offset follow a clock that is never changed. Of several zones that fit, which
    then agree on these times, that of most people is taken, or any where they also agree for two
    years more. Where they differ at times at which such rows never are, either will do.

    Args:
        times: with offsets, in any order.
    Raises:
        ValueError: zones that fit do not agree, so somebody has to say which is meant.
    """
    offsets = {t.utcoffset() for t in times}
    if len(offsets) == 1:
        return Clock(_write_offset(offsets.pop() or timedelta()))
    marks = list(_marks(sorted(times)))
    zones = [name for name in _places() if _fits(Clock(name).zone, marks)]
    zones.sort(key=lambda name: (WELL_KNOWN.index(name) if name in WELL_KNOWN else 99, name))
    if not zones:
        return None
    days = _compared(times, marks[0], marks[-1] + LATER * (zones[0] not in WELL_KNOWN), zones[0])
    first = [day.astimezone(Clock(zones[0]).zone).utcoffset() for day in days]
    for name in zones[1:]:
        zone = Clock(name).zone
        for day, offset in zip(days, first, strict=True):
            if day.astimezone(zone).utcoffset() != offset:
                raise ValueError(
                    f"the offsets fit {zones[0]} and {name}, which differ on {day.date()}; say "
                    f"which is meant, such as task.zone={zones[0]}"
                )
    return Clock(zones[0])


def fits(clock: Clock, times: Sequence[datetime]) -> bool:
    """Tell whether a clock shows times with the offsets that they have."""
    return all(t.astimezone(clock.zone).utcoffset() == t.utcoffset() for t in times)


def _write_offset(offset: timedelta) -> str:
    if not offset:
        return "UTC"
    minutes, seconds = divmod(abs(offset), timedelta(minutes=1))
    if seconds:
        raise ValueError(f"an offset of {offset} is no whole number of minutes")
    return f"{'-' if offset < timedelta() else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def _marks(times: Sequence[datetime]) -> Iterator[datetime]:
    """Give the times on both sides of each change of offset, and one of each day between."""
    last = times[0]
    yield last
    for before, time in itertools.pairwise(times):
        if before.utcoffset() != time.utcoffset():
            yield before
            yield (last := time)
        elif time - last >= DAY:
            yield (last := time)
    yield times[-1]


def _fits(zone: tzinfo, marks: Sequence[datetime]) -> bool:
    return all(t.astimezone(zone).utcoffset() == t.utcoffset() for t in marks)


def _places() -> list[str]:
    """Return the names of zones of places, rather than of offsets and old abbreviations."""
    names = zoneinfo.available_timezones()
    return sorted(n for n in names if "/" in n and not n.startswith(("Etc/", "SystemV/", "US/")))


def _compared(
    times: Sequence[datetime], first: datetime, last: datetime, name: str
) -> list[datetime]:
    """Return the times at which zones are compared: daily, at what time and on what days rows are.

    Rows a month or more apart are on some days of a month, or at its end, others on some days of
    a week.
    """
    local = sorted(t.replace(tzinfo=None) for t in times)
    if len({t.time() for t in local}) > 1:
        return list(_days(first, last))
    by_months = all(b - a >= 27 * DAY for a, b in itertools.pairwise(local))
    ends = by_months and all(_is_month_end(t) for t in local)
    weekdays, monthdays = {t.weekday() for t in local}, {t.day for t in local}
    zone = Clock(name).zone
    end = last.astimezone(zone).replace(tzinfo=None)
    every = (local[0] + k * DAY for k in range((end - local[0]).days + 1))
    found = [
        day.replace(tzinfo=zone)
        for day in every
        if (_is_month_end(day) if ends else day.day in monthdays if by_months
            else day.weekday() in weekdays)
    ]  # fmt: skip
    return [day.astimezone(UTC) for day in found[:: -(-len(found) // MOST_DAYS)]]


def _is_month_end(day: datetime) -> bool:
    return (day + DAY).month != day.month


def _days(first: datetime, last: datetime) -> Iterator[datetime]:
    apart = max(DAY, (last - first) / MOST_DAYS)
    while first < last:
        yield first
        first += apart


def instants_of(
    local: Sequence[datetime], clock: Clock
) -> tuple[list[datetime], Mapping[int, str]]:
    """Return the instants of local times of one series, and why some of them are in doubt.

    Where a clock is set back, an hour is shown twice: what stands before the times' own step back
    is of the first, what follows of the second.

    Args:
        local: in order of time, or from the newest to the oldest.
    """
    order = range(len(local))
    if local and local[-1] < local[0]:
        order = range(len(local) - 1, -1, -1)
    instants = list(local)
    doubts: dict[int, str] = {}
    twice: dict[object, list[int]] = {}
    for i in order:
        instants[i] = clock.instant(local[i])
        if clock.is_changed:
            late = clock.instant(local[i], fold=1)
            if late > instants[i]:
                twice.setdefault(local[i].date(), []).append(i)
            elif late < instants[i]:
                doubts[i] = f"no clock of {clock.name} shows it, for it was set forward"
    for rows in twice.values():
        steps_back = [k for k in range(1, len(rows)) if local[rows[k]] <= local[rows[k - 1]]]
        if len(steps_back) == 1:
            for i in rows[steps_back[0] :]:
                instants[i] = clock.instant(local[i], fold=1)
        else:
            why = f"clocks of {clock.name} show it twice, for they were set back"
            doubts |= dict.fromkeys(rows, why)
    return instants, doubts
