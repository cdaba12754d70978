"""Commands on results that travel, and on those of the literature."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rnnbench.cli.root import RESULTS, example, main, refuse_unused
from rnnbench.cli.sweeps import refuse_unused_start, start_options


@main.command(epilog=example(
    "rnnbench export char-lm.lstm char-lm.gru --to lstm-and-gru.zip",
    "rnnbench export --task adding --no-weights --to adding.zip",
    "rnnbench export --to runs.csv",
    "WANDB_MODE=offline rnnbench export --task adding --wandb my-project",
))  # fmt: skip
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@RESULTS
@click.option("--task", help="All runs of a task.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("bundle.zip"),
    show_default=True,
    help="A bundle (.zip), or a table with a line a run (.csv, .json, .parquet).",
)
@click.option(
    "--weights/--no-weights",
    default=True,
    show_default=True,
    help="Of a bundle: without them others can check it only by training.",
)
@click.option("--wandb", "project", metavar="PROJECT",
              help="Enter the runs in a project of W&B instead.")  # fmt: skip
def export(runs: tuple[str, ...], root: Path, task: str | None, to: Path, weights: bool,
           project: str | None) -> None:  # fmt: skip
    """Put RUNs into one file for others: records, logs and weights, no code and no pickles.

    RUN is an id, the beginning of one, or a run's folder. Tables and W&B take all runs where
    none is named.
    """
    from rnnbench.cli.actions.sharing import export_command, wandb_command

    table = to.suffix != ".zip"
    refuse_unused("weights", project is not None or table, "only a bundle (.zip) has weights")
    refuse_unused("to", project is not None, "--wandb writes no file")
    if project is not None:
        wandb_command(root, runs, task, project)
    else:
        export_command(root, runs, task, to, weights)


@main.command(name="import", epilog=example("rnnbench import lstm-and-gru.zip"))
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...",
                type=click.Path(path_type=Path, dir_okay=False, exists=True))  # fmt: skip
@RESULTS
def import_(bundles: tuple[Path, ...], root: Path) -> None:
    """Check BUNDLEs of others and add their runs, marked unverified.

    Runs that are here already stay as they are. Nothing of a bundle is executed.
    """
    from rnnbench.cli.actions.sharing import import_command

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
    from rnnbench.cli.actions.sharing import verify_command

    sys.exit(verify_command(root, runs, retrain, tolerance))


@main.command(epilog=example(
    "rnnbench reproduce",
    "rnnbench reproduce dlinear-etth1",
    "rnnbench reproduce dlinear-etth1 --report",
))  # fmt: skip
@click.argument("name", required=False)
@click.option("--report", "report_only", is_flag=True,
              help="Run nothing: say what the results that are here show.")  # fmt: skip
@start_options
def reproduce(name: str | None, report_only: bool, root: Any, database: str | None,
              **options: Any) -> None:  # fmt: skip
    """Run the recipe NAME and set its figures beside the published ones; without NAME list all.

    NAME is one of those that are listed, or a file. Exit code 0: exact, or within tolerance.
    """
    from rnnbench.cli.actions.reproduce import list_recipes, reproduce_command

    for option in ("engine", "slurm", "address", "workers", "studies", "html"):
        refuse_unused(option, name is None or report_only, "nothing is run")
    refuse_unused_start(options)
    if name is None:
        list_recipes(root, database)
        return
    sys.exit(
        reproduce_command(name, report_only=report_only, root=root, database=database, **options)
    )
