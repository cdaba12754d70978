"""Says how long to wait before something that failed is tried again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

JITTER = 0.25  # part of a wait by which it is longer or shorter, so that not all come at once


def wait_before(number: int, *, first: float, most: float, key: str = "") -> float:
    """Return the seconds to wait before a try: doubled each time up to `most`.

    Args:
        number: of failures so far, from 1 on.
        first: seconds after the first failure.
        key: what is tried; it alone decides on the jitter, so that a repetition waits the same.
    """
    whole = min(first * 2 ** min(number - 1, 32), most)
    drawn = hashlib.sha256(f"{key}/{number}".encode()).digest()[0] / 255
    return whole * (1 - JITTER + 2 * JITTER * drawn)


def waits(total: float, *, first: float, most: float, key: str = "") -> Iterator[float]:
    """Yield the seconds to wait before each further try, `total` of them in all at most."""
    number, left = 1, total
    while left > 0:
        wait = min(wait_before(number, first=first, most=most, key=key), left)
        yield wait
        number, left = number + 1, left - wait
