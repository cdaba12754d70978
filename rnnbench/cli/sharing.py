"""Commands on results that travel."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rnnbench.cli.root import RESULTS, example, main


@main.command(epilog=example(
    "rnnbench export char-lm.lstm char-lm.gru --to lstm-and-gru.zip",
    "rnnbench export --task adding --no-weights --to adding.zip",
))  # fmt: skip
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@RESULTS
@click.option("--task", help="All runs of a task.")
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), default=Path("bundle.zip"),
              show_default=True, help="The bundle, a ZIP file.")  # fmt: skip
@click.option("--weights/--no-weights", default=True, show_default=True,
              help="Without them others can check the runs only by training.")  # fmt: skip
def export(runs: tuple[str, ...], root: Path, task: str | None, to: Path, weights: bool) -> None:
    """Put RUNs into one file for others: records, logs and weights, no code and no pickles.

    RUN is an id, the beginning of one, or a run's folder.
    """
    from rnnbench.report.sharing import export_command

    if not runs and task is None:
        raise click.UsageError("name runs, or a task with --task")
    export_command(root, runs, task, to, weights)


@main.command(name="import", epilog=example("rnnbench import lstm-and-gru.zip"))
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...",
                type=click.Path(path_type=Path, dir_okay=False, exists=True))  # fmt: skip
@RESULTS
def import_(bundles: tuple[Path, ...], root: Path) -> None:
    """Check BUNDLEs of others and add their runs, marked unverified.

    Runs that are here already stay as they are. Nothing of a bundle is executed.
    """
    from rnnbench.report.sharing import import_command

    import_command(root, bundles)


@main.command(epilog=example(
    "rnnbench verify char-lm.lstm",
    "rnnbench verify adding.gru --retrain",
))  # fmt: skip
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@RESULTS
@click.option("--retrain", is_flag=True, help="Train it again instead of trusting its weights.")
@click.option("--tolerance", type=click.FloatRange(0, 1), default=1e-4, show_default=True,
              help="Of each figure, relative: other hardware may round so much.")  # fmt: skip
def verify(runs: tuple[str, ...], root: Path, retrain: bool, tolerance: float) -> None:
    """Evaluate the weights of RUNs again, and stamp them verified or say the difference.

    RUN is an id, the beginning of one, or a run's folder. Exit code 1: something differs.
    """
    from rnnbench.report.sharing import verify_command

    sys.exit(verify_command(root, runs, retrain, tolerance))
