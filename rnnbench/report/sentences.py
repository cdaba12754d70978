"""Says a board in sentences: who beats whom, by how much, from which effort on; which trick.

The same sentences stand in the terminal and on the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnnbench.leaderboard.across_tasks import Across
from rnnbench.leaderboard.pairwise import Pair, ReadItems, judge, leader
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Board
from rnnbench.leaderboard.verdicts.pairs import OPPOSITE
from rnnbench.report import wording
from rnnbench.stats import Estimate

MOST_NAMES = 6  # of rows that are named
MOST_OPEN = 4  # open pairs that are told one by one


def headline_claims(board: Board, items: ReadItems | None = None) -> list[str]:
    """Say the board in a few sentences, the most important first: which rows may be the best.

    Args:
        items: see `rnnbench.leaderboard.pairwise.judge`.
    """
    rows = board.ranked
    if not rows:
        return ["No row has test results yet"]
    if len(rows) == 1:
        return [f"Only {rows[0].name} has test results, so there is nothing to compare"]
    pairs = {pair.row: pair for pair in judge(board)}
    behind = [row for row in rows if row.name in pairs and pairs[row.name].verdict == "worse"]
    sentences = [_say_contenders(board), _say_out_of_race(board, pairs)]
    if behind:
        (pair,) = judge(board, None, items, behind[0].name)
        sentences.append(claim(pair, board))
        if len(behind) > 1:
            names = _join_names(_shorten([row.name for row in behind[1:]]))
            sentences.append(f"{leader(board).name} is also better than {names}")
    sentences += [_say_equal(board, pairs), _say_open(board, pairs)]
    if not behind and items is not None:
        (pair,) = judge(board, None, items, next(iter(pairs)))
        sentences.append(_say_doubt(pair))
    sentences += [_say_tricks(board), _say_baseline(board)]
    return [f"{text[0].upper()}{text[1:]}" if text.startswith(("no ", "even ")) else text
            for text in sentences if text]  # fmt: skip


def claim(pair: Pair, board: Board) -> str:
    """Say "gru is better than lstm by 0.031 bits (95%: 0.010 to 0.052; p = 0.01; 5 seeds)"."""
    first, second = pair.better, pair.worse
    if pair.verdict == "open":
        text = f"{first} and {second}: open{_say_lead(pair, board)}; {_say_way_out(pair, board)}"
        return text + _say_items(pair, board)
    if pair.verdict == "equal":
        text = f"{first} and {second} are equal: they differ by less than {_within(board)}"
        return f"{text} ({_say_basis(pair)})" + _say_failures(pair) + _say_items(pair, board)
    text = f"{first} is better than {second}{_say_gain(pair, board)}"
    if pair.within_margin:
        text += f", though by less than {_within(board)}, which makes no difference here"
    return text + _say_effort(pair) + _say_failures(pair) + _say_items(pair, board)


def basis(pair: Pair) -> str:
    """Say what stands behind a verdict, in short: p, seeds, trials, failures."""
    return _say_basis(pair) + _say_effort(pair) + _say_failures(pair)


def _within(board: Board) -> str:
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
    fewer, more = sorted(n for n in pair.seeds if n) if all(pair.seeds) else (max(pair.seeds),) * 2
    if fewer != more:
        return f"{fewer} and {more} seeds"
    return f"{fewer} seed{'s' if fewer > 1 else ''}"


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
        "equal": f"would find them equal, within {_within(board)}",
        "open": f"leave it open ({p}): that takes a larger test set",
    }
    if verdict == pair.verdict == "equal":
        words["equal"] = "would say so too"
    text = f"; other {items} than these {test.n:,} {words[verdict]}"
    if pair.seeds_share is None:
        return text
    seeds, rest = (f"{100 * share:.0f}%" for share in (pair.seeds_share, 1 - pair.seeds_share))
    return f"{text}; {seeds} of the doubt lies in the seeds and {rest} in the {items}"


def across_claims(across: Across) -> list[str]:
    """Say what the rows' skill over tasks tells: which may be the best, what is shown and open."""
    verdicts, tasks = across.verdicts, len(across.tasks)
    names = list(verdicts.contenders)
    told = _join_names(_shorten(names))
    best = told if len(names) == 1 else f"among: {told}"
    sentences = [f"The best over these {tasks} tasks is, with 95%, {best}"]
    first = verdicts.leader
    others = [name for name in verdicts.places if name != first]
    for word, text in (
        ("better", "is better than {}"), ("equal", "is equal to {} (within {} of skill)"),
        ("open", "is open against {}"),
    ):  # fmt: skip
        found = [name for name in others if verdicts.between(first, name).relation == word]
        if found:
            within = f"{verdicts.equal_within.size:g}"
            sentences.append(f"{first} {text.format(_join_names(_shorten(found)), within)}")
    return sentences


def _say_doubt(pair: Pair) -> str:
    """Say whether more seeds or a larger test set would tell more of a pair."""
    if pair.items is None or pair.seeds_share is None:
        return ""
    items = pair.items.unit if pair.items.unit == "series" else f"{pair.items.unit}s"
    seeds, rest = (f"{100 * share:.0f}%" for share in (pair.seeds_share, 1 - pair.seeds_share))
    return (
        f"Of the doubt about {pair.better} and {pair.worse} {seeds} lies in the seeds (would "
        f"training again say the same?) and {rest} in the {pair.items.n:,} {items} of the test set "
        "(would others?)"
    )


def _say_contenders(board: Board) -> str:
    names = list(board.verdicts.contenders)
    if len(names) == 1:
        return f"The best is, with 95%, {names[0]}"
    everyone = " (that is all of them)" if len(names) == len(board.ranked) else ""
    return f"The best is, with 95%, among: {_join_names(_shorten(names))}{everyone}"


def _say_out_of_race(board: Board, pairs: Mapping[str, Pair]) -> str:
    """Name the rows that are shown not to be the best, though not which row is better."""
    out = [
        name
        for name, pair in pairs.items()
        if pair.verdict in ("open", "equal") and name not in board.verdicts.contenders
    ]
    if not out or leader(board).name not in board.verdicts.contenders:
        return ""
    they, them = ("is", "it") if len(out) == 1 else ("are", "them")
    return (
        f"{_join_names(_shorten(out))} {they} shown not to be the best: some row is better than "
        f"{them}, and which one is open"
    )


def _shorten(names: Sequence[str]) -> list[str]:
    if len(names) <= MOST_NAMES + 1:
        return list(names)
    return [*names[:MOST_NAMES], f"{len(names) - MOST_NAMES} more"]


def _say_equal(board: Board, pairs: Mapping[str, Pair]) -> str:
    """Say which rows are equal to the leader."""
    equal = [name for name, pair in pairs.items() if pair.verdict == "equal"]
    if not equal:
        return ""
    names = _join_names([leader(board).name, *_shorten(equal)])
    if len(equal) == 1:
        return f"{names} are equal: they differ by less than {_within(board)}"
    return f"{names} are equal: the first differs from each by less than {_within(board)}"


def _say_open(board: Board, pairs: Mapping[str, Pair]) -> str:
    """Say against which rows the leader's lead is open, and what would settle it."""
    undecided = [pair for pair in pairs.values() if pair.verdict == "open"]
    if not undecided:
        return ""
    if all(len(row.values) < 2 for row in board.ranked):
        return "Open is everything: one seed of each says nothing about spread; take three or more"
    most = len(undecided) if len(undecided) <= MOST_OPEN + 1 else MOST_OPEN
    told = [f"{pair.row} ({_short_way_out(pair, board)})" for pair in undecided[:most]]
    rest = len(undecided) - len(told)
    names = _join_names([*told, *([f"{rest} more"] if rest else [])])
    return f"Open: {leader(board).name} against {names}"


def _short_way_out(pair: Pair, board: Board) -> str:
    if pair.more_seeds is not None:
        return f"about {pair.more_seeds} more seed{'s' if pair.more_seeds > 1 else ''} of each"
    if pair.note:
        return pair.note
    return f"more than {board.verdicts.most_seeds} seeds of each"


def _say_tricks(board: Board) -> str:
    """Say which trick helps which architecture."""
    attribution = attribute(board)
    helps, hurts, settled_not = [], [], 0
    for comparison in attribution.comparisons:
        for effect in comparison.effects:
            if effect.verdict == "helps":
                helps.append(f"{comparison.name} helps {effect.architecture} "
                             f"({wording.difference(effect)} on the same seeds)")  # fmt: skip
            elif effect.verdict == "hurts":
                hurts.append(f"{comparison.name} hurts {effect.architecture}")
            settled_not += effect.verdict in ("equal", "open")
    if helps:
        return _join_names(helps[:MOST_NAMES])
    if hurts:
        return f"no trick is shown to help; {_join_names(hurts[:MOST_NAMES])}"
    return "no trick is shown to help or to hurt" if settled_not else ""


def _say_baseline(board: Board) -> str:
    """Warn where no row, or not the leader, is better than a trivial baseline; "" where it is."""
    top = leader(board)
    if top.margin is None or top.margin.verdict == "better":
        return ""
    return f"even {top.name} is {wording.verdict(top.margin)}, a trivial baseline"


def _join_names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def legend(boards: Sequence[Board]) -> str:
    """Explain the figures of boards, by their method and scales."""
    method = boards[0].method
    interval = "95% t interval" if method.interval == "t" else "95% bootstrap interval"
    shown = "±" if method.interval == "t" else "with its"
    scales = {board.verdicts.scale for board in boards}
    test = f"test: {method.centre} over seeds {shown} {interval}"
    if "log" in scales:
        test += "; where logarithms are compared, the geometric mean with its interval"
    return (
        f"{test}. rank: the places that a row may have. Two rows: better is shown at 95% for all "
        "pairs together; equal is shown to differ by less than the margin; open is neither, and "
        "more seeds may settle it. over baseline: positive is better. failed: of all runs, search "
        "and test."
    )
