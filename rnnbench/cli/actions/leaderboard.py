"""`rnnbench leaderboard` and `rnnbench index`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from rnnbench.errors import UserError
from rnnbench.leaderboard.across_tasks import across
from rnnbench.leaderboard.best_of_n import effort
from rnnbench.leaderboard.boards import refused_now
from rnnbench.leaderboard.pairwise import judge
from rnnbench.leaderboard.pareto import fronts
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Board
from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.leaderboard.verdicts.method import BoardMethod
from rnnbench.registry.registry import did_you_mean
from rnnbench.report.files.boards import as_csv, as_json, attributions_as_csv, attributions_as_json
from rnnbench.report.terminal import sections
from rnnbench.report.terminal.board import print_boards
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.report.terminal.trick_effects import print_attributions
from rnnbench.results.item_scores import items_of
from rnnbench.results.store import Store
from rnnbench.session.boards import read_boards
from rnnbench.sweep.ledger.ledger import refusals


class OptionError(UserError, ValueError):
    """Options that contradict each other, or a value that an option cannot have here."""


@dataclass(frozen=True)
class BoardRequest:
    """The parts that `rnnbench leaderboard` is asked for besides the boards.

    Attributes:
        against: every row against the one of this name.
        importance: by which evaluator, see `rnnbench.sweep.search.importance`.
        margin: within which rows are equal, as it was typed.
        board: the name of a board's data, or the beginning of its id: it is shown alone.
        whole: show every board, however many a task has.
    """

    against: str | None = None
    effort: bool = False
    pareto: bool = False
    across: bool = False
    importance: Any = None
    method: BoardMethod = field(default_factory=BoardMethod)
    margin: str | None = None
    board: str | None = None
    whole: bool = False

    def options(self) -> list[str]:
        """Return the options of method and margin as they are typed, without the defaults."""
        default, method = BoardMethod(), self.method
        typed = [
            f"--{name} {getattr(method, name)}"
            for name in ("centre", "interval", "test")
            if getattr(method, name) != getattr(default, name)
        ]
        return typed if self.margin is None else [*typed, f"--margin {self.margin.strip()}"]

    @property
    def sections(self) -> tuple[str, ...]:
        names = "against", "effort", "pareto", "across", "importance"
        return tuple(name for name in names if getattr(self, name))


def leaderboard_command(
    task: str | None,
    root: Path,
    want_json: bool,
    want_csv: bool,
    page: Path | None,
    attribution: bool = False,
    request: BoardRequest | None = None,
) -> None:
    """Print the boards of all tasks or of one, or write them as a page.

    Args:
        attribution: print which trick helps which cell instead; a page has both.

    Raises:
        PluginError: there is no such task.
        OptionError: options that contradict each other, or a row that no board has.
    """
    request = request or BoardRequest()
    _refuse_contradictions(request, task, want_json, want_csv, page is not None, attribution)
    store = Store(root)
    boards, margin = read_boards(
        store, task, method=request.method, margin=request.margin, across=request.across
    )
    report_damage(store)
    if request.board is not None:
        boards = _named_boards(boards, request.board)
    refused = _refused_combinations(store, boards)
    if page is not None:
        _write_page(page, store, task, boards, refused, request)
    if attribution:
        attributions = [attribute(board, refused) for board in boards]
        if want_json:
            print(attributions_as_json(attributions))
        elif want_csv:
            print(attributions_as_csv(attributions), end="")
        elif page is None:
            print_attributions(attributions, method=request.method)
    elif want_json:
        print(as_json(boards, _section_data(boards, request, store, task, margin)))
    elif want_csv:
        print(as_csv(boards), end="")
    elif page is None:
        console = plain_console()
        if not request.sections or not boards:
            whole = request.whole or request.board is not None
            print_boards(boards, console, items_of(store), whole=whole)
        _print_sections(boards, request, store, task, console, margin)


def _named_boards(boards: Sequence[Board], name: str) -> list[Board]:
    """Return the boards of a data set, or the one whose id begins so.

    Raises:
        OptionError: there are none.
    """
    found = [b for b in boards if name in (b.data_set, b.title)]
    found = found or [b for b in boards if len(name) > 3 and b.protocol_id.startswith(name)]
    if not found:
        known = sorted({b.data_set or b.protocol_id for b in boards})
        raise OptionError(
            f"--board {name}: no board is called so{did_you_mean(name, known)}\n"
            f"  Boards: {', '.join(known) or 'none'}"
        )
    return found


def _refuse_contradictions(
    request: BoardRequest,
    task: str | None,
    want_json: bool,
    want_csv: bool,
    page: bool,
    attribution: bool,
) -> None:
    """Refuse options of which one would be ignored."""
    options = [f"--{name}" for name in request.sections]
    if want_json and want_csv:
        raise OptionError("--json and --csv: ask for one after the other")
    if page and options and not want_json:
        raise OptionError(
            f"{options[0]} is printed, and --html writes what it shows without being asked: "
            "ask for one after the other"
        )
    if options and attribution:
        raise OptionError(f"--attribution and {options[0]}: ask for one after the other")
    if options and want_csv:
        raise OptionError(f"{options[0]} has no --csv; take --json")
    if request.whole and request.board is not None:
        raise OptionError("--all and --board: ask for one after the other")
    if request.whole and (options or want_json or want_csv or page or attribution):
        raise OptionError("--all prints boards in full; what else you asked for has all anyway")
    if request.board is not None and (request.across or page):
        other = "--across" if request.across else "--html"
        raise OptionError(f"--board shows one board, {other} takes them all: leave one away")
    if request.across and task is not None:
        raise OptionError(f"--across compares tasks: leave {task!r} away")


def _boards_with_row(boards: Sequence[Board], name: str) -> list[Board]:
    """Return the boards that have the row.

    Raises:
        OptionError: none has.
    """
    having = [b for b in boards if any(r.name == name and r.test is not None for r in b.rows)]
    if not having:
        known = sorted({r.name for b in boards for r in b.rows if r.test is not None})
        raise OptionError(
            f"--against {name}: no board has a tested row of that name{did_you_mean(name, known)}\n"
            f"  Rows: {', '.join(known) or 'none'}"
        )
    return having


def _print_sections(
    boards: Sequence[Board],
    request: BoardRequest,
    store: Store,
    task: str | None,
    console: Console,
    margin: EqualWithin | None,
) -> None:
    if request.against is not None:
        for board in _boards_with_row(boards, request.against):
            pairs = judge(board, request.against, items_of(store))
            sections.print_pairs(board, pairs, request.against, console)
    for board in boards:
        if request.effort:
            sections.print_effort(board, effort(board), console)
        if request.pareto:
            sections.print_fronts(board, fronts(board), console)
    if request.across:
        sections.print_across(across(boards, margin), console)
    if request.importance is not None:
        from rnnbench.sweep.search.importance import importances  # it brings Optuna

        shares = importances(store.engine, task, evaluator=request.importance)
        sections.print_importances(shares, console)


def _section_data(
    boards: Sequence[Board],
    request: BoardRequest,
    store: Store,
    task: str | None,
    margin: EqualWithin | None,
) -> dict[str, Any]:
    """Return the sections as data, those of boards in the boards' order."""
    content: dict[str, Any] = {}
    if request.against is not None:
        having = _boards_with_row(boards, request.against)
        content["against"] = [
            judge(b, request.against, items_of(store)) if b in having else [] for b in boards
        ]
    if request.effort:
        content["effort"] = [effort(b) for b in boards]
    if request.pareto:
        content["pareto"] = [fronts(b) for b in boards]
    if request.across:
        content["across"] = across(boards, margin)
    if request.importance is not None:
        from rnnbench.sweep.search.importance import importances

        content["importance"] = importances(store.engine, task, evaluator=request.importance)
    return content


def _refused_combinations(store: Store, boards: Sequence[Board]) -> list[Any]:
    """List what sweeps were refused on the boards' tasks, unless it has been run since."""
    return refused_now(boards, refusals(store.engine))


def _write_page(
    page: Path,
    store: Store,
    task: str | None,
    boards: Sequence[Board],
    refused: Any,
    request: BoardRequest,
) -> None:
    """Write one page where the name ends in .html, else a site."""
    # Templates take a tenth of a second to import, which a board in the terminal does without.
    from rnnbench.report.page.page import write_page
    from rnnbench.report.site.gather import gather
    from rnnbench.report.site.writer import write_site

    words = ["rnnbench leaderboard", *([task] if task else []), *request.options()]
    words.append(f"--html {page.name}")
    if page.suffix == ".html" and not page.is_dir():
        page.parent.mkdir(parents=True, exist_ok=True)
        write_page(boards, page, refused=refused, command=" ".join(words))
        print(f"page: {page}")
        return
    files = write_site(gather(store, task, boards), page, command=" ".join(words))
    print(f"site: {page / 'index.html'} ({len(files)} files)")


def index_command(root: Path) -> None:
    """Rebuild the database from the records on disk."""
    store = Store(root)
    print(f"{store.reindex()} records indexed from {root}")
    report_damage(store)


def report_damage(store: Store) -> None:
    """Name the records that cannot be read; the others count."""
    import sys

    for run_id, problem in sorted(store.damaged.items()):
        print(f"rnnbench: left out, {run_id}: {problem}", file=sys.stderr)
