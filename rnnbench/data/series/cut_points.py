"""Where series are cut into training, validation and test: at shares, or at times."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rnnbench.data.series.regular_steps import Spaced
from rnnbench.data.series.time_formats import TimeReader
from rnnbench.errors import DataError

__all__ = ["cut_points"]


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
    """Return where parts begin at two times: local ones, or instants where they have an offset."""
    read = TimeReader(time_format)
    try:
        first, second = (_read_cut(read, text) for text in (valid, test))
        if isinstance(first, datetime) is not isinstance(rows.times[0], datetime):
            raise ValueError("they are of another kind than the times of the file")
        if not first < second:
            raise ValueError("validation must begin before the test")
        if read.aware and not all(clock.name for clock in rows.clocks):
            raise ValueError(
                "they have an offset, and the times of the file have none. Leave it out, such as "
                f"task.valid={_without_offset(first)}, or say by which clock the file's times are, "
                "such as task.zone=Europe/Berlin"
            )
    except ValueError as error:
        raise DataError(f"valid={valid}, test={test}: {error}") from error
    if rows.times:
        _refuse_cuts_outside(rows, first, second, bool(read.aware), f"valid={valid}, test={test}")
    ends, begin = [], 0
    for end, clock in zip(rows.ends_P.tolist(), rows.clocks, strict=True):
        cuts = []
        for at in (first, second):
            if read.aware:
                instant = at.astimezone(UTC).replace(tzinfo=None)
                cuts.append(bisect.bisect_left(rows.instants, instant, begin, end))
            elif clock.is_changed:  # local times may step back: the first that is late enough
                late = (i for i in range(begin, end) if rows.times[i] >= at)
                cuts.append(next(late, end))
            else:
                cuts.append(bisect.bisect_left(rows.times, at, begin, end))
        ends.append([*cuts, end])
        begin = end
    return np.array(ends)


def _refuse_cuts_outside(rows: Spaced, first: Any, second: Any, aware: bool, cuts: str) -> None:
    """Refuse cuts that leave nothing before them, or nothing from them on, in any series."""
    times = rows.instants if aware else rows.times
    if aware:
        first, second = (at.astimezone(UTC).replace(tzinfo=None) for at in (first, second))
    by = " (of UTC)" if aware else ""
    if second > max(times) or first <= min(times):
        late = second > max(times)
        raise DataError(
            f"{cuts}: no row of the file is {'at or after the test' if late else 'before them'}: "
            f"its times are from {min(times)} to {max(times)}{by}"
        )


def _read_cut(read: TimeReader, text: str) -> Any:
    """Read a time as those of the file are written, or else of ISO 8601."""
    try:
        return read(text)
    except ValueError:
        if not read.time_format:
            raise
        read.time_format, own = "", read.time_format
        try:
            time = read(text)
        except ValueError:
            raise ValueError(f"{text} is neither written as {own} nor of ISO 8601") from None
        read.time_format = own
        return time


def _without_offset(time: datetime) -> str:
    return time.replace(tzinfo=None).isoformat()
