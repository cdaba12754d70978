"""Commands on sweeps: run one, and rule it from another terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rnnbench.cli.root import (
    DATABASE,
    RESULTS,
    SEED,
    Commands,
    example,
    main,
    refuse_unused,
)

AMOUNT = click.FloatRange(min=0, min_open=True)


OF_THE_GROUP = ("-h", "--help", "--list", "--copy", "--to")


class Sweeps(Commands):
    """A group in which `rnnbench sweep FILE` is `rnnbench sweep run FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = bool(args) and args[0].partition("=")[0] in OF_THE_GROUP
        if args and args[0] not in self.commands and not own:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@main.group(cls=Sweeps, invoke_without_command=True, epilog=example(
    "rnnbench sweep sweeps/quickstart.yaml",
    "rnnbench sweep --list",
    "rnnbench sweep --copy quickstart --to mine.yaml",
    "rnnbench sweep quickstart --engine ray",
    "rnnbench sweep mine.yaml --engine slurm --slurm partition=gpu",
    "rnnbench sweep status quickstart",
))  # fmt: skip
@click.option("--list", "list_shipped", is_flag=True, help="The sweeps that come with rnnbench.")
@click.option("--copy", metavar="NAME", help="Copy one of them, to start an own file from.")
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False),
              help="With --copy: the new file.  [default: NAME.yaml]")  # fmt: skip
@click.pass_context
def sweep(ctx: click.Context, list_shipped: bool, copy: str | None, to: Path | None) -> None:
    """Search every cell of a grid, re-run the best on fresh seeds, show the leaderboard.

    `rnnbench sweep FILE` runs a sweep (the same as `sweep run FILE`, where its options are), of a
    file or of the name of one that comes with rnnbench; the other commands rule a running one, by
    its name, from another terminal.
    """
    if ctx.invoked_subcommand is not None:
        return
    refuse_unused("to", copy is None, "nothing is copied")
    if copy is None and not list_shipped:
        click.echo(ctx.get_help())
        return
    from rnnbench.files.shipped_sweeps import copy_sweep, shipped_sweeps, summary_of

    if copy is not None:
        to = to or Path(f"{copy}.yaml")
        copy_sweep(copy, to)
        click.echo(f"wrote {to}; give it a name of its own in it, and run it: rnnbench sweep {to}")
    if list_shipped:
        sweeps = shipped_sweeps()
        width = max(map(len, sweeps), default=0)
        for name, file in sweeps.items():
            click.echo(f"{name:<{width}}  {summary_of(file)}")


def start_options(command: Any) -> Any:
    """Add the options on how a sweep is run, for `run` and `resume`."""
    for option in (
        click.option("--engine", type=click.Choice(["local", "ray", "slurm"]), default="local",
                     show_default=True,
                     help="Processes of this machine, a Ray cluster, or jobs of Slurm."),
        click.option("--slurm", multiple=True, metavar="NAME[=VALUE]", envvar="RNNBENCH_SLURM",
                     show_envvar=True,
                     help="With --engine slurm: a long option of sbatch, such as partition=gpu. "
                          "May be repeated."),
        click.option("--address", default="auto", show_default=True, envvar="RAY_ADDRESS",
                     help="Of the Ray cluster; auto: the one at hand, or a new one here."),
        click.option("--workers", type=click.IntRange(min=1), help="Instead of the file's."),
        click.option("--studies", envvar="RNNBENCH_STUDIES", show_envvar=True,
                     help="Optuna storage for copies of the studies: a URL, or journal:FILE.  "
                          "[default: studies.db in the results]"),
        click.option("--html/--no-html", default=True, show_default=True,
                     help="Write the leaderboard page at the end."),
        RESULTS, DATABASE,
    ):  # fmt: skip
        command = option(command)
    return command


def refuse_unused_start(options: dict[str, Any]) -> None:
    """Refuse options on the start of a sweep that the others make useless."""
    refuse_unused("slurm", options["engine"] != "slurm", "only --engine slurm submits jobs")


def supervisor_options(command: Any) -> Any:
    """Add the options of a supervisor, which starts the driver again."""
    for option in (
        click.option("--supervise", is_flag=True,
                     help="Start the driver again where it was killed, or ended with 69 or 75."),
        click.option("--restarts", type=click.IntRange(min=0),
                     help="With --supervise: how often without progress between.  [default: 10]"),
    ):  # fmt: skip
        command = option(command)
    return command


def supervises(options: dict[str, Any]) -> bool:
    """Tell whether a supervisor was asked for; where none was, take its options out."""
    refuse_unused("restarts", not options["supervise"], "only --supervise starts a driver again")
    if not options["supervise"]:
        del options["supervise"], options["restarts"]
        return False
    return True


@sweep.command(epilog=example(
    "rnnbench sweep run sweeps/quickstart.yaml --workers 2",
    "rnnbench sweep run sweeps/quickstart.yaml --engine ray --address 10.0.0.1:6379",
    "rnnbench sweep run sweeps/quickstart.yaml --supervise",
))  # fmt: skip
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--trials", type=click.IntRange(min=0), help="Of each cell, instead of the file's.")
@click.option("--timeout", help="For the search, such as 90m or 12h, instead of the file's.")
@start_options
@supervisor_options
def run(file: Path, **options: Any) -> None:
    """Run the sweep in FILE.

    Started again it re-runs nothing that is finished; killed, it goes on where it was.
    """
    refuse_unused_start(options)
    if supervises(options):
        from rnnbench.cli.actions.supervise import supervise_file

        sys.exit(supervise_file(file, options))
    from rnnbench.cli.actions.sweep import run_file

    sys.exit(run_file(file, **options))


@sweep.command(epilog=example("rnnbench sweep resume quickstart"))
@click.argument("name")
@start_options
@supervisor_options
def resume(name: str, **options: Any) -> None:
    """End a pause, or the wait after an outage; where nobody runs the sweep, run it here.

    It is run as its file was when it was last started.

    Engine, address, workers and storage are those of this command, not of the last start.
    """
    refuse_unused_start(options)
    if supervises(options):
        from rnnbench.cli.actions.supervise import supervise_sweep

        sys.exit(supervise_sweep(name, options))
    from rnnbench.cli.actions.sweep import resume_sweep

    sys.exit(resume_sweep(name, **options))


def named(command: Any) -> Any:
    """Add the arguments of a command on a sweep that was started before."""
    for option in (click.argument("name"), RESULTS, DATABASE):
        command = option(command)
    return command


@sweep.command(epilog=example("rnnbench sweep status quickstart", "rnnbench sweep status --json"))
@click.argument("name", required=False)
@RESULTS
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--watch", is_flag=True, help="Until the sweep ends, or Ctrl-C.")
def status(name: str | None, root: Path | str, database: str | None, as_json: bool,
           watch: bool) -> None:  # fmt: skip
    """How the sweep NAME goes, and on what; without NAME, every sweep in a line."""
    from rnnbench.cli.actions.sweep_control import show_status

    show_status(name, root, database, as_json, watch)


@sweep.command("list", epilog=example(
    "rnnbench sweep list --out /shared/results", "rnnbench sweep list --json",
))  # fmt: skip
@RESULTS
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_(root: Path | str, database: str | None, as_json: bool) -> None:
    """All sweeps of these results: state, progress, workers, and who started each, and when.

    Takes no lock and writes nothing: it can be asked as often as wanted, while drivers work.
    """
    from rnnbench.cli.actions.sweep_list import list_sweeps

    list_sweeps(root, database, as_json)


@sweep.command(epilog=example("rnnbench sweep pause quickstart"))
@named
def pause(name: str, root: Path | str, database: str | None) -> None:
    """Start nothing more; what runs goes on to its end."""
    from rnnbench.cli.actions.sweep_control import pause_sweep

    pause_sweep(name, root, database)


@sweep.command(epilog=example("rnnbench sweep stop quickstart"))
@named
def stop(name: str, root: Path | str, database: str | None) -> None:
    """Stop in order: running trials save what they have, the driver ends. Waits until it has."""
    from rnnbench.cli.actions.sweep_control import stop_sweep

    sys.exit(stop_sweep(name, root, database))


@sweep.command(epilog=example(
    "rnnbench sweep retry quickstart",
    "rnnbench sweep retry quickstart char-lm.lstm.0a1b2c3d/4",
))  # fmt: skip
@named
@click.argument("trials", nargs=-1, metavar="[TRIAL]...")
def retry(name: str, trials: tuple[str, ...], root: Path | str, database: str | None) -> None:
    """Run failed trials again: all that crashed or ran out of memory or time, or those named."""
    from rnnbench.cli.actions.sweep_control import retry_trials

    retry_trials(name, trials, root, database)


@sweep.command(epilog=example(
    "rnnbench sweep extend quickstart --trials 20",
    "rnnbench sweep extend quickstart --hours 48 --money 500",
))  # fmt: skip
@click.option("--trials", type=click.IntRange(min=1), help="Of each cell, in all.")
@click.option("--seed", "seeds", type=SEED, multiple=True,
              help="One more seed of the final runs; may be repeated.")  # fmt: skip
@click.option("--hours", type=AMOUNT, help="Of the budget by the clock, in all.")
@click.option("--gpu-hours", type=AMOUNT, help="Of the budget, in all.")
@click.option("--cpu-hours", type=AMOUNT, help="Of the budget, in all.")
@click.option("--money", type=AMOUNT, help="Of the budget, in all.")
@named
def extend(name: str, trials: int | None, seeds: tuple[int, ...], root: Path | str,
           database: str | None, **limits: float | None) -> None:  # fmt: skip
    """Ask for more trials or final seeds than the file does, or give it a larger budget."""
    from rnnbench.cli.actions.sweep_extend import extend_sweep

    given = {limit: value for limit, value in limits.items() if value is not None}
    extend_sweep(name, trials, seeds, given, root, database)


@sweep.command(epilog=example("rnnbench sweep logs quickstart char-lm.lstm.0a1b2c3d/4"))
@named
@click.argument("trial", required=False)
def logs(name: str, trial: str | None, root: Path | str, database: str | None) -> None:
    """Print the log of a TRIAL; without TRIAL, the names of all, how each stands, and where."""
    from rnnbench.cli.actions.sweep_control import show_logs

    show_logs(name, trial, root, database)
