"""Commands on single runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rnnbench.cli.completion import names_of
from rnnbench.cli.root import RESULTS, SEED, example, main


def run_options(command: Any) -> Any:
    """Add the arguments and options that describe a run, for `run` and `check`."""
    for option in (
        click.argument("settings", nargs=-1, metavar="[NAME=VALUE]..."),
        click.argument("architecture", required=False,
                       shell_complete=names_of("architectures")),
        click.argument("task", required=False, shell_complete=names_of("tasks")),
        click.option("--trick", "tricks", multiple=True, metavar="NAME[:FIELD=VALUE,...]",
                     shell_complete=names_of("tricks"),
                     help="A training trick; repeat it for more, in folding order."),
        click.option("--file", "file", type=click.Path(path_type=Path, dir_okay=False),
                     help="YAML: task, architecture, tricks, optimizer, budget, seed, trainer."),
        click.option("--seed", type=SEED, help="Of weights, data order and noise.  [default: 0]"),
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
    from rnnbench.spec.from_command_line import read_request

    spec, trainer = read_request(task, architecture, settings, tricks, file, seed, not no_test)
    from rnnbench.cli.actions.run import run_once
    from rnnbench.training.resolve import resolve_with_plugins

    sys.exit(run_once(resolve_with_plugins(spec), trainer, root, quiet=quiet))


@main.command(epilog=example("rnnbench check char-lm transformer --trick zoneout"))
@run_options
def check(task: str | None, architecture: str | None, settings: tuple[str, ...],
          tricks: tuple[str, ...], file: Path | None, seed: int | None) -> None:  # fmt: skip
    """Is this combination possible? Prints the parameter count, or why not.

    Runs one training step without memory or compute, by the function that trains.
    """
    from rnnbench.spec.from_command_line import read_request

    spec, _ = read_request(task, architecture, settings, tricks, file, seed, True)
    from rnnbench.cli.actions.inspect_data import told_before, typed_settings
    from rnnbench.training.dry_run import check_resolved
    from rnnbench.training.resolve import resolve_with_plugins

    resolved = resolve_with_plugins(spec)
    read = resolved.spec.task
    for told in told_before(resolved.plugins.task, typed_settings(read.settings, read.name)):
        click.echo(told)
    checked = check_resolved(resolved)
    where = {"meta": "shapes only, on the meta device", "cpu": "on a tiny batch on the CPU"}
    click.echo(
        f"possible: {checked.parameters:,} parameters (one step checked {where[checked.device]})"
    )


def decoding_options(command: Any) -> Any:
    """Add the options on how an output is chosen step by step, for `generate` and `predict`."""
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
        click.option("--seed", type=SEED, default=0, show_default=True, help="Of draws."),
        click.option("--max-length", type=click.IntRange(min=1),
                     help="Most tokens of an output.  [default: as the run's task says]"),
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
             samples: int | None, max_length: int | None, **chosen: Any) -> None:  # fmt: skip
    """Let a finished RUN produce: text from a prompt, or outputs for test inputs.

    RUN is an id, the beginning of one, or a run's folder.
    """
    from rnnbench.cli.actions.generate import generate_command

    generate_command(root, run, chosen, prompt=prompt, length=length, samples=samples, seed=seed,
                     max_length=max_length, as_json=as_json)  # fmt: skip


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
def predict(run: str, root: Path, text: str, seed: int, as_json: bool, max_length: int | None,
            **chosen: Any) -> None:  # fmt: skip
    """Let a finished RUN answer an input of your own.

    RUN is an id, the beginning of one, or a run's folder.
    """
    from rnnbench.cli.actions.generate import predict_command

    predict_command(root, run, text, chosen, seed=seed, max_length=max_length, as_json=as_json)


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
    from rnnbench.cli.actions.diagnose import diagnose_command

    diagnose_command(root, runs, folder, rows, steps, untrained)
