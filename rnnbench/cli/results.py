"""Commands on results and data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rnnbench.cli.completion import names_of
from rnnbench.cli.root import RESULTS, example, main


@main.command(
    epilog=example(
        "rnnbench leaderboard char-lm",
        "rnnbench leaderboard char-lm --attribution",
        "rnnbench leaderboard char-lm --against lstm --effort --pareto",
        "rnnbench leaderboard char-lm --margin 0.01",
        "rnnbench leaderboard --across",
        "rnnbench leaderboard --html site",
        "rnnbench leaderboard char-lm --html board.html",
    )
)
@click.argument("task", required=False, shell_complete=names_of("tasks"))
@RESULTS
@click.option(
    "--attribution", is_flag=True, help="Which trick helps which cell. A page has that anyway."
)
@click.option("--against", metavar="ROW", help="Every row against this one, or a baseline.")
@click.option(
    "--effort", is_flag=True, help="The expected best of n trials: from how many on who is ahead."
)
@click.option("--pareto", is_flag=True, help="Quality against time, parameters, FLOPs, memory ...")
@click.option("--across", is_flag=True, help="Rows over all tasks: ranks, scores, wins.")
@click.option(
    "--importance",
    type=click.Choice(["ped-anova", "fanova"]),
    help="Which searched setting mattered, by this evaluator.",
)
@click.option(
    "--centre",
    type=click.Choice(["mean", "median"]),
    default="mean",
    show_default=True,
    help="What stands for a row over its seeds.",
)
@click.option(
    "--interval",
    type=click.Choice(["t", "bootstrap"]),
    default="t",
    show_default=True,
    help="Of 95%, over seeds.",
)
@click.option(
    "--test",
    type=click.Choice(["moderated", "t", "permutation"]),
    help="What tells rows apart: all rows at once (moderated, the default), Welch's t or "
    "permutations by pairs.",
)
@click.option(
    "--margin",
    metavar="SIZE",
    help="Rows that differ by less are equal: 0.01 (in the metric's unit) or 2%. By default the "
    "task's.",
)
@click.option("--board", metavar="NAME", help="One board alone: its data's name, or its id.")
@click.option("--all", "whole", is_flag=True, help="Every board in full, not an index of many.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    help="Write a site into this folder; or, to a name that ends in .html, one page alone.",
)
def leaderboard(task: str | None, root: Path, attribution: bool, as_json: bool, as_csv: bool,
                page: Path | None, centre: Any, interval: Any, test: Any, board: str | None,
                whole: bool, margin: str | None, **sections: Any) -> None:  # fmt: skip
    """Which rows may be the best, what is better, equal or open, at what cost: every task's table,
    or TASK's."""
    from rnnbench.cli.actions.leaderboard import BoardRequest, leaderboard_command
    from rnnbench.leaderboard.verdicts.method import BoardMethod

    request = BoardRequest(
        **sections, method=BoardMethod(centre, interval, test or "moderated"), margin=margin,
        board=board, whole=whole,
    )  # fmt: skip
    leaderboard_command(
        task, root, want_json=as_json, want_csv=as_csv, page=page, attribution=attribution,
        request=request,
    )  # fmt: skip


@main.command(epilog=example("rnnbench index"))
@RESULTS
def index(root: Path) -> None:
    """Rebuild the results database from the records on disk, which are the truth."""
    from rnnbench.cli.actions.leaderboard import index_command

    index_command(root)


@main.group()
def data() -> None:
    """The raw data of tasks: where they come from, and whether they are whole."""


@data.command(name="list", epilog=example("rnnbench data list"))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def data_list(as_json: bool) -> None:
    """Sources of all tasks: origin, size, licence, and what is here."""
    from rnnbench.cli.actions.data import list_sources

    list_sources(as_json)


@data.command(name="describe", epilog=example("rnnbench data describe ptb"))
@click.argument("tasks", nargs=-1, shell_complete=names_of("tasks"))
def data_describe(tasks: tuple[str, ...]) -> None:
    """Tell what TASKS (default: all) read: address, size, sha256, licence, citation, place."""
    from rnnbench.cli.actions.data import describe_sources

    describe_sources(tasks)


@data.command(
    name="inspect",
    epilog=example("rnnbench data inspect csv-forecast task.path=power.csv task.horizon=24"),
)
@click.argument("task", shell_complete=names_of("tasks"))
@click.argument("settings", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def data_inspect(task: str, settings: tuple[str, ...], as_json: bool) -> None:
    """The card of TASK's data: what is read and how it is split, doubts, baselines, pictures.

    SETTINGS are the task's own, such as task.path=power.csv. Nothing is trained.
    """
    from rnnbench.cli.actions.inspect_data import inspect_command

    inspect_command(task, settings, as_json=as_json)


@data.command(name="fetch", epilog=example("rnnbench data fetch char-lm co2"))
@click.argument("tasks", nargs=-1, shell_complete=names_of("tasks"))
def data_fetch(tasks: tuple[str, ...]) -> None:
    """Fetch what TASKS need (default: all), checked against sha256."""
    from rnnbench.cli.actions.data import fetch_sources

    fetch_sources(tasks)


@data.command(name="verify", epilog=example("rnnbench data verify"))
@click.argument("tasks", nargs=-1, shell_complete=names_of("tasks"))
def data_verify(tasks: tuple[str, ...]) -> None:
    """Read what is here of TASKS (default: all) and compare checksums; exit 1 on damage."""
    from rnnbench.cli.actions.data import verify_sources

    sys.exit(verify_sources(tasks))
