"""Computes what the pages show of the statistics over seeds, trials and tasks."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from rnnbench.leaderboard import best_of_n
from rnnbench.leaderboard.pairwise import ReadItems, judge
from rnnbench.leaderboard.pareto import fronts
from rnnbench.leaderboard.types import Board, Row
from rnnbench.report import wording
from rnnbench.report.pair_sentences import basis
from rnnbench.report.sentences import headline_claims
from rnnbench.report.site.charts import Chart
from rnnbench.report.site.plots import effort_chart, front_chart

MOST_PAIRS = 28  # of architectures that are set against each other: eight of them


@dataclass(frozen=True)
class DuelCell:
    """One architecture against another with the same tricks.

    Attributes:
        kind: a class of the style sheet: better, worse, equal, open, none.
        word: the verdict, and what would settle it where it is open.
        figure: the difference with its interval, turned so that positive is better; on the log
            scale the ratio of the figures.
        basis: what stands behind it.
    """

    kind: str
    symbol: str
    word: str
    figure: str
    basis: str


NOT_RUN = DuelCell("none", "", "", "not run", "")


@dataclass(frozen=True)
class Duels:
    """The verdicts on pairs of architectures, trick by trick.

    Attributes:
        rows: ("gru against lstm", a verdict for each of `stacks`).
    """

    stacks: tuple[str, ...]
    rows: tuple[tuple[str, tuple[DuelCell, ...]], ...]
    left_out: int


def claims(board: Board, items: ReadItems | None = None) -> list[str]:
    """Return the sentences for the top of a board."""
    return headline_claims(board, items)


def duels(board: Board) -> Duels | None:
    """Compare architectures that have the same tricks; None where no two were tested."""
    ranked = [row for row in board.rows if row.kind == "ranked"]
    by_stack: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in ranked:
        by_stack[row.parts[1:]][row.parts[0]] = row
    stacks = sorted((s for s, rows in by_stack.items() if len(rows) > 1), key=lambda s: (len(s), s))
    architectures = list(dict.fromkeys(row.parts[0] for row in ranked))
    pairs = [(a, b) for i, a in enumerate(architectures) for b in architectures[i + 1 :]]
    if not stacks or not pairs:
        return None
    pairs_by_names: dict[tuple[str, str], Any] = {}
    for against in {row.name for s in stacks for row in by_stack[s].values()}:
        for pair in judge(board, against=against):
            pairs_by_names[pair.row, pair.other] = pair
    rows = []
    for a, b in pairs[:MOST_PAIRS]:
        cells = []
        for stack in stacks:
            first, second = by_stack[stack].get(a), by_stack[stack].get(b)
            judged = pairs_by_names.get((first.name, second.name)) if first and second else None
            cells.append(_pair_verdict(judged, board) if judged is not None else NOT_RUN)
        if any(cell is not NOT_RUN for cell in cells):
            rows.append((f"{a} against {b}", tuple(cells)))
    names = tuple(" + ".join(stack) or "no tricks" for stack in stacks)
    return Duels(names, tuple(rows), max(0, len(pairs) - MOST_PAIRS)) if rows else None


def _pair_verdict(pair: Any, board: Board) -> DuelCell:
    word: str = pair.verdict
    if more := wording.more_seeds(pair, board).strip(wording.NOTHING):
        word += f", {more} more seeds" if more != "1" else ", 1 more seed"
    if board.verdicts.look > board.verdicts.level:  # results decided on the seeds
        word += f" · {wording.took(pair)}"
    if pair.ratio is not None:
        figure = f"× {wording.interval(pair.ratio)}"
    else:
        text = wording.interval(pair.difference)
        figure = text if pair.difference.mean <= 0 or text.startswith("(") else f"+{text}"
    symbol = wording.SYMBOLS[pair.verdict]
    return DuelCell(pair.verdict, symbol, word, figure, basis(pair))


def pareto_charts(board: Board) -> list[Chart]:
    """Draw quality against each cost that the rows know."""
    if not board.headline:
        return []
    higher = bool(board.headline.get("higher_is_better"))
    charts = (front_chart(f, board.headline["name"], higher) for f in fronts(board))
    return [chart for chart in charts if chart is not None]


@dataclass(frozen=True)
class EffortChart:
    """Best of n: the chart, and from how many trials on one row is ahead of another."""

    chart: Chart | None
    duels: tuple[str, ...]
    notes: tuple[str, ...]


def effort(board: Board) -> EffortChart | None:
    """Draw best of n, and say who is ahead from where on; None where nothing was searched."""
    best_of = best_of_n.effort(board)
    if best_of is None:
        return None
    ahead = tuple(
        f"{d.row} is ahead of {d.other} from {d.from_trials} "
        f"trial{'s' if d.from_trials != 1 else ''} on"
        for d in best_of.duels
        if d.from_trials is not None
    )
    chart = effort_chart(best_of)
    return EffortChart(chart, ahead, tuple(best_of.notes)) if chart or ahead else None


def share(value: float | None) -> str:
    """Return a probability as "0.83"."""
    return wording.NOTHING if value is None or not math.isfinite(value) else f"{value:.2f}"
