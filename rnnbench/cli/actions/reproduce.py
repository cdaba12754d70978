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
from rnnbench.results.store import Store

GOOD = ("exact", "within tolerance")


def list_recipes(root: Path | str, database: str | None) -> None:
    """Every recipe, what it claims, what it takes, and what came of it here."""
    table = Table(box=None, pad_edge=False)
    for title in ("recipe", "claim", "takes", "here"):
        table.add_column(title, overflow="fold")
    for recipe in recipes():
        report = judge(recipe, boards_of(recipe, root, database))
        table.add_row(recipe.name, recipe.claim, recipe.takes, report.outcome)
    console = Console()
    console.print(table)
    console.print("\nrun one: rnnbench reproduce NAME", highlight=False)


def reproduce(
    name: str, *, report_only: bool, root: Path | str, database: str | None, **given: Any
) -> int:
    """Run a recipe's sweep and report; 0 where its figures are exact or within tolerance."""
    recipe = find_recipe(name)
    if not report_only:
        from rnnbench.cli.actions.sweep import run_file

        code = run_file(
            recipe.sweep, trials=None, timeout=None, root=root, database=database, **given
        )
        if code:
            return code
    report = judge(recipe, boards_of(recipe, root, database))
    print_report(report)
    return 0 if report.outcome in GOOD else 1


def boards_of(recipe: Recipe, root: Path | str, database: str | None) -> list[Board]:
    """The boards of the results that the recipe's sweep has here; none where it has not run."""
    from rnnbench.cli.actions.sweep import records_of
    from rnnbench.sweep.file.sweep import read_sweep

    if "://" not in str(root) and not Path(root).exists():
        return []
    with closing(Store(root, database)) as store:
        return build(records_of(store, read_sweep(recipe.sweep)))


def print_report(report: ReproductionReport, console: Console | None = None) -> None:
    console = console or Console()
    recipe = report.recipe
    _say(console, f"\n{recipe.claim}\n {recipe.paper}, {recipe.where}")
    table = Table(box=None, pad_edge=False)
    for title in ("row", "metric", "published", "ours", "seeds", ""):
        table.add_column(title, overflow="fold")
    for found in report.found:
        asked = found.expected
        published = f"{asked.bound} {asked.text}".strip()
        if not asked.bound:
            published += f" (± {asked.tolerance:g} allowed)"
        ours = "-" if found.value is None else f"{found.value:.4g}"
        if found.half_width is not None:
            ours += f" ± {found.half_width:.2g}"
        outcome = f"{found.outcome} ({found.note})" if found.note else found.outcome
        table.add_row(asked.row, asked.metric, published, ours, str(found.seeds), outcome)
    console.print(table)
    words = {True: "holds", False: "does not hold", None: "not attempted"}
    for better, worse, held in report.order:
        _say(console, f" {better} is better than {worse}: {words[held]}")
    _say(console, f"{recipe.name}: {report.outcome}")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
