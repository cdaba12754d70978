"""Says a board in sentences: who beats whom, by how much, from which effort on; which trick.

The same sentences stand in the terminal and on the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnnbench.leaderboard.across_tasks import Across
from rnnbench.leaderboard.pairwise import Pair, ReadItems, judge, leader
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Board
from rnnbench.report import wording
from rnnbench.report.pair_sentences import agree, claim, say_how_equal, within

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
    if len(equal) == 1 or all(agree(pairs[name]) for name in equal):
        return f"{names} are equal: {say_how_equal(pairs[equal[0]], board)}"
    return f"{names} are equal: the first differs from each by less than {within(board)}"


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
    judged = (top.name, top.margin.baseline)
    note = next((p.note for p in board.verdicts.baselines if (p.row, p.other) == judged), "")
    why = f": {note}" if note else ""
    return f"even {top.name} is {wording.verdict(top.margin)}, a trivial baseline{why}"


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
