"""Says a board in sentences: who beats whom, by how much, from which effort on; which trick.

The same sentences stand in the terminal and on the page.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnnbench.leaderboard.pairwise import Pair, ReadItems, judge, leader
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Board, Row
from rnnbench.report import wording
from rnnbench.stats import Method

MOST_NAMES = 6  # of a tie that are named


def headline_claims(board: Board, items: ReadItems | None = None) -> list[str]:
    """Say the board in one to four sentences, the most important first.

    Args:
        items: see `rnnbench.leaderboard.pairwise.judge`.
    """
    rows = board.ranked
    if not rows:
        return ["No row has test results yet"]
    if len(rows) == 1:
        return [f"Only {rows[0].name} has test results, so there is nothing to compare"]
    top = [row for row in rows if row.rank == 1]
    others = rows[len(top) :]
    sentences = []
    if len(top) > 1:
        sentences.append(_say_tie(board, top))
    if others:
        (pair,) = judge(board, None, items, others[0].name)
        sentences.append(claim(pair, board))
        if len(others) > 1:
            sentences.append(_say_others(leader(board), others))
    sentences += [_say_tricks(board), _say_baseline(board, top)]
    return [f"N{text[1:]}" if text.startswith("no ") else text for text in sentences if text]


def claim(pair: Pair, board: Board) -> str:
    """Return "gru beats lstm by 0.031 bits/char (p = 0.012, 5 seeds), from 8 trials on"."""
    gain = _say_gain(pair, board)
    if pair.verdict == "cannot tell":
        ahead = f"{pair.better} is ahead of {pair.worse} by {gain}"
        return f"{ahead}, and nobody can tell whether that is chance: {pair.note}"
    basis = f"p = {wording.probability(pair.p)}, {_say_seeds(pair)}".replace("= <", "<")
    if pair.verdict == "ties":
        text = f"{pair.better} and {pair.worse} tie: {pair.better} is ahead by {gain} ({basis})"
        return text + _say_items(pair)
    text = f"{pair.better} beats {pair.worse} by {gain} ({basis})"
    return text + _say_effort(pair) + _say_failures(pair) + _say_items(pair)


def _say_gain(pair: Pair, board: Board) -> str:
    unit = str(board.headline.get("unit", ""))
    metric = str(board.headline.get("name", ""))
    size = wording.number(abs(pair.difference.mean), 2)
    return f"{size} {unit}" if unit and unit != metric else f"{size} in {metric}"


def _say_seeds(pair: Pair) -> str:
    fewer, more = sorted(n for n in pair.seeds if n) if all(pair.seeds) else (max(pair.seeds),) * 2
    return f"{fewer} seeds" if fewer == more else f"{fewer} and {more} seeds"


def _say_effort(pair: Pair) -> str:
    """Say from how many trials of the search on the claim holds."""
    if not pair.trials:
        return ""
    if pair.trials_from is None:
        return (
            f"; on validation the best of {pair.trials} trials of {pair.worse} is expected to be "
            "better"
        )
    if pair.trials_from == 1:
        return f", from 1 trial on (of {pair.trials})"
    return f", from {pair.trials_from} trials on (of {pair.trials})"


def _say_failures(pair: Pair) -> str:
    rates = [
        f"{wording.number(100 * rate, 2)}% of {name}'s seeds failed"
        for name, rate in ((pair.row, pair.failed), (pair.other, pair.other_failed))
        if rate
    ]
    return f"; {' and '.join(rates)}" if rates else ""


def _say_items(pair: Pair) -> str:
    """Say what other sentences or series would tell."""
    if pair.items is None:
        return ""
    test = pair.items
    items = test.unit if test.unit == "series" else f"{test.unit}s"
    p = f"p = {wording.probability(test.p)}".replace("= <", "<")
    return f"; resampling {test.n:,} {items}: {p}"


def _say_tie(board: Board, top: Sequence[Row]) -> str:
    names = [row.name for row in top[:MOST_NAMES]]
    if len(top) > MOST_NAMES:
        names.append(f"{len(top) - MOST_NAMES} more")
    counts = sorted({len(row.values) for row in top})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    plural = "seed" if counts == [1] else "seeds"
    powerless = [n for n in board.notes if "cannot tell these" in n]
    if powerless or counts[0] == 1:
        return f"{_join_names(names)} cannot be told apart with {seeds} {plural}"
    return f"{_join_names(names)} tie: {seeds} {plural} show no difference"


def _say_others(best: Row, others: Sequence[Row]) -> str:
    worse = [row.name for row in others[1:] if row.p is not None and row.p < 0.05]
    if not worse:
        return ""
    names = worse if len(worse) <= MOST_NAMES else [*worse[:MOST_NAMES], f"{len(worse)} in all"]
    return f"{best.name} also beats {_join_names(names)}"


def _say_tricks(board: Board) -> str:
    """Say which trick helps which architecture."""
    attribution = attribute(board)
    helps, hurts, unclear = [], [], 0
    for comparison in attribution.comparisons:
        for effect in comparison.effects:
            if effect.verdict == "helps":
                helps.append(f"{comparison.name} helps {effect.architecture} "
                             f"({wording.difference(effect)} on the same seeds)")  # fmt: skip
            elif effect.verdict == "hurts":
                hurts.append(f"{comparison.name} hurts {effect.architecture}")
            unclear += effect.verdict == "unclear"
    if helps:
        return _join_names(helps[:MOST_NAMES])
    if hurts:
        return f"no trick is shown to help; {_join_names(hurts[:MOST_NAMES])}"
    return "no trick is shown to help or to hurt" if unclear else ""


def _say_baseline(board: Board, top: Sequence[Row]) -> str:
    """Warn where the best row is not better than a trivial baseline; "" where it is."""
    margin = top[0].margin
    if margin is None or margin.verdict == "beats":
        return ""
    return f"even {top[0].name} is {wording.verdict(margin)}".replace("is does not", "does not")


def _join_names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def legend(method: Method) -> str:
    """Explain the figures of a board, by its method."""
    centre = method.centre
    interval = "95% t interval" if method.interval == "t" else "95% bootstrap interval"
    test = "Welch's test" if method.test == "t" else "a permutation test"
    shown = "±" if method.interval == "t" else "with its"
    return (
        f"test: {centre} over seeds {shown} {interval}. Rows of one rank (=) cannot be told apart "
        f"by {test}, Holm-adjusted, p < 0.05. over baseline: positive is better. failed: of all "
        "runs, search and test."
    )
