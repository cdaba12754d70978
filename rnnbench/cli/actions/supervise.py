"""Does `rnnbench sweep FILE --supervise`: runs the same command without it, again where it fell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from rnnbench.cli.actions.sweep_control import open_sweep
from rnnbench.files.shipped_sweeps import find_sweep_file
from rnnbench.sweep.file.sweep import Sweep, parse_sweep, read_sweep
from rnnbench.sweep.ledger.standing import Standing, standing_of
from rnnbench.sweep.operations.notifier import Notifier
from rnnbench.sweep.operations.supervise import RESTARTS, Restarts, driver_command, supervise

OWN = ("supervise", "restarts")  # options of the supervisor


def supervise_file(file: Path, options: dict[str, Any]) -> int:
    """Run `sweep run` of a file as a driver that is started again; return the exit code.

    Args:
        options: of the command.

    Raises:
        SweepError: the file cannot be as it is.
    """
    return _supervise(read_sweep(find_sweep_file(file)), options)


def supervise_sweep(name: str, options: dict[str, Any]) -> int:
    """Run `sweep resume` as a driver that is started again; return the exit code.

    Raises:
        UnknownSweepError: there is no sweep of this name.
    """
    with open_sweep(name, options["root"], options["database"]) as handle:
        request = handle.requests.read()
    return _supervise(parse_sweep(request.text, request.file), options)


def _supervise(sweep: Sweep, options: dict[str, Any]) -> int:
    """Run the command at hand, which is on this sweep, as a supervised driver."""

    def standing() -> Standing | None:
        return standing_of(sweep.name, options["root"], options["database"])

    def say(text: str) -> None:
        print(f"rnnbench: {text}", file=sys.stderr, flush=True)

    command = driver_command(words_of(click.get_current_context()))
    limit = RESTARTS if options["restarts"] is None else options["restarts"]
    notifier = Notifier(sweep.name, sweep.notify, say)

    def gave_up(text: str) -> None:
        notifier.tell("failure", f"sweep {sweep.name}: {text}")

    with notifier.watching():
        return supervise(command, standing, say, Restarts(limit), gave_up)


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
            several = (
                value if isinstance(parameter, click.Option) and parameter.multiple else [value]
            )
            for one in several:
                options += [parameter.opts[0], str(one)]
    return ["sweep", str(context.command.name), *options, "--", *arguments]
