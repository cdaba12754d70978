"""Times as a table holds them: of ISO 8601, of a format, or plain numbers; read and written."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

__all__ = ["TimeReader", "format_of_digits", "read_iso", "write_like"]

# Times of ISO 8601, and of programs that put a blank before the zone.
_ISO = re.compile(
    r"(\d{4})(-?)(\d\d)(?:\2(\d\d))?"
    r"(?:([T ])(\d\d)(?:(:?)(\d\d)(?:\7(\d\d)(?:[.,](\d+))?)?)?)?"
    r"( ?)(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?"
)
# Quarters of a year: 1950Q1, 1950-Q1, 1950 q1, and Q1 1950, Q1/1950.
_QUARTER = re.compile(r"(\d{4})([ -]?)([Qq])([1-4])")
_QUARTER_FIRST = re.compile(r"([Qq])([1-4])([ /-]?)(\d{4})")
_DIGITS = {"%Y%m": 6, "%Y%m%d%H": 10, "%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}
_ZONED = re.compile(r" (Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$")


class TimeReader:
    """Reads times of one kind: the first says whether they are dates or plain numbers.

    Args:
        time_format: of `datetime.strptime`; "" for ISO 8601 or plain numbers.
        aware: whether times must have an offset; None: the first says it.
        numbers: how plain numbers are read.
    Attributes:
        zone: the name of the time zone that the times came with; "" for none.
        like: the last text that was read, as an example of how times are written.
    Raises:
        ValueError: the format has %Z, which Python reads and forgets.
    """

    def __init__(
        self, time_format: str, aware: bool | None = None, numbers: Callable[[str], float] = float
    ) -> None:
        if "%Z" in time_format.replace("%%", ""):
            raise ValueError(
                f"time_format={time_format} has %Z, a zone's name, which is read and then "
                "forgotten. Write the name as it stands in the file instead of %Z, and say its "
                "zone, such as task.zone=UTC"
            )
        self.time_format = time_format
        self.read: Callable[[str], Any] | None = None
        self.aware, self.asked = aware, aware is not None
        self.numbers = numbers
        self.zone = self.like = ""

    def __call__(self, cell: Any) -> datetime | float:
        """Return a time: an aware one has its offset, and no zone that changes."""
        if isinstance(cell, (int, float)) and not isinstance(cell, bool) and not self.time_format:
            return self._check_zone(self._read_number(cell))
        if isinstance(cell, datetime):
            self.zone = self.zone or str(getattr(cell.tzinfo, "key", ""))
            return self._check_zone(_plain(cell))
        if isinstance(cell, date):
            return self._check_zone(datetime(cell.year, cell.month, cell.day))
        cell = "" if cell is None else str(cell).strip()
        if not cell:
            raise ValueError("no time")
        self.like = cell
        if self.time_format:
            return self._check_zone(datetime.strptime(cell, self.time_format))
        for read in (self.read,) if self.read else (read_iso, self._read_number):
            try:
                time = read(cell)
            except _TooManyDigits:
                raise
            except ValueError:
                continue
            self.read = read
            return self._check_zone(time)
        kind = "plain numbers as before" if self.read == self._read_number else "a time of ISO 8601"
        raise ValueError(
            f"{cell!r} is not {kind}; say how times are written, such as "
            + " or ".join(shlex.quote(f"task.time_format={f}") for f in _formats_that_read(cell))
        )

    def _read_number(self, cell: Any) -> float:
        value = self.numbers(cell) if isinstance(cell, str) else float(cell)
        if "_" in str(cell) or not math.isfinite(value):
            raise ValueError(f"{cell!r} is no time")
        # A float holds whole numbers exactly up to 2^53, some 9e15: neighbours beyond may be equal.
        if abs(value) >= 2**53 and str(cell).lstrip("+-").isdecimal() and int(cell) != int(value):
            raise _TooManyDigits(
                f"{cell} has more digits than are told apart in a time; write times in a larger "
                "unit (microseconds instead of nanoseconds) or as dates"
            )
        return value

    def _check_zone(self, time: datetime | float) -> datetime | float:
        if isinstance(time, datetime) and not 2 <= time.year <= 9997:
            raise ValueError(
                f"the year {time.year} rather stands for no date, and nothing can be counted from "
                "it; leave its row out"
            )
        aware = isinstance(time, datetime) and time.tzinfo is not None
        if self.aware is None:
            self.aware = aware
        if aware is not self.aware:
            if self.asked:
                this, those = ("an", "none") if aware else ("no", "one")
                raise ValueError(
                    f"it has {this} offset, and the times of the task's own file have {those}"
                )
            raise ValueError(
                f"it has {'a' if aware else 'no'} time zone, and those before it "
                f"{'none' if aware else 'one'}: some times have a time zone and others have none"
            )
        return time


_DATES = (
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%y", "%m/%d/%y",
    "%d.%m.%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%m/%Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S")


def _formats_that_read(cell: str) -> list[str]:
    """Return the usual formats by which a cell is a time, two at most; else an example of one."""
    found = []
    for date_format in _DATES:
        for time_format in _TIMES:
            try:
                datetime.strptime(cell, date_format + time_format)
            except ValueError:
                continue
            found.append(date_format + time_format)
    return found[:2] or ["%d/%m/%Y"]


class _TooManyDigits(ValueError):
    """Is raised for a number that is a time, of which a float would keep a neighbour."""


def _plain(time: datetime) -> datetime:
    """Return a time of a Parquet file as a datetime of Python with a fixed offset."""
    if getattr(time, "nanosecond", 0):
        raise ValueError(f"{time} is finer than a microsecond")
    offset = time.utcoffset()
    zone = None if offset is None else timezone(offset)
    return datetime(
        time.year, time.month, time.day, time.hour, time.minute, time.second, time.microsecond, zone
    )


def read_iso(cell: str) -> datetime:
    """Read a time of ISO 8601, a month such as 2024-01 and a quarter such as 1950Q1 too.

    Raises:
        ValueError: it is none.
    """
    if match := _QUARTER.fullmatch(cell):
        return datetime(int(match[1]), 3 * int(match[4]) - 2, 1)
    if match := _QUARTER_FIRST.fullmatch(cell):
        return datetime(int(match[4]), 3 * int(match[2]) - 2, 1)
    if cell.isdigit() and len(cell) != 8:  # such as the milliseconds of an epoch
        raise ValueError(f"{cell!r} is no date")
    if len(cell) == 7 and cell[4] == "-":  # a month
        cell += "-01"
    if match := _ZONED.search(cell):
        zone = match[1]
        cell = cell[: match.start()] + ("+00:00" if zone in ("UTC", "GMT") else zone)
    return datetime.fromisoformat(cell)


def format_of_digits(times: Sequence[float]) -> str | None:
    """Return the format of dates that were read as plain numbers, such as 202401 and 2024013123.

    None: they are no dates.
    """
    if not all(float(t).is_integer() and 1e5 < t < 1e15 for t in times[:2]):
        return None
    for time_format, digits in _DIGITS.items():
        try:
            for t in times:
                text = f"{t:.0f}"
                if len(text) != digits or not 1900 <= int(text[:4]) < 2100:
                    raise ValueError
                datetime.strptime(text, time_format)
        except ValueError:
            continue
        return time_format
    return None


def write_like(time: datetime, like: str, time_format: str) -> str:
    """Write a time as another one is written, finer only where it would not be itself.

    Args:
        time: with an offset if the other has one.
        like: the other, as `TimeReader` read it.
    """
    if (quarter := _write_quarter(time, like)) is not None:
        return quarter
    match = _ISO.fullmatch(like)
    if match is not None and match[12] in ("Z", "UTC", "GMT"):
        time = time.astimezone(UTC)
    if time_format:
        if "%z" in time_format and re.search(r"[+-]\d\d:\d\d", like):
            time_format = time_format.replace("%z", time.isoformat(timespec="seconds")[19:])
        return time.strftime(time_format)
    if match is None:
        return time.isoformat(" ")
    _, dash, _, day, between, hour, colon, minute, second, fraction, blank, zone = match.groups()
    rest = timedelta(hours=time.hour, minutes=time.minute, seconds=time.second)
    whole_day = not rest and not time.microsecond
    text = time.strftime(f"%Y{dash}%m")
    if day or time.day != 1 or not whole_day:
        text += time.strftime(f"{dash}%d")
    colon = colon if minute else dash.replace("-", ":")
    if hour or not whole_day:
        text += (between or " ") + time.strftime("%H")
        if minute or time.minute or time.second or time.microsecond or not hour:
            text += time.strftime(f"{colon}%M")
        if second or time.second or time.microsecond:
            text += time.strftime(f"{colon}%S")
        digits = f"{time.microsecond:06d}"
        kept = digits[: len(fraction or "")]
        if fraction or time.microsecond:
            text += "." + (digits if digits[len(kept) :].strip("0") else kept)
    if time.tzinfo is None:
        return text
    if zone in ("Z", "UTC", "GMT"):
        return text + blank + zone
    offset = time.isoformat(timespec="seconds")[19:]  # +09:00
    if zone is not None and len(zone) == 3 and offset.endswith(":00"):
        offset = offset[:3]
    return text + blank + (offset.replace(":", "") if zone and ":" not in zone else offset)


def _write_quarter(time: datetime, like: str) -> str | None:
    """Write a quarter's first day as another quarter is written; None where either is none."""
    if time != datetime(time.year, time.month, 1) or time.month % 3 != 1:
        return None
    quarter = time.month // 3 + 1
    if match := _QUARTER.fullmatch(like):
        return f"{time.year:04d}{match[2]}{match[3]}{quarter}"
    if match := _QUARTER_FIRST.fullmatch(like):
        return f"{match[1]}{quarter}{match[3]}{time.year:04d}"
    return None
