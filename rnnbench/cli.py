"""The command line. Imports little: `rnnbench --help` and `list` start without torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from rnnbench import __version__

RESULTS = click.option(
    "--out", "root", type=click.Path(path_type=Path, file_okay=False), envvar="RNNBENCH_RESULTS",
    default=Path("rnnbench-results"), show_default=True, show_envvar=True,
    help="Folder of results.",
)  # fmt: skip


class Commands(click.Group):
    """Turns what a user can mend into a message and exit code 2, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, RuntimeError) as error:
            # What the caller asked for is wrong (a ValueError), or cannot be had (data, locks).
            if type(error) is not ValueError and not type(error).__module__.startswith("rnnbench"):
                raise
            kind = "refused" if type(error).__name__ == "Refusal" else "error"
            fail(f"{kind}: {error}", 2 if isinstance(error, ValueError) else 1)
        except OSError as error:
            fail(f"error: {error}", 1)


def fail(message: str, code: int) -> None:
    click.echo(f"rnnbench: {message}", err=True)
    sys.exit(code)


def example(*lines: str) -> str:
    """An epilog that click does not re-wrap."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("rnnbench run char-lm lstm --trick zoneout:rate=0.1 architecture.hidden=128"),
)
def main() -> None:
    """Compare recurrent ideas honestly: run, sweep, and read who wins, who ties, at what cost."""


def run_options(command: Any) -> Any:
    """What describes a run, for `run` and `check`."""
    for option in (
        click.argument("settings", nargs=-1, metavar="[NAME=VALUE]..."),
        click.argument("architecture", required=False),
        click.argument("task", required=False),
        click.option("--trick", "tricks", multiple=True, metavar="NAME[:FIELD=VALUE,...]",
                     help="A training trick; repeat it for more, in folding order."),
        click.option("--file", "file", type=click.Path(path_type=Path, dir_okay=False),
                     help="YAML: task, architecture, tricks, optimizer, budget, seed, trainer."),
        click.option("--seed", type=int, help="Of weights, data order and noise.  [default: 0]"),
    ):  # fmt: skip
        command = option(command)
    return command


@main.command(epilog=example(
    "rnnbench run adding gru budget.steps=500",
    "rnnbench run char-lm lstm --trick zoneout:rate=0.1 architecture.hidden=128 optimizer.lr=3e-3",
    "rnnbench run --file run.yaml --seed 1 trainer.logger=tensorboard",
))  # fmt: skip
@run_options
@RESULTS
@click.option("--no-test", is_flag=True, help="Leave the test split alone, as a search trial does.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def run(task: str | None, architecture: str | None, settings: tuple[str, ...],
        tricks: tuple[str, ...], file: Path | None, seed: int | None, root: Path,
        no_test: bool, quiet: bool) -> None:  # fmt: skip
    """Train ARCHITECTURE on TASK, test once, and keep a record.

    NAME=VALUE settings are dotted: task.*, architecture.*, tricks.NAME.*, optimizer.*, budget.*,
    trainer.*. The same command again shows the finished result, or goes on where it was stopped.
    """
    from rnnbench.request import read_request

    spec, trainer = read_request(task, architecture, settings, tricks, file, seed, not no_test)
    from rnnbench.launch import launch

    sys.exit(launch(spec, trainer, root, quiet))


@main.command(epilog=example("rnnbench check char-lm transformer --trick zoneout"))
@run_options
def check(task: str | None, architecture: str | None, settings: tuple[str, ...],
          tricks: tuple[str, ...], file: Path | None, seed: int | None) -> None:  # fmt: skip
    """Is this combination possible? Prints the parameter count, or why not.

    Runs one training step without memory or compute, by the function that trains.
    """
    from rnnbench.request import read_request

    spec, _ = read_request(task, architecture, settings, tricks, file, seed, True)
    from rnnbench.check import check_spec

    found = check_spec(spec)
    where = {"meta": "shapes only, on the meta device", "cpu": "on a tiny batch on the CPU"}
    click.echo(
        f"possible: {found.parameters:,} parameters (one step checked {where[found.device]})"
    )


def decoding_options(command: Any) -> Any:
    """How an output is chosen step by step, for `generate` and `predict`."""
    for option in (
        click.argument("run"),
        click.option("--method", type=click.Choice(["greedy", "sample", "beam"]),
                     help="Most probable at each step, drawn, or the best of several prefixes."),
        click.option("--temperature", type=float, default=1.0, show_default=True,
                     help="Of draws: below 1 is more cautious."),
        click.option("--top-k", type=int, help="Draw among so many of the most probable."),
        click.option("--top-p", type=float, default=1.0, show_default=True,
                     help="Draw among the fewest that hold this much probability (nucleus)."),
        click.option("--beam", type=int, default=5, show_default=True, help="Prefixes kept."),
        click.option("--length-penalty", type=float, default=0.0, show_default=True,
                     help="Of beam: above 0 favours longer outputs."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of draws."),
        RESULTS,
        click.option("--json", "as_json", is_flag=True, help="Machine-readable."),
    ):  # fmt: skip
        command = option(command)
    return command


@main.command(epilog=example(
    "rnnbench generate char-lm.lstm --prompt 'MACBETH:' --length 300 --temperature 0.7",
    "rnnbench generate ui-en-de.seq2seq --method beam --beam 5 --length-penalty 1",
))  # fmt: skip
@decoding_options
@click.option("--prompt", help="What a language model goes on from.  [default: a new line]")
@click.option("--length", type=click.IntRange(min=1), default=400, show_default=True,
              help="Steps that a language model produces.")  # fmt: skip
@click.option("--samples", type=click.IntRange(min=1), help="How many.  [default: 1 text, 5 rows]")
def generate(run: str, root: Path, seed: int, as_json: bool, prompt: str | None, length: int,
             samples: int | None, **chosen: Any) -> None:  # fmt: skip
    """Let a finished RUN produce: text from a prompt, or outputs for test inputs.

    RUN is an id, the beginning of one, or a run's folder.
    """
    from rnnbench.generate import generate as produce
    from rnnbench.store import Store

    produce(Store(root), run, chosen, prompt=prompt, length=length, samples=samples, seed=seed,
            as_json=as_json)  # fmt: skip


@main.command(epilog=example(
    "rnnbench predict ui-en-de.seq2seq --input 'Turn off the light'",
    "rnnbench predict co2.lstm --input weeks.csv",
))  # fmt: skip
@decoding_options
@click.option(
    "--input",
    "text",
    required=True,
    help="A sentence, numbers, a CSV; or the name of a file, or - for standard input.",
)
def predict(run: str, root: Path, text: str, seed: int, as_json: bool, **chosen: Any) -> None:
    """What a finished RUN makes of an input of your own.

    RUN is an id, the beginning of one, or a run's folder.
    """
    from rnnbench.generate import predict as ask
    from rnnbench.generate import read_input
    from rnnbench.store import Store

    ask(Store(root), run, read_input(text), chosen, seed=seed, as_json=as_json)


@main.command(epilog=example(
    "rnnbench diagnose adding.elman adding.lstm --untrained --to diagnosis",
))  # fmt: skip
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@RESULTS
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("diagnosis"),
    show_default=True,
    help="Folder of picture and data.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Rows of the validation split.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=3),
    default=200,
    show_default=True,
    help="Most steps of a stream.",
)
@click.option("--untrained", is_flag=True, help="Beside each, the model before training.")
def diagnose(runs: tuple[str, ...], root: Path, folder: Path, rows: int, steps: int,
             untrained: bool) -> None:  # fmt: skip
    """Vanishing and exploding gradients of finished RUNs: norms over time, Jacobians, gates.

    RUN is an id, the beginning of one, or a run's folder.
    """
    from rnnbench.report.diagnosis import diagnose_command

    diagnose_command(root, runs, folder, rows, steps, untrained)


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


@main.command(
    name="list", epilog=example("rnnbench list", "rnnbench list architectures --site cell")
)
@click.argument("kind", required=False, type=click.Choice(["architectures", "tasks", "tricks"]))
@click.option("--site", help="Tricks that act on it; architectures and tasks that have it.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_(kind: str | None, site: str | None, as_json: bool) -> None:
    """Plugins: kind, name, distribution and version, one line of help."""
    from rnnbench.report.plugins import list_plugins

    list_plugins(kind, site, as_json)


@main.command(epilog=example("rnnbench describe zoneout"))
@click.argument("plugin")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def describe(plugin: str, as_json: bool) -> None:
    """Fields with type, unit, default and search range; source; what it can be combined with."""
    from rnnbench.report.plugins import describe_plugin

    describe_plugin(plugin, as_json)


@main.command(name="check-plugin", epilog=example("rnnbench check-plugin lstm"))
@click.argument("plugin")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def check_plugin_(plugin: str, as_json: bool) -> None:
    """Does it obey the laws of its kind? Exit 1 where one is broken, with an example.

    The laws are held on a small instance, made with the class's `tiny` settings.
    """
    from rnnbench.report.check_plugin import check_plugin

    sys.exit(check_plugin(plugin, as_json))


@main.command(
    epilog=example("rnnbench new architecture my-cell", "rnnbench new trick my-trick --into work")
)
@click.argument("kind", type=click.Choice(["architecture", "task", "trick"]))
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("."),
    show_default=True,
    help="Folder in which the package's folder is made.",
)
def new(kind: str, name: str, into: Path) -> None:
    """Write the package of a plugin NAME that trains as it is, for you to change.

    Code, a test that holds it against the laws of its kind, and what installs it. Nothing is
    overwritten.
    """
    from rnnbench.scaffold import create_plugin, next_commands

    written = create_plugin(kind, name, into)
    click.echo("written:")
    for path in written:
        click.echo(f"  {path}")
    click.echo("next:")
    for command in next_commands(kind, name, into / name):
        click.echo(f"  {command}")


@main.command(
    epilog=example(
        "rnnbench leaderboard char-lm",
        "rnnbench leaderboard char-lm --attribution",
        "rnnbench leaderboard --html board.html",
    )
)
@click.argument("task", required=False)
@RESULTS
@click.option(
    "--attribution", is_flag=True, help="Which trick helps which cell. A page has that anyway."
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path), help="Write a self-contained page."
)
def leaderboard(task: str | None, root: Path, attribution: bool, as_json: bool, as_csv: bool,
                page: Path | None) -> None:  # fmt: skip
    """Who wins, who ties, at what cost: every task's table, or TASK's."""
    from rnnbench.report.command import leaderboard_command

    leaderboard_command(task, root, as_json, as_csv, page, attribution)


@main.command(epilog=example("rnnbench index"))
@RESULTS
def index(root: Path) -> None:
    """Rebuild the results database from the records on disk, which are the truth."""
    from rnnbench.report.command import index_command

    index_command(root)


@main.group()
def data() -> None:
    """The raw data of tasks: where they come from, and whether they are whole."""


@data.command(name="list", epilog=example("rnnbench data list"))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def data_list(as_json: bool) -> None:
    """Sources of all tasks: origin, size, licence, and what is here."""
    from rnnbench.report.data import list_sources

    list_sources(as_json)


@data.command(name="describe", epilog=example("rnnbench data describe ptb"))
@click.argument("tasks", nargs=-1)
def data_describe(tasks: tuple[str, ...]) -> None:
    """What TASKS (default: all) read: address, size, sha256, licence, citation, and its place."""
    from rnnbench.report.data import describe_sources

    describe_sources(tasks)


@data.command(name="fetch", epilog=example("rnnbench data fetch char-lm co2"))
@click.argument("tasks", nargs=-1)
def data_fetch(tasks: tuple[str, ...]) -> None:
    """Fetch what TASKS need (default: all), checked against sha256."""
    from rnnbench.report.data import fetch_sources

    fetch_sources(tasks)


@data.command(name="verify", epilog=example("rnnbench data verify"))
@click.argument("tasks", nargs=-1)
def data_verify(tasks: tuple[str, ...]) -> None:
    """Read what is here of TASKS (default: all) and compare checksums; exit 1 on damage."""
    from rnnbench.report.data import verify_sources

    sys.exit(verify_sources(tasks))


@main.command(epilog=example("rnnbench version"))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def version(as_json: bool) -> None:
    """Versions of rnnbench and of what it stands on."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    found = {"rnnbench": __version__, "python": sys.version.split()[0]}
    for name in ("torch", "pytorch-lightning", "optuna", "ray", "omegaconf", "wandb"):
        try:
            found[name] = of(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for name, number in found.items():
            click.echo(f"{name:<18}{number}")
