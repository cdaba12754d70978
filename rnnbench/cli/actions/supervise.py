"""Does `rnnbench sweep FILE --supervise`: runs the same command without it, again where it fell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rnnbench.sweep.file.sweep import read_sweep
from rnnbench.sweep.ledger.standing import Standing, standing_of
from rnnbench.sweep.operations.supervise import RESTARTS, Restarts, driver_command, supervise

OWN = ("supervise", "restarts")  # options of the supervisor


def supervise_file(file: Path, options: dict[str, Any]) -> int:
    """Run `sweep run` of a file as a driver that is started again; return the exit code.

    Args:
        options: of the command.

    Raises:
        SweepError: the file cannot be as it is.
    """
    return supervise_sweep(read_sweep(file).name, options)


def supervise_sweep(name: str, options: dict[str, Any]) -> int:
    """Run the command at hand, which is on the sweep of this name, as a supervised driver."""

    def standing() -> Standing | None:
        return standing_of(name, options["root"], options["database"])

    def say(text: str) -> None:
        print(f"rnnbench: {text}", file=sys.stderr, flush=True)

    command = driver_command(words_of(click.get_current_context()))
    limit = RESTARTS if options["restarts"] is None else options["restarts"]
    return supervise(command, standing, say, Restarts(limit))


def words_of(context: click.Context) -> list[str]:
    """Return the command at hand as it was typed, without the supervisor's own options.

    What came from the environment reaches the driver there.
    """
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        assert parameter.name is not None
        typed = (
            context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
        )
        if not typed or parameter.name in OWN:
            continue
        value = context.params[parameter.name]
        if isinstance(parameter, click.Argument):
            arguments.append(str(value))
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            options.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            options += [parameter.opts[0], str(value)]
    return ["sweep", str(context.command.name), *options, "--", *arguments]
