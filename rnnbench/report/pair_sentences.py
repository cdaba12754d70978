"""Says what a board tells of two rows, in a sentence.

The same sentences stand in the terminal and on the page.
"""

from __future__ import annotations

from rnnbench.leaderboard.pairwise import Pair
from rnnbench.leaderboard.types import Board
from rnnbench.leaderboard.verdicts.pairs import OPPOSITE
from rnnbench.report import wording
from rnnbench.stats import Estimate


def claim(pair: Pair, board: Board) -> str:
    """Say "gru is better than lstm by 0.031 bits (95%: 0.010 to 0.052; p = 0.01; 5 seeds)"."""
    first, second = pair.better, pair.worse
    if pair.verdict == "open":
        text = f"{first} and {second}: open{_say_lead(pair, board)}; {_say_way_out(pair, board)}"
        return text + _say_items(pair, board)
    if pair.verdict == "equal":
        text = f"{first} and {second} are equal: {say_how_equal(pair, board)}"
        return f"{text} ({_say_basis(pair)})" + _say_failures(pair) + _say_items(pair, board)
    text = f"{first} is better than {second}{_say_gain(pair, board)}"
    if pair.within_margin:
        text += f", though by less than {within(board)}, which makes no difference here"
    return text + _say_effort(pair) + _say_failures(pair) + _say_items(pair, board)


def say_how_equal(pair: Pair, board: Board) -> str:
    """Say by how little two equal rows differ."""
    if agree(pair):
        return "all their seeds agree to the last digit"
    return f"they differ by less than {within(board)}"


def agree(pair: Pair) -> bool:
    """Tell whether all seeds of two rows have the same figure."""
    shown = pair.ratio or pair.difference
    return shown.low == shown.high == (1.0 if pair.ratio else 0.0)


def basis(pair: Pair) -> str:
    """Say what stands behind a verdict, in short: p, seeds, trials, failures."""
    return _say_basis(pair) + _say_effort(pair) + _say_failures(pair)


def within(board: Board) -> str:
    """Return the margin of a board, as "0.01 bits"."""
    return wording.equal_within(board)


def _say_gain(pair: Pair, board: Board) -> str:
    """Say by how much the better row is better, or how large its figure is beside the other's."""
    metric = str(board.headline.get("name", ""))
    if pair.note and pair.ratio is None and pair.difference.low is None:
        return f" ({pair.note})"
    if pair.ratio is not None:
        ratio = pair.ratio if pair.better == pair.row else _turned(pair.ratio)
        size = wording.number(ratio.mean, 2)
        return (
            f": its {metric} is {size} times that of {pair.worse} "
            f"({_say_ends(ratio.low, ratio.high)}{_say_basis(pair)})"
        )
    return f" by {_size(pair, board)} ({_ends_of(pair)}{_say_basis(pair)})"


def _say_lead(pair: Pair, board: Board) -> str:
    """Say who is ahead in an open pair, and within what the truth may lie."""
    if pair.ratio is None and pair.difference.mean == 0:
        return ", with the same figure"
    return f", {pair.better} is ahead{_say_gain(pair, board)}" if _has_figures(pair) else ""


def _has_figures(pair: Pair) -> bool:
    return pair.difference.mean == pair.difference.mean


def _turned(ratio: Estimate) -> Estimate:
    ends = (1 / v if v else None for v in (ratio.high, ratio.low))
    return Estimate(1 / ratio.mean, ratio.n, None, *ends)


def _size(pair: Pair, board: Board) -> str:
    return wording.amount(wording.number(abs(pair.difference.mean), 2), board.headline)


def _ends_of(pair: Pair) -> str:
    low, high = pair.difference.low, pair.difference.high
    if low is None or high is None:
        return ""
    return _say_ends(*((low, high) if pair.better == pair.row else (-high, -low)))


def _say_ends(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f"95%: {wording.number(low, 2)} to {wording.number(high, 2)}; "


def _say_basis(pair: Pair) -> str:
    p = f"p = {wording.probability(pair.p)}; ".replace("= <", "<") if pair.p is not None else ""
    return p + _say_seeds(pair)


def _say_seeds(pair: Pair) -> str:
    """Say how many seeds there are of the better row, and of the other one."""
    seeds = pair.seeds if pair.better == pair.row else pair.seeds[::-1]
    first, second = seeds if all(seeds) else (max(seeds),) * 2
    if first != second:
        return f"{first} and {second} seeds"
    return f"{first} seed{'s' if first > 1 else ''}"


def _say_way_out(pair: Pair, board: Board) -> str:
    """Say what would settle an open pair."""
    if pair.more_seeds is not None:
        plural = "s" if pair.more_seeds > 1 else ""
        who = f"{pair.row}" if not all(pair.seeds) else "each"
        return f"about {pair.more_seeds} more seed{plural} of {who} would settle it"
    if pair.note:
        return pair.note
    return f"not even {board.verdicts.most_seeds} seeds of each would settle it at this spread"


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


def _say_items(pair: Pair, board: Board) -> str:
    """Say what other sentences or series would tell, and which part of the doubt is theirs."""
    if pair.items is None or pair.item_verdict is None:
        return ""
    test = pair.items
    items = test.unit if test.unit == "series" else f"{test.unit}s"
    verdict = pair.item_verdict if pair.better == pair.row else OPPOSITE[pair.item_verdict]
    p = f"p = {wording.probability(test.p)}".replace("= <", "<")
    words = {
        "better": f"would say so too ({p})",
        "worse": f"would say the opposite ({p})",
        "equal": f"would find them equal, within {within(board)}",
        "open": f"leave it open ({p}): that takes a larger test set",
    }
    if verdict == pair.verdict == "equal":
        words["equal"] = "would say so too"
    text = f"; other {items} than these {test.n:,} {words[verdict]}"
    if pair.seeds_share is None:
        return text
    seeds, rest = (f"{100 * share:.0f}%" for share in (pair.seeds_share, 1 - pair.seeds_share))
    return f"{text}; {seeds} of the doubt lies in the seeds and {rest} in the {items}"
