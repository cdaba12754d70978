"""Commands on sweeps."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rnnbench.cli.root import RESULTS, example, main


@main.command(epilog=example("rnnbench sweep sweeps/quickstart.yaml"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@RESULTS
@click.option("--workers", type=click.IntRange(min=1), help="Instead of the file's.")
@click.option("--html/--no-html", default=True, show_default=True,
              help="Write the leaderboard page at the end.")  # fmt: skip
def sweep(file: Path, root: Path, workers: int | None, html: bool) -> None:
    """Search every cell of a grid, re-run the best on fresh seeds, show the leaderboard.

    Started again it re-runs nothing that is finished; killed, it goes on where it was.
    """
    from rnnbench.sweep.command import sweep_command

    sys.exit(sweep_command(file, root, workers, html))
