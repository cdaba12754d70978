"""Plots with two axes: places their marks, in units of the drawing, from its upper left."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.report.page.figures import MOST_CURVES, Tick, ticks
from rnnbench.report.wording import number

WIDTH, HEIGHT = 640.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 18.0, 12.0, 42.0
POINTS = 160  # most points of a line; more are thinned out


@dataclass(frozen=True)
class ChartLine:
    """A line of a chart, with a band around it where there is one; as SVG's `points`."""

    name: str
    points: tuple[str, ...]  # one for each stretch without a gap
    band: str = ""


@dataclass(frozen=True)
class Mark:
    """A point of a scatter plot, with its vertical interval."""

    name: str
    x: float
    y: float
    low: float
    high: float
    kind: str  # a class of the style sheet
    left: bool  # its label stands to the left
    label: float = 0.0  # where that stands, clear of others


@dataclass(frozen=True)
class Chart:
    """A plot with two axes.

    Attributes:
        says: what it shows, in words, for those who do not see it.
        rules: x positions of vertical lines, with what they say.
    """

    x_label: str
    y_label: str
    says: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[ChartLine, ...] = ()
    marks: tuple[Mark, ...] = ()
    rules: tuple[Tick, ...] = ()
    steps: str = ""  # the edge of a Pareto front, as SVG's `points`
    left_out: int = 0
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


class Axis:
    """A scale from values to positions in the drawing."""

    def __init__(
        self, values: Iterable[float], first: float, last: float, about: int, *,
        log: bool = False, whole: bool = False,
    ) -> None:  # fmt: skip
        known = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        self.whole = whole
        self.log, self._first, self._last = log, first, last
        if log:
            low, high = math.log10(low), math.log10(high)
        pad = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
        self.low, self.high = low - pad, high + pad
        self.ticks = tuple(Tick(self._at(v), text) for v, text in self._marks(about))

    def _at(self, scaled: float) -> float:
        part = (scaled - self.low) / (self.high - self.low)
        return round(self._first + (self._last - self._first) * part, 1)

    def at(self, value: float) -> float:
        """Return the position of a value."""
        return self._at(math.log10(value) if self.log else value)

    def holds(self, value: float) -> bool:
        """Tell whether a value can be placed."""
        return math.isfinite(value) and (value > 0 or not self.log)

    def _marks(self, about: int) -> list[tuple[float, str]]:
        if not self.log:
            round_values = ticks(self.low, self.high, about)
            if not self.whole:
                return round_values
            return [(v, f"{v:,.0f}") for v, _ in round_values if abs(v - round(v)) < 1e-9]
        first, last = math.ceil(self.low), math.floor(self.high)
        if last - first >= 1:
            every = max(1, (last - first) // about + 1)
            return [(p, number(10.0**p, 1)) for p in range(first, last + 1, every)]
        round_values = ticks(10**self.low, 10**self.high, about)
        return [(math.log10(v), text) for v, text in round_values if v > 0]


def line_chart(
    lines: Mapping[str, Sequence[tuple[float, float | None]]],
    x_label: str,
    y_label: str,
    *,
    log: bool = False,
    bands: Mapping[str, Sequence[tuple[float, float, float]]] | None = None,
    rules: Sequence[tuple[float, str]] = (),
    whole: bool = False,
) -> Chart | None:
    """Draw lines over common axes; None where there is nothing to draw. A None leaves a gap.

    Args:
        log: the vertical axis is logarithmic, and values from 0 down leave gaps.
        bands: name -> (x, low, high) around its line; more than three are not told apart, and so
            not drawn.
        whole: the horizontal axis counts.
    """
    shown = {n: _thin(p) for n, p in list(lines.items())[:MOST_CURVES] if len(p) > 1}
    values = [y for points in shown.values() for _, y in points if y is not None]
    values = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not values:
        return None
    around = {n: b for n, b in (bands or {}).items() if n in shown and b and len(shown) <= 3}
    reach = [v for band in around.values() for _, low, high in band for v in (low, high)]
    x = Axis((x for p in shown.values() for x, _ in p), LEFT, WIDTH - RIGHT, 6, whole=whole)
    y = Axis([*values, *reach], HEIGHT - BOTTOM, TOP, 5, log=log)
    drawn = tuple(
        ChartLine(
            name, tuple(_split_at_gaps(points, x, y)), _band_points(around.get(name, ()), x, y)
        )
        for name, points in shown.items()
    )
    return Chart(
        x_label, y_label, _in_words(shown, x_label, y_label), x.ticks, y.ticks, lines=drawn,
        rules=tuple(Tick(x.at(at), text) for at, text in rules),
        left_out=len(lines) - len(shown),
    )  # fmt: skip


def _thin(points: Sequence[Any]) -> Sequence[Any]:
    if len(points) <= POINTS:
        return points
    every = len(points) / POINTS
    return [points[min(len(points) - 1, int(i * every))] for i in range(POINTS)] + [points[-1]]


def _split_at_gaps(points: Sequence[tuple[float, float | None]], x: Axis, y: Axis) -> list[str]:
    stretches: list[list[str]] = [[]]
    for at, value in points:
        if value is not None and y.holds(value):
            stretches[-1].append(f"{x.at(at)},{y.at(value)}")
        elif stretches[-1]:
            stretches.append([])
    return [" ".join(s) for s in stretches if s]


def _band_points(band: Sequence[tuple[float, float, float]], x: Axis, y: Axis) -> str:
    above = [f"{x.at(at)},{y.at(high)}" for at, _, high in band]
    below = [f"{x.at(at)},{y.at(low)}" for at, low, _ in reversed(band)]
    return " ".join(above + below)


def _in_words(
    shown: Mapping[str, Sequence[tuple[float, float | None]]], x_label: str, y_label: str
) -> str:
    parts = []
    for name, points in shown.items():
        known = [v for _, v in points if v is not None]
        if known:
            parts.append(f"{name} from {number(known[0], 3)} to {number(known[-1], 3)}")
    return f"{y_label} against {x_label}: {'; '.join(parts)}."
