"""Times as a table holds them: of ISO 8601, of a format, or plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

__all__ = ["TimeReader"]


class TimeReader:
    """Reads times of one kind: the first says whether they are dates or plain numbers."""

    def __init__(self, time_format: str) -> None:
        self.time_format = time_format
        self.read: Callable[[str], Any] | None = None
        self.aware: bool | None = None

    def __call__(self, cell: Any) -> datetime | float:
        if isinstance(cell, (int, float)) and not isinstance(cell, bool):
            return self._check_zone(_read_number(str(cell)))
        if isinstance(cell, datetime):
            return self._check_zone(cell)
        if isinstance(cell, date):
            return self._check_zone(datetime(cell.year, cell.month, cell.day))
        cell = "" if cell is None else str(cell).strip()
        if not cell:
            raise ValueError("no time")
        if self.time_format:
            return self._check_zone(datetime.strptime(cell, self.time_format))
        for read in (self.read,) if self.read else (_read_iso, _read_number):
            try:
                time = read(cell)
            except ValueError:
                continue
            self.read = read
            return self._check_zone(time)
        kind = "plain numbers as before" if self.read is _read_number else "a time of ISO 8601"
        raise ValueError(
            f"{cell!r} is not {kind}; say how times are written, such as task.time_format=%d/%m/%Y"
        )

    def _check_zone(self, time: datetime | float) -> datetime | float:
        aware = isinstance(time, datetime) and time.tzinfo is not None
        if self.aware is None:
            self.aware = aware
        if aware is not self.aware:
            raise ValueError("some times have a time zone and others have none")
        return time.astimezone(UTC).replace(tzinfo=None) if aware else time  # type: ignore[union-attr]


def _read_iso(cell: str) -> datetime:
    if len(cell) == 7 and cell[4] == "-":  # a month
        cell += "-01"
    return datetime.fromisoformat(cell)


def _read_number(cell: str) -> float:
    if "_" in cell or not math.isfinite(value := float(cell)):
        raise ValueError(f"{cell!r} is no time")
    return value
