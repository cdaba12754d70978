"""The root of the command line, and what its commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from rnnbench import __version__
from rnnbench.cli.lost_database import lost_database
from rnnbench.errors import OutageError, UserError
from rnnbench.results.outages import fault_of
from rnnbench.session.place import DEFAULT, VARIABLE


class FolderOrAddress(click.Path):
    """A parameter that is a folder, as a Path, or an address, as text."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, str) and "://" in value:
            return value
        return super().convert(value, param, ctx)


RESULTS = click.option(
    "--out", "root", type=FolderOrAddress(path_type=Path, file_okay=False),
    envvar=VARIABLE, show_envvar=True, default=DEFAULT, show_default=True,
    help="Folder of results, or an address such as s3://bucket/results.",
)  # fmt: skip


class Seed(click.ParamType):
    """A parameter that is a seed, read as sweep files read one: 010 and 0x10 are refused."""

    name = "integer"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        from rnnbench.files.yaml_with_lines import YamlError, parse_yaml
        from rnnbench.spec.seeds import complaint

        if isinstance(value, str):
            try:
                value = parse_yaml(value, "seed").value
            except YamlError:
                self.fail(f"a seed is a whole number, got {value!r}", param, ctx)
        if (wrong := complaint([value])) is not None:
            self.fail(wrong, param, ctx)
        return int(value)


SEED = Seed()

DATABASE = click.option(
    "--database", envvar="RNNBENCH_DATABASE", show_envvar=True, metavar="URL",
    help="Results database, such as postgresql://host/name.  [default: SQLite in the results]",
)  # fmt: skip


class Commands(click.Group):
    """A group that shows errors of the user's in words; faults of ours keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            fail(f"{error.label}: {error}", error.exit_code, at_once=error.at_once)
        except OSError as error:  # a disk, a network, a permission
            if fault := fault_of(error):
                advice = f"What to do: {fault.advice}; then the same command goes on."
                fail(f"error: {error}\n  {advice}", OutageError.exit_code)
            fail(f"error: {error}", 1)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if said := lost_database(error):
                fail(f"error: {said}", 1)
            if getattr(error, "__notes__", None):  # a group within a group has said it
                raise
            error.add_note(
                f"This is a fault of rnnbench {__version__}, or of a plugin that the lines above "
                "name, and not of what you asked for.\n"
                "Please report it to their authors, with these lines and the command."
            )
            raise


def fail(message: str, code: int, *, at_once: bool = False) -> None:
    """Print a message and exit; `at_once`: without Python's clean-up, see `UserError`."""
    click.echo(f"rnnbench: {message}", err=True)
    if at_once:
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def example(*lines: str) -> str:
    """Return an epilog that click does not re-wrap."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def refuse_unused(name: str, unused: bool, why: str) -> None:
    """Refuse an option that was given on the command line where it would be ignored."""
    source = click.get_current_context().get_parameter_source(name)
    if unused and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--{name} would be ignored: {why}")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("rnnbench run char-lm lstm --trick zoneout:rate=0.1 architecture.hidden=128"),
)
def main() -> None:
    """Compare recurrent ideas honestly: run, sweep, and read what is better, at what cost."""
