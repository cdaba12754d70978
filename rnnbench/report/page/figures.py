"""Places the marks of the page's figures, in units of the drawing. The template draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rnnbench.leaderboard.types import Attribution, Board, Effect, Row
from rnnbench.report.wording import number

STRIP_WIDTH, STRIP_EDGE = 230.0, 10.0
SHRINK = 4.0  # a mark is left off the axis where the others' span is so many times smaller
CURVES_WIDTH, CURVES_HEIGHT = 640.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 24.0, 12.0, 40.0  # margins of the curves
HEAT_STEPS = 4  # shades of a heat map on either side
MOST_CURVES = 8  # as many as can be told apart


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, with its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Strip:
    """The common axis of a board's intervals.

    Attributes:
        baselines: name -> position; those off the axis stand at its edge.
        off: sentences about baselines that are off the axis.
    """

    low: float
    high: float
    ticks: tuple[Tick, ...]
    baselines: tuple[tuple[str, float], ...]
    off: tuple[str, ...]
    width: float = STRIP_WIDTH

    def at(self, value: float) -> float:
        """Return the position of a value, held inside the drawing."""
        part = (value - self.low) / (self.high - self.low)
        inner = STRIP_WIDTH - 2 * STRIP_EDGE
        return round(STRIP_EDGE + inner * min(1.02, max(-0.02, part)), 2)

    def holds(self, value: float) -> bool:
        """Tell whether a value lies on the axis."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Whisker:
    """A row's interval on the strip; `off` is "left" or "right" where its mean is off the axis."""

    mean: float
    low: float | None
    high: float | None
    off: str


def strip(board: Board) -> Strip | None:
    """Return the axis for a board's ranked rows, None where it has none."""
    ranked = [row for row in board.rows if row.kind == "ranked" and row.test]
    means = [row.centre.mean for row in ranked if row.centre]
    if not means:
        return None
    baselines = [(r.name, r.test.mean) for r in board.rows if r.kind == "baseline" and r.test]
    core = _drop_outliers(means)
    low, high = min(core), max(core)
    span = (high - low) or abs(low) * 0.1 or 1.0
    for row in ranked:  # whiskers may widen the axis to three times the span of the means
        shown = row.centre
        if shown and low <= shown.mean <= high and shown.low is not None and shown.high is not None:
            low = min(low, max(shown.low, min(core) - span))
            high = max(high, min(shown.high, max(core) + span))
    for _, value in baselines:
        if low - span <= value <= high + span:
            low, high = min(low, value), max(high, value)
    pad = 0.04 * ((high - low) or span)
    axis = Strip(low - pad, high + pad, (), (), ())
    off = tuple(
        f"{name} ({number(value)}) lies off the axis to the {'left' if value < low else 'right'}"
        for name, value in baselines
        if not axis.holds(value)
    )
    return Strip(
        axis.low,
        axis.high,
        tuple(Tick(axis.at(v), text) for v, text in ticks(axis.low, axis.high, 3)),
        tuple((name, axis.at(value)) for name, value in baselines if axis.holds(value)),
        off,
    )


def whisker(row: Row, axis: Strip) -> Whisker | None:
    """Return where a ranked row's mean and interval stand; None for other rows."""
    if row.kind != "ranked" or row.centre is None:
        return None
    test = row.centre
    off = "" if axis.holds(test.mean) else "left" if test.mean < axis.low else "right"
    low = None if test.low is None else axis.at(test.low)
    high = None if test.high is None else axis.at(test.high)
    return Whisker(axis.at(test.mean), low, high, off)


def _drop_outliers(values: Iterable[float]) -> list[float]:
    """Drop the values that are so far off that the others would shrink to a point."""
    core = sorted(values)
    while len(core) > 2:
        span = core[-1] - core[0]
        without_first, without_last = core[-1] - core[1], core[-2] - core[0]
        if min(without_first, without_last) * SHRINK >= span:
            break
        core = core[1:] if without_first < without_last else core[:-1]
    return core


@dataclass(frozen=True)
class CurveLine:
    """One row's validation curve; `band` runs around the least and greatest over seeds."""

    name: str
    seeds: int
    points: str
    band: str


@dataclass(frozen=True)
class Curves:
    """The best rows' curves on common axes.

    Attributes:
        beyond: rows that the vertical axis does not reach for: they end so far off that the
            others would be one line.
        left_out: number of rows that are not drawn.
    """

    lines: tuple[CurveLine, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    beyond: tuple[str, ...]
    left_out: int
    width: float = CURVES_WIDTH
    height: float = CURVES_HEIGHT
    left: float = LEFT
    right: float = CURVES_WIDTH - RIGHT
    top: float = TOP
    bottom: float = CURVES_HEIGHT - BOTTOM


def curves(board: Board) -> Curves | None:
    """Return validation curves of the best ranked rows, None where none has two points."""
    rows = [row for row in board.rows if row.kind == "ranked" and len(row.curve) > 1]
    if not rows:
        return None
    shown = rows[:MOST_CURVES]
    ends = _drop_outliers([row.curve[-1].mean for row in shown])
    inside = [row for row in shown if ends[0] <= row.curve[-1].mean <= ends[-1]]
    points = [point for row in inside for point in row.curve]
    x_low, x_high = 0.0, float(max(row.curve[-1].step for row in shown))
    y_low, y_high = min(p.low for p in points), max(p.high for p in points)
    pad = 0.05 * (y_high - y_low) or abs(y_high) * 0.05 or 1.0
    y_low, y_high = y_low - pad, y_high + pad

    def x(step: float) -> float:
        width = CURVES_WIDTH - LEFT - RIGHT
        return round(LEFT + width * (step - x_low) / (x_high - x_low), 1)

    def y(value: float) -> float:
        height = CURVES_HEIGHT - TOP - BOTTOM
        return round(TOP + height * (y_high - value) / (y_high - y_low), 1)

    lines = []
    for row in shown:
        above = [f"{x(p.step)},{y(p.high)}" for p in row.curve]
        below = [f"{x(p.step)},{y(p.low)}" for p in reversed(row.curve)]
        middle = " ".join(f"{x(p.step)},{y(p.mean)}" for p in row.curve)
        several = len(row.seeds) > 1
        lines.append(
            CurveLine(row.name, len(row.seeds), middle, " ".join(above + below) if several else "")
        )
    return Curves(
        lines=tuple(lines),
        x_ticks=tuple(Tick(x(v), text) for v, text in ticks(x_low, x_high, 6)),
        y_ticks=tuple(Tick(y(v), text) for v, text in ticks(y_low, y_high, 5)),
        beyond=tuple(r.name for r in shown if not y_low <= r.curve[-1].mean <= y_high),
        left_out=len(rows) - len(shown),
    )


@dataclass(frozen=True)
class Heat:
    """The colours of an attribution: those that help on one side, those that hurt on the other.

    Only a clear difference has a shade; the others are faint, however large they look.

    Attributes:
        step: differences up to this have the first shade, up to twice this the second, and so on;
            the last one also holds those that are so far off that the others would be alike.
    """

    step: float

    def shade(self, effect: Effect) -> str:
        """Return the class of a cell, such as "plus-3", "minus-0" (not clear), or "none"."""
        if effect.difference is None:
            return "none"
        size = abs(effect.difference.mean)
        sign = "plus" if effect.difference.mean > 0 else "minus"
        if effect.verdict in ("equal", "open"):
            return f"{sign}-0" if size else "none"
        return f"{sign}-{min(HEAT_STEPS, max(1, math.ceil(size / self.step - 1e-9)))}"


def heat(attribution: Attribution) -> Heat:
    """Return the scale of an attribution's clear differences; of all where none is clear."""
    measured = [e for c in attribution.comparisons for e in c.effects if e.difference]
    clear = [e for e in measured if e.verdict in ("helps", "hurts")] or measured
    sizes = [abs(e.difference.mean) for e in clear if e.difference]
    return Heat((max(_drop_outliers(sizes), default=0.0) or 1.0) / HEAT_STEPS)


def ticks(low: float, high: float, about: int) -> list[tuple[float, str]]:
    """Return round values in an interval, with labels that tell them apart."""
    raw = (high - low) / about
    power = math.floor(math.log10(raw))
    step = next(m for m in (1, 2, 2.5, 5, 10) if m * 10.0**power >= raw * 0.999) * 10.0**power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [k * step for k in range(first, last + 1)]
    decimals = max(0, -math.floor(math.log10(step)))
    if round(step * 10**decimals, 6) % 1:
        decimals += 1
    largest = max((abs(v) for v in values), default=0.0)
    if 0 < largest < 1e-3 or largest >= 1e6:
        return [(v, f"{v:.3g}".replace("-", "−")) for v in values]
    return [(v, f"{v:,.{decimals}f}".replace("-", "−")) for v in values]
