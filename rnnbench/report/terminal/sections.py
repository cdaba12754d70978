"""Prints the sections of `rnnbench leaderboard`: verdicts, effort, costs, tasks, importance."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rnnbench.leaderboard.across_tasks import Across, Profile
from rnnbench.leaderboard.best_of_n import Effort
from rnnbench.leaderboard.pairwise import Pair
from rnnbench.leaderboard.pareto import TIMES, FrontPoint, ParetoFront
from rnnbench.leaderboard.types import Board, CellImportance
from rnnbench.report import wording
from rnnbench.report.pair_sentences import claim
from rnnbench.report.sentences import across_claims
from rnnbench.report.terminal.board import GAP
from rnnbench.report.terminal.notes import print_note
from rnnbench.report.wording import visible

ROOM_FOR_PATHS = 100  # columns of text from which on intervals fit beside paths
LONGEST_NAME = 32  # columns of text; longer names are folded
TAUS = (0.25, 0.5, 0.75)  # of a profile that a table shows


def print_pairs(board: Board, pairs: Sequence[Pair], against: str, console: Console) -> None:
    """Print every row against one: by how much, how surely, from which effort on."""
    _print_title(console, f"{board.title}: against {against}")
    if not pairs:
        print_note(console, "There is no other row with test results.")
        return
    columns = {
        "row": [pair.row for pair in pairs],
        "verdict": [f"{wording.SYMBOLS[p.verdict]} {p.verdict}" for p in pairs],
        **({"times": [wording.interval(p.ratio) for p in pairs]} if board.verdicts.scale == "log"
           else {"better by": [wording.interval(p.difference) for p in pairs]}),
        "more seeds": [wording.more_seeds(p, board) for p in pairs],
        "p": [wording.probability(pair.p) for pair in pairs],
        "trials": [_say_trials(pair) for pair in pairs],
        "effect": [_say_effect(pair.effect) for pair in pairs],
        "p over items": [wording.probability(p.items.p) if p.items else wording.NOTHING
                         for p in pairs],
        "failed": [f"{pair.failed:.0%}" for pair in pairs],
        "took": [wording.took(pair) for pair in pairs],
        "P(better)": [wording.NOTHING if p.superiority is None else f"{p.superiority:.2f}"
                      for p in pairs],
    }  # fmt: skip
    idle = {"failed": "0%", "p over items": wording.NOTHING, "trials": wording.NOTHING,
            "more seeds": ""}  # fmt: skip
    shown = {n: c for n, c in columns.items() if set(c) != {idle.get(n)}}
    _print_columns(shown, console)
    for pair in pairs:
        print_note(console, f"{claim(pair, board)}.")
    metric = board.headline.get("name", "the figure")
    by = (
        f"times: {metric} of the row over that of {against}, with its interval"
        if board.verdicts.scale == "log"
        else "better by: with its interval"
    )
    effects = (
        f"▲ better, ▼ worse, = equal, ○ open: as on the board. {by}; it and p hold for all pairs "
        "of the board together. more seeds: of each, to settle it at the present spread. took: "
        "training of both rows' seeds. effect: Hedges' g. P(better): that a seed of the row beats "
        "one of the other. trials: from how many trials of the search on the better one's expected "
        "best on validation is better."
    )
    print_note(console, effects)


def print_effort(board: Board, effort: Effort | None, console: Console) -> None:
    """Print the expected best on validation after n trials, and from where on who is ahead."""
    _print_title(console, f"{board.title}: expected best on validation after n trials")
    if effort is None:
        print_note(console, "No row has two trials of a search: sweep it with trials: 8 or so.")
        return
    longest = max(curve.trials for curve in effort.curves)
    shown = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256) if n < longest] + [longest]
    direction = "higher" if effort.higher_is_better else "lower"
    table = _make_table(["row", *(f"n = {n}" for n in shown)])
    for curve in effort.curves:
        values = [
            wording.number(curve.expected[n - 1]) if n <= curve.trials else wording.NOTHING
            for n in shown
        ]
        table.add_row(Text(visible(curve.row)), *values)
    console.print(table)
    print_note(console, f"{effort.metric}, {direction} is better; unbiased, from the trials.")
    first = effort.curves[0].row
    for duel in effort.duels:
        if duel.row != first:
            continue
        n = len(duel.chance)
        chance = f"the best of {n} beats it with probability {duel.chance[-1]:.2f}"
        if duel.from_trials is None:
            text = f"{first} is not ahead of {duel.other} after {n} trials"
        else:
            clear = "" if duel.clear_from is None else f", clearly from {duel.clear_from}"
            text = (
                f"{first} is ahead of {duel.other} from {_count_trials(duel.from_trials)} on{clear}"
            )
        print_note(console, f"{text}; {chance}.")
    for note in effort.notes:
        print_note(console, f"Note: {note}")


def print_fronts(board: Board, fronts: Sequence[ParetoFront], console: Console) -> None:
    """Print quality against each cost, and whom nobody beats for it."""
    _print_title(console, f"{board.title}: quality against cost")
    if not fronts:
        print_note(console, "No two rows differ in a cost that is known of both.")
        return
    any_timed = False
    for front in fronts:
        timed = front.cost in TIMES
        any_timed |= timed
        header = [front.label, "row", str(board.headline.get("name", "")), ""]
        table = _make_table([*header[:2], *(["path"] if timed else []), *header[2:]])
        for point in front.points:
            cells = [cost(front.cost, point.cost), point.row]
            if timed:
                cells.append(point.path or wording.NOTHING)
            narrow = timed and console.width < ROOM_FOR_PATHS
            quality = point.quality
            shown = wording.number(quality.mean) if narrow else wording.interval(quality)
            cells += [shown, _say_place(point, timed)]
            table.add_row(
                *(Text(visible(c), style="bold" if point.on_front else "") for c in cells)
            )
        console.print(table)
    text = (
        "On the front: no other row has at least as good a figure for no more of this cost. Else "
        "the row that has, and the board's verdict on the two: it is better, equal or open. Costs "
        "are means over the seeds on test."
    )
    if any_timed:
        text += (
            " path: the code that ran the recurrence, on which times depend; * ran on another "
            "machine than most rows, so that its seconds do not compare. The machine's products: "
            "operations that large float32 products would have done in the time of training there."
        )
    print_note(console, text)


def _say_place(point: FrontPoint, timed: bool) -> str:
    """Say whether a row is on the front, or who stands before it and what is judged of the two."""
    star = " *" if timed and point.other_machine else ""
    if point.on_front:
        return f"on the front{star}"
    return f"{point.dominated_by}: {point.verdict}{star}"


def print_across(across: Across | None, console: Console) -> None:
    """Print rows over tasks: ranks, scores, and wins."""
    _print_title(console, "Over all tasks")
    if across is None:
        print_note(console, "No two rows have test results on two tasks.")
        return
    print_note(console, f"Tasks: {', '.join(across.tasks)}.")
    for text in across_claims(across):
        console.print(Padding(Text(visible(f"→ {text}."), overflow="fold"), (0, 0, 0, 1)))
    table = _make_table(["row", "places", "skill", "average rank", "▲/=/○/▼"])
    order = sorted(range(len(across.rows)), key=lambda i: -across.skill[i].mean)
    for i in order:
        name = across.rows[i]
        total = [sum(o[k] for o in across.outcomes[i] if o is not None) for k in range(4)]
        table.add_row(
            Text(visible(name)),
            wording.places(across.verdicts.places[name]),
            wording.interval(across.skill[i]),
            f"{across.average_ranks[i]:.2f}",
            "/".join(map(str, total)),
        )
    console.print(table)
    for bar in across.cliques:
        print_note(console, f"Open by ranks, for other tasks: {', '.join(bar)}.")
    f = f"F = {across.friedman_f:.3g}" if across.friedman_f < 1e9 else "all tasks rank alike"
    p = f"p = {wording.probability(across.p)}".replace("= <", "<")
    print_note(
        console,
        f"Friedman: chi² = {across.friedman:.3g}, {f}, {p}. Average ranks differ by Nemenyi's test "
        f"where they lie {across.critical_difference:.2f} apart or more.",
    )
    table = _make_table(["row", "IQM", *(f"> {t:g}" for t in TAUS), "P(better)"])
    for i in order:
        profile, pi = across.profiles[i], across.improvement[i][order[0]]
        table.add_row(
            Text(visible(across.rows[i])),
            interval_between(across.iqm[i].mean, across.iqm[i].low, across.iqm[i].high),
            *(f"{_share_above(profile, t):.0%}" for t in TAUS),
            "" if pi is None else interval_between(pi.mean, pi.low, pi.high),
        )
    console.print(table)
    print_note(
        console,
        "skill: mean over the tasks, each counting the same; 0 is a task's best trivial baseline, "
        "1 is perfect, and a failed seed has the worst of its task. places: those that a row may "
        "have by it, for other seeds on these tasks. ▲/=/○/▼: better, equal, open and worse "
        "against all others on all tasks, by the boards' verdicts. IQM: the mean of the middle "
        "half of all runs' skill, with its 95% interval by a stratified bootstrap. > t: the share "
        "of runs with a skill above t. P(better): that a run of the row beats one of the first.",
    )
    for note in across.notes:
        print_note(console, f"Note: {note}")


def print_importances(importances: Sequence[CellImportance], console: Console) -> None:
    """Print which searched setting mattered in which cell."""
    _print_title(console, "Which searched setting mattered")
    if not importances:
        print_note(console, "No sweep is known here: settings of runs made by hand are no search.")
        return
    table = _make_table(["cell", "trials", "share of what validation said"])
    for cell in importances:
        name = " + ".join((cell.architecture, *cell.tricks))
        shares = ", ".join(f"{setting} {share:.0%}" for setting, share in cell.shares)
        note = f"({cell.note})" if cell.note else ""
        table.add_row(
            Text(visible(f"{cell.sweep}: {cell.task} {name}")),
            str(cell.trials),
            Text(visible(" ".join(filter(None, (shares, note))))),
        )
    console.print(table)


def cost(name: str, value: float) -> str:
    """Return a cost of a record as a reader should see it."""
    if name.endswith("_seconds"):
        if value >= 0.1:
            return wording.duration(value)
        return f"{wording.number(1000 * value, 3)} ms"
    return wording.size(value) if name.endswith("_bytes") else wording.count(value)


def interval_between(mean: float, low: float | None, high: float | None) -> str:
    """Return an interval as "0.93 [0.88, 0.97]"."""
    text = f"{mean:.2f}"
    if low is not None and high is not None:
        text += f" [{low:.2f}, {high:.2f}]"
    return text.replace("-", "−")


def _say_effect(effect: float | None) -> str:
    return wording.NOTHING if effect is None else f"{effect:+.1f}".replace("-", "−")


def _print_columns(columns: dict[str, list[str]], console: Console) -> None:
    """Print a table of as many columns as there is room for, the first ones first."""
    room = console.width
    table_columns = []
    for i, (name, cells) in enumerate(columns.items()):
        longest = max(map(len, [name, *cells]))
        room -= GAP + (min(longest, LONGEST_NAME) if i == 0 else longest)
        if room < 0 and i > 1:
            break
        table_columns.append(name)
    table = _make_table(table_columns)
    for line in zip(*(columns[name] for name in table_columns), strict=True):
        table.add_row(*(Text(visible(c)) for c in line))
    console.print(table)


def _share_above(profile: Profile, tau: float) -> float:
    """Return the share of runs above the profile's point next to tau."""
    nearest = min(range(len(profile.taus)), key=lambda k: abs(profile.taus[k] - tau))
    return profile.share[nearest]


def _say_trials(pair: Pair) -> str:
    if not pair.trials:
        return wording.NOTHING
    return "not yet" if pair.trials_from is None else f"{pair.trials_from}"


def _count_trials(trials: int) -> str:
    return "1 trial" if trials == 1 else f"{trials} trials"


def _print_title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(visible(text), style="bold"))


def _make_table(header: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for i, name in enumerate(header):
        words = name in ("row", "cell", "path", "", "share of what validation said")
        table.add_column(
            Text(visible(name)), justify="left" if words else "right", overflow="fold",
            no_wrap=not words and i > 0, min_width=14 if name in ("row", "cell") else None,
        )  # fmt: skip
    return table
