"""Draws the pictures of a data card as lines and bars of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WIDTH, HEIGHT = 360, 60  # of a picture, in the units of its drawing


def path_of(picture: Mapping[str, Any]) -> str:
    """Return the path of a picture: a line that is broken where nothing is, or bars."""
    values: list[float | None] = picture["values"]
    known = [v for v in values if v is not None]
    bars = picture["form"] == "bars"
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    low = 0.0 if bars else low
    span = (high - low) or 1.0
    step = WIDTH / max(1, len(values))
    parts: list[str] = []
    pen_down = False
    for i, value in enumerate(values):
        if value is None:
            pen_down = False
            continue
        x, y = (i + 0.5) * step, HEIGHT - (value - low) / span * (HEIGHT - 4) - 2
        if bars:
            parts.append(f"M{x:.1f} {HEIGHT}V{y:.1f}")
        else:
            parts.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
            pen_down = True
    return "".join(parts)
