"""Makes the site's plots: a run's curves, forecasts, attention, fronts, best of n, ranks.

The templates draw them as SVG.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.report.page.figures import Tick
from rnnbench.report.site.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Chart,
    Mark,
    line_chart,
)
from rnnbench.report.wording import number
from rnnbench.results.record import FLOW

SIDE = 130.0  # of a critical-difference diagram, for names
LABEL = 150.0  # as wide as a label of a point may be
WIDE = 30.0  # an axis of costs is logarithmic where the largest is so many times the least
GRADIENT = "norm of the gradient"
CELL = 15.0  # of an attention map


def run_curves(curve: Sequence[Sequence[Any]], metrics: Sequence[str]) -> list[Chart]:
    """Draw a run's validations: a chart for each metric and the losses, one for the gradients."""
    names = list(dict.fromkeys(n for _, _, values in curve for n in values))
    flow = [n for n in names if n.startswith(FLOW)]
    plain = [n for n in names if n not in flow and n not in ("loss", "train_loss")]
    order = [n for n in metrics if n in plain] + [n for n in plain if n not in metrics]

    def line(name: str) -> list[tuple[float, float | None]]:
        return [(step, values.get(name)) for step, _, values in curve]

    losses = {"loss": "validation", "train_loss": "training"}
    both = {label: line(name) for name, label in losses.items() if name in names}
    charts = [line_chart(both, "optimiser steps", "loss")] if both else []
    charts += [line_chart({n: line(n)}, "optimiser steps", f"validation {n}") for n in order]
    layers = {n.removeprefix(FLOW): line(n) for n in flow}
    charts.append(line_chart(layers, "optimiser steps", GRADIENT, log=True))
    return [chart for chart in charts if chart is not None]


def series_chart(drawing: Mapping[str, Any]) -> Chart | None:
    """Draw a forecast against the truth, after the past."""
    past, truth, forecast = (_as_numbers(drawing.get(k)) for k in ("past", "truth", "forecast"))
    lines = {
        "past": [(t - len(past), v) for t, v in enumerate(past)],
        "truth": [(t, v) for t, v in enumerate(truth)],
        "forecast": [(t, v) for t, v in enumerate(forecast)],
    }
    rules = [(-0.5, "forecast begins")] if past else []
    kept = {name: points for name, points in lines.items() if points}
    return line_chart(kept, "steps ahead", "value", rules=rules)


def _as_numbers(values: Any) -> list[float | None]:
    if not isinstance(values, list):
        return []
    return [float(v) if isinstance(v, (int, float)) else None for v in values]


@dataclass(frozen=True)
class AttentionPicture:
    """A picture of which source token each output token looked at.

    Attributes:
        squares: (x, y, percent, what it says) of every cell from 2% up.
        says: the strongest look of each output token, in words.
    """

    source: tuple[Tick, ...]
    output: tuple[Tick, ...]
    squares: tuple[tuple[float, float, int, str], ...]
    says: str
    width: float
    height: float
    left: float
    top: float
    cell: float = CELL


def attention_map(drawing: Mapping[str, Any]) -> AttentionPicture | None:
    """Draw an attention map; None where its rows and labels do not fit."""
    source, output, percent = (drawing.get(k) for k in ("source", "output", "percent"))
    if not (isinstance(source, list) and isinstance(output, list) and isinstance(percent, list)):
        return None
    source, output = [str(s)[:14] for s in source], [str(s)[:14] for s in output]
    rows = [[v for v in r if isinstance(v, int)] for r in percent if isinstance(r, list)]
    if not rows or len(rows) != len(output) or any(len(r) != len(source) for r in rows):
        return None
    left = 12 + 7.0 * max(map(len, output))
    top = 12 + 6.0 * max(map(len, source))
    squares = tuple(
        (left + CELL * j, top + CELL * i, v, f"{output[i]} looks at {source[j]}: {v}%")
        for i, row in enumerate(rows)
        for j, v in enumerate(row)
        if 2 <= v <= 100
    )
    looks = [f"{o} at {source[r.index(max(r))]}" for o, r in zip(output, rows, strict=True) if r]
    return AttentionPicture(
        tuple(Tick(left + CELL * (j + 0.5), s) for j, s in enumerate(source)),
        tuple(Tick(top + CELL * (i + 0.5), s) for i, s in enumerate(output)),
        squares, f"Looks most: {'; '.join(looks)}.",
        left + CELL * len(source) + 30, top + CELL * len(output) + 6, left, top,
    )  # fmt: skip


def front_chart(front: Any, quality: str, higher_is_better: bool) -> Chart | None:
    """Draw quality against a cost (`leaderboard.pareto.ParetoFront`), and the undominated edge."""
    points = [p for p in front.points if math.isfinite(p.cost) and p.cost > 0]
    if len(points) < 2:
        return None
    costs = [p.cost for p in points]
    x = Axis(costs, LEFT, WIDTH - RIGHT, 5, log=max(costs) > WIDE * min(costs))
    reach = [v for p in points for v in (_low_end(p.quality), _high_end(p.quality))]
    y = Axis(reach, HEIGHT - BOTTOM, TOP, 5)
    marks = tuple(
        Mark(
            p.row, x.at(p.cost), y.at(p.quality.mean), y.at(_low_end(p.quality)),
            y.at(_high_end(p.quality)), "front" if p.on_front else "behind",
            x.at(p.cost) > WIDTH * 0.62,
        )
        for p in points
    )  # fmt: skip
    marks = _separate_labels(marks)
    edge = sorted((m.x, m.y) for m in marks if m.kind == "front")
    corners = [c for a, b in itertools.pairwise(edge) for c in (a, (b[0], a[1]))]
    best = "highest" if higher_is_better else "lowest"
    on = ", ".join(p.row for p in points if p.on_front)
    return Chart(
        f"{front.label}{f' ({front.unit})' if front.unit else ''}",
        quality,
        f"{quality} ({best} is best) against {front.label}. Nothing is better and cheaper than: "
        f"{on}.",
        x.ticks, y.ticks, marks=marks,
        steps=" ".join(f"{a},{b}" for a, b in [*corners, *edge[-1:]]),
    )  # fmt: skip


def _separate_labels(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Move labels down where they would stand on one another."""
    moved: list[Mark] = []
    for mark in sorted(marks, key=lambda m: m.y):
        label = mark.y
        for other in moved:
            if abs(other.x - mark.x) < LABEL and label < other.label + 13 and label > other.y - 13:
                label = other.label + 13
        moved.append(dataclasses.replace(mark, label=label))
    return tuple(sorted(moved, key=lambda m: m.x))


def _low_end(estimate: Any) -> float:
    return estimate.mean if estimate.low is None else estimate.low


def _high_end(estimate: Any) -> float:
    return estimate.mean if estimate.high is None else estimate.high


def effort_chart(effort: Any, keep: Callable[[str], bool] = lambda row: True) -> Chart | None:
    """Draw the expected best of n trials of each row (`leaderboard.best_of_n.Effort`)."""
    chosen = [c for c in effort.curves if keep(c.row) and len(c.expected) > 1]
    lines = {c.row: list(enumerate(map(_finite_or_none, c.expected), 1)) for c in chosen}
    bands = {
        c.row: [
            (float(n), low, high)
            for n, (low, high) in enumerate(zip(c.low, c.high, strict=False), 1)
            if _finite_or_none(low) is not None and _finite_or_none(high) is not None
        ]
        for c in chosen
    }
    name = f"expected best validation {effort.metric}"
    return line_chart(lines, "trials of the search", name, bands=bands, whole=True)


def _finite_or_none(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class RankDiagram:
    """A critical-difference diagram (`leaderboard.across_tasks.Across`): average ranks on one axis.

    Attributes:
        rows: (name, x, y of its name, whether that stands to the left) from the best on.
        bars: (from, to, y) of rows that cannot be told apart.
        difference: (from, to) of the critical difference, drawn above the axis.
    """

    rows: tuple[tuple[str, float, float, bool], ...]
    ticks: tuple[Tick, ...]
    bars: tuple[tuple[float, float, float], ...]
    difference: tuple[float, float]
    says: str
    height: float
    width: float = WIDTH
    axis: float = 54.0


def rank_diagram(across: Any) -> RankDiagram:
    """Draw the ranks as Demšar (2006), JMLR 7, figure 1."""
    count = len(across.rows)

    def x(rank: float) -> float:
        return round(SIDE + (WIDTH - 2 * SIDE) * (rank - 1) / max(1, count - 1), 1)

    ranked = sorted(zip(across.rows, across.average_ranks, strict=True), key=lambda r: (r[1], r[0]))
    average = dict(ranked)
    bars = []
    for place, clique in enumerate(c for c in across.cliques if len(c) > 1):
        ranks = [average[name] for name in clique]
        bars.append((x(min(ranks)) - 4, x(max(ranks)) + 4, RankDiagram.axis + 12 + 7 * place))
    below = RankDiagram.axis + 24 + 7 * len(bars)
    # The better half is named from the right one down, so that no line crosses a name.
    half = (count + 1) // 2
    names = [
        (name, x(rank), below + 15 * (place if place < half else count - 1 - place), place < half)
        for place, (name, rank) in enumerate(ranked)
    ]
    difference_end = x(1 + min(across.critical_difference, count - 1))
    ranks_text = "; ".join(f"{name} {number(rank, 3)}" for name, rank in ranked)
    return RankDiagram(
        tuple(names),
        tuple(Tick(x(r), str(r)) for r in range(1, count + 1)),
        tuple(bars),
        (x(1), difference_end),
        f"Average ranks over {len(across.tasks)} tasks, 1 is best: {ranks_text}. "
        f"Critical difference {number(across.critical_difference, 3)}.",
        height=below + 15 * half,
    )
