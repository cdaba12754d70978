"""`rnnbench leaderboard` and `rnnbench index`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnbench.attribution import attribute
from rnnbench.board import Board
from rnnbench.leaderboard import build, mark_absent
from rnnbench.registry import PluginError, did_you_mean, scan
from rnnbench.report.attribution import print_attributions
from rnnbench.report.export import as_csv, as_json, attributions_as_csv, attributions_as_json
from rnnbench.report.html import write_page
from rnnbench.report.site.gather import gather, refused_now
from rnnbench.report.site.writer import write_site
from rnnbench.report.terminal import print_boards
from rnnbench.store import Store
from rnnbench.sweep.ledger import refusals


def leaderboard_command(
    task: str | None,
    root: Path,
    want_json: bool,
    want_csv: bool,
    page: Path | None,
    attribution: bool = False,
) -> None:
    """Print the boards of all tasks or of one, or write them as a page.

    Args:
        attribution: print which trick helps which cell instead; a page has both.
    """
    store = Store(root)
    boards = mark_absent(build(store.records(task=task), task), scan()[0])
    report_damage(store)
    if task is not None and not boards:
        known = sorted({b.task for b in build(store.records())})
        if task not in known and task not in scan()[0]["tasks"]:
            raise PluginError(f"there is no task {task!r}{did_you_mean(task, known)}")
    refused = _refused(store, boards)
    if page is not None:
        _write(page, store, task, boards, refused)
    if attribution:
        found = [attribute(board, refused) for board in boards]
        if want_json:
            print(attributions_as_json(found))
        elif want_csv:
            print(attributions_as_csv(found), end="")
        elif page is None:
            print_attributions(found)
    elif want_json:
        print(as_json(boards))
    elif want_csv:
        print(as_csv(boards), end="")
    elif page is None:
        print_boards(boards)


def _refused(store: Store, boards: Sequence[Board]) -> list[Any]:
    """What sweeps were refused on the boards' tasks, once each, unless it has been run since."""
    return refused_now(boards, refusals(store.engine))


def _write(
    page: Path, store: Store, task: str | None, boards: Sequence[Board], refused: Any
) -> None:
    """One page where the name ends in .html, else a site."""
    words = ["rnnbench leaderboard", *([task] if task else []), f"--html {page.name}"]
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
