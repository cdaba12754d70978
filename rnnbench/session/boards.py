"""Results of many runs: `rb.runs` and `rb.leaderboard`. No torch here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, overload

from rnnbench.errors import PluginError
from rnnbench.leaderboard.boards import build, mark_absent
from rnnbench.leaderboard.third_parties import mark_third_parties
from rnnbench.leaderboard.types import Board
from rnnbench.leaderboard.verdicts.equality import EqualWithin, MarginError, read_margin
from rnnbench.leaderboard.verdicts.method import STANDARD, BoardMethod
from rnnbench.registry.held_laws import verdicts_noted
from rnnbench.registry.registry import did_you_mean, discover
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.session.advice import in_python
from rnnbench.session.listing import Listing, as_frame, html_table
from rnnbench.session.place import results_place
from rnnbench.session.ranges import refuse_no_name, refuse_other

if TYPE_CHECKING:
    import pandas

NOTHING = "No results yet. Start with rb.run(task, architecture)"
UNFOLDED = 3  # boards that a notebook shows whole; of more it shows a line each
SHOWN = ("run_id", "status", "metric", "valid", "test", "parameters", "train_seconds")


class BoardList(Sequence[Board]):
    """Boards, the rows of each of which may be compared.

    It shows as tables with what they say; a board has all figures as attributes, see
    `rnnbench.leaderboard.types.Board`.
    """

    def __init__(self, boards: Sequence[Board], empty: str = NOTHING) -> None:
        self._boards, self._empty = list(boards), empty

    @overload
    def __getitem__(self, at: int) -> Board: ...
    @overload
    def __getitem__(self, at: slice) -> BoardList: ...
    def __getitem__(self, at: int | slice) -> Board | BoardList:
        return BoardList(self._boards[at]) if isinstance(at, slice) else self._boards[at]

    def __len__(self) -> int:
        return len(self._boards)

    def __iter__(self) -> Iterator[Board]:
        return iter(self._boards)

    def to_pandas(self) -> pandas.DataFrame:
        """Return every row of every board, with the columns of `rnnbench leaderboard --csv`.

        Raises:
            MissingPandasError: pandas is not installed.
        """
        from rnnbench.report.files.boards import lines

        return as_frame(lines(self._boards))

    def __repr__(self) -> str:
        from rnnbench.report.terminal.board import render

        if not self._boards:
            return self._empty
        return render(self._boards, width=100).strip("\n")

    def _repr_html_(self) -> str:
        from rnnbench.report.sentences import legend

        if not self._boards:
            return f"<p>{escape(self._empty)}</p>"
        folded = len(self._boards) > UNFOLDED
        shown = "".join(board_as_html(board, folded=folded) for board in self._boards)
        return f"{shown}<p>{escape(legend(self._boards))}</p>"


def board_as_html(board: Board, *, folded: bool = False) -> str:
    """Return a board as a piece of HTML: what it says, its rows, and what limits it.

    Args:
        folded: show its title and what it says first; the rest when it is clicked.
    """
    from rnnbench.report import wording
    from rnnbench.report.sentences import headline_claims
    from rnnbench.report.terminal.board import COLUMNS, NAME_PLACE, name_of_row

    columns: list[tuple[int, str, list[str]]] = [
        (c.place, c.header, [c.cell(row) for row in board.rows]) for c in COLUMNS
    ]
    columns.append((NAME_PLACE, "architecture + tricks", list(map(name_of_row, board.rows))))
    columns = sorted(column for column in columns if any(column[2]))
    table = html_table(
        [header for _, header, _ in columns],
        list(zip(*(cells for *_, cells in columns), strict=True)),
        ["left" if place == NAME_PLACE else "right" for place, *_ in columns],
    )
    claims = headline_claims(board)
    notes = [f"{row.name}: {mark}." for row in board.rows for mark in row.marks]
    notes += [
        f"{row.name}: {f.count} of {row.runs} runs failed ({f.status}): {'; '.join(f.reasons)}"
        for row in board.rows
        for f in row.failures
    ]
    told = "<br>".join(map(escape, [*notes, *board.notes]))
    protocol = escape("; ".join(f"{label}: {text}" for label, text in board.protocol))
    listed = "".join(f"<li>{escape(text)}.</li>" for text in claims)
    content = f"<p>{protocol}</p><ul>{listed}</ul>{table}<p><small>{told}</small></p>"
    title = f"<b>{escape(f'{board.title}: {wording.headline(board)}')}</b>"
    if not folded:
        return title + content
    first = f" {escape(claims[0])}." if claims else ""
    return f"<details><summary>{title}{first}</summary>{content}</details>"


def _no_results(task: str | None, others: Sequence[str]) -> str:
    """Return what is said where there is no board."""
    if not others:
        return NOTHING
    return f"No results of {task} yet; there are some of {', '.join(others)}"


class ReadBoards(NamedTuple):
    """Boards as they were read, and the margin that was asked for."""

    boards: list[Board]
    margin: EqualWithin | None


def read_boards(
    store: Store,
    task: str | None = None,
    *,
    method: BoardMethod = STANDARD,
    margin: str | None = None,
    across: bool = False,
) -> ReadBoards:
    """Return the boards of all tasks or of one, with marks on plugins that are not rnnbench's.

    Args:
        margin: within which rows are equal, as it is typed: "0.01", or "2%".
        across: a margin without a unit is one of skill scores, and not of boards.

    Raises:
        PluginError: there is no such task.
        MarginError: it cannot be, or is in the unit of one of several metrics.
    """
    installed = discover()[0]
    records = list(store.records(task=task))
    equal = None if margin is None else read_margin(margin)
    of_boards = None if equal and across and not equal.relative else equal
    boards = build(records, task, method=method, margin=of_boards)
    refuse_margin_of_no_unit(boards, of_boards)
    boards = mark_third_parties(boards, records, installed, verdicts_noted())
    boards = mark_absent(boards, installed)
    if task is not None and not boards:
        known = sorted({b.task for b in build(store.records())})
        if task not in known and task not in installed["tasks"]:
            raise PluginError(f"there is no task {task!r}{did_you_mean(task, known)}")
    return ReadBoards(boards, equal)


def refuse_margin_of_no_unit(boards: Sequence[Board], margin: EqualWithin | None) -> None:
    """Refuse a number in a unit where the boards have several.

    Raises:
        MarginError
    """
    metrics = sorted({(b.headline["name"], b.headline.get("unit", "")) for b in boards if b.ranked})
    if margin is None or margin.relative or len(metrics) < 2:
        return
    told = ", ".join(f"{name} in {unit}" if unit else name for name, unit in metrics)
    raise MarginError(
        f"--margin {margin.size:g} is in the unit of one metric, and these boards have {told}: "
        f"name a TASK, such as rnnbench leaderboard {boards[0].task} --margin {margin.size:g}, or "
        "give a share, such as --margin 2%"
    )


@in_python
def leaderboard(
    task: str | None = None,
    *,
    out: Path | str | None = None,
    centre: Literal["mean", "median"] = "mean",
    interval: Literal["t", "bootstrap"] = "t",
    test: Literal["moderated", "t", "permutation"] = "moderated",
    margin: float | str | None = None,
) -> BoardList:
    """Return which rows may be the best, what is better, equal or open: of every task, or of one.

    Args:
        out: folder or address of results, see `rb.run`.
        centre: what stands for a row over its seeds.
        interval: of 95%, over seeds.
        test: what tells rows apart.
        margin: rows that differ by less are equal: 0.01 in the metric's unit, or "2%"; None: the
            task's.

    Raises:
        PluginError: there is no such task.
        MarginError: the margin cannot be.
        SpecError: there is no such centre, interval or test.
    """
    refuse_no_name("task", task)
    refuse_other("centre", centre, ("mean", "median"))
    refuse_other("interval", interval, ("t", "bootstrap"))
    refuse_other("test", test, ("moderated", "t", "permutation"))
    method = BoardMethod(centre, interval, test)
    with closing(Store(results_place(out))) as store:
        read = read_boards(
            store, task, method=method, margin=None if margin is None else str(margin)
        )
        warn_of_damage(store)
        others = () if read.boards or task is None else {r.spec.task.name for r in store.records()}
        return BoardList(read.boards, _no_results(task, sorted(others)))


@in_python
def runs(
    task: str | None = None,
    *,
    sweep: str | None = None,
    status: str | None = None,
    out: Path | str | None = None,
) -> Listing:
    """Return all runs, or those of a task, of a sweep, or that ended in one way.

    Each row has what the run was, how it ended, its figures and cost; `rb.load(row["run_id"])` is
    the run.

    Args:
        out: folder or address of results, see `rb.run`.

    Raises:
        PluginError: no runs are of such a task, nor is it installed.
        SpecError: there is no such status.
    """
    from rnnbench.report.files.runs import row_of

    refuse_no_name("task", task)
    refuse_other("status", status, [s.value for s in Status])
    with closing(Store(results_place(out))) as store:
        found = list(store.records(task, sweep, None if status is None else Status(status)))
        warn_of_damage(store)
        if not found and task is not None and task not in discover()[0]["tasks"]:
            names = sorted({r.spec.task.name for r in store.records()})
            raise PluginError(f"there is no task {task!r}{did_you_mean(task, names)}")
    return Listing([row_of(r) for r in found], SHOWN, empty="no runs yet")


def warn_of_damage(store: Store) -> None:
    """Warn of records that cannot be read; the others count."""
    for run_id, problem in sorted(store.damaged.items()):
        warnings.warn(f"left out, {run_id}: {problem}", RuntimeWarning, stacklevel=3)
