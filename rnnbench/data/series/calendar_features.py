"""Where in the day, the week and the year a time is, as numbers that a model can read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

__all__ = ["CALENDAR", "calendar_features", "time_of_year"]

CALENDAR = ("hour", "weekday", "monthday", "yearday")


def time_of_year(day_of_year_N: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return (N, 2) sine and cosine of a day's angle, with 365.25 days a turn."""
    return _circle(np.asarray(day_of_year_N) / 365.25)


def calendar_features(times: Sequence[datetime], features: Sequence[str]) -> np.ndarray:
    """Return (N, 2 F) sine and cosine of how far each of F features is through its turn.

    "hour": of the day, minutes and seconds too. "weekday": of the week, from Monday.
    "monthday": of the month, 31 days. "yearday": of the year, 365.25 days.
    """
    parts = []
    for feature in features:
        if feature == "hour":
            turn = [(t.hour * 3600 + t.minute * 60 + t.second) / 86400 for t in times]
        elif feature == "weekday":
            turn = [t.weekday() / 7 for t in times]
        elif feature == "monthday":
            turn = [(t.day - 1) / 31 for t in times]
        elif feature == "yearday":
            turn = [t.timetuple().tm_yday / 365.25 for t in times]
        else:
            raise ValueError(f"{feature!r} is no calendar feature; there are {', '.join(CALENDAR)}")
        parts.append(_circle(np.array(turn)))
    return np.concatenate(parts, 1) if parts else np.empty((len(times), 0))


def _circle(turn_N: np.ndarray) -> np.ndarray:
    angle_N = 2 * np.pi * turn_N
    return np.stack([np.sin(angle_N), np.cos(angle_N)], 1)
