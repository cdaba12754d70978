"""`rnnbench reproduce`: published figures beside ours, in words."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.reproduce import Recipe, ReproductionReport, find_recipe, judge, recipes
from rnnbench.leaderboard.types import Board
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.results.store import Store

GOOD = ("exact", "within tolerance")


def list_recipes(root: Path | str, database: str | None) -> None:
    """Print every recipe, what it claims, what it takes, and what came of it here."""
    table = Table(box=None, pad_edge=False)
    for title in ("recipe", "claim", "takes", "here"):
        table.add_column(title, overflow="fold")
    for recipe in recipes():
        report = judge(recipe, boards_of(recipe, root, database))
        table.add_row(recipe.name, recipe.claim, recipe.takes, report.outcome)
    console = plain_console()
    console.print(table)
    console.print("\nrun one: rnnbench reproduce NAME")


def reproduce_command(
    name: str, *, report_only: bool, root: Path | str, database: str | None, **options: Any
) -> int:
    """Run a recipe's sweep and report; return 0 where its figures are exact or within tolerance."""
    recipe = find_recipe(name)
    if not report_only:
        from rnnbench.cli.actions.sweep import run_file

        code = run_file(
            recipe.sweep, trials=None, timeout=None, root=root, database=database, **options
        )
        if code:
            return code
    report = judge(recipe, boards_of(recipe, root, database))
    print_report(report)
    return 0 if report.outcome in GOOD else 1


def boards_of(recipe: Recipe, root: Path | str, database: str | None) -> list[Board]:
    """Return the boards of the results that the recipe's sweep has here; none before it has run."""
    from rnnbench.cli.actions.sweep import records_of
    from rnnbench.sweep.file.sweep import read_sweep

    if "://" not in str(root) and not Path(root).exists():
        return []
    with closing(Store(root, database)) as store:
        return build(records_of(store, read_sweep(recipe.sweep)))


def print_report(report: ReproductionReport, console: Console | None = None) -> None:
    console = console or plain_console()
    recipe = report.recipe
    _print_line(console, f"\n{recipe.claim}\n {recipe.paper}, {recipe.where}")
    table = Table(box=None, pad_edge=False)
    for title in ("row", "metric", "published", "ours", "seeds", ""):
        table.add_column(title, overflow="fold")
    for figure in report.figures:
        expected = figure.expected
        published = f"{expected.bound} {expected.text}".strip()
        if not expected.bound:
            published += f" (± {expected.tolerance:g} allowed)"
        ours = "-" if figure.value is None else f"{figure.value:.4g}"
        if figure.half_width is not None:
            ours += f" ± {figure.half_width:.2g}"
        outcome = f"{figure.outcome} ({figure.note})" if figure.note else figure.outcome
        table.add_row(expected.row, expected.metric, published, ours, str(figure.seeds), outcome)
    console.print(table)
    words = {True: "holds", False: "does not hold", None: "not attempted"}
    for better, worse, held in report.order:
        _print_line(console, f" {better} is better than {worse}: {words[held]}")
    _print_line(console, f"{recipe.name}: {report.outcome}")


def _print_line(console: Console, text: str) -> None:
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
