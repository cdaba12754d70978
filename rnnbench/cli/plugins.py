"""Commands on plugins and versions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from rnnbench import __version__
from rnnbench.cli.completion import names_of
from rnnbench.cli.root import example, main

KINDS = ("architectures", "tasks", "tricks")


@main.command(
    name="list", epilog=example("rnnbench list", "rnnbench list architectures --site cell")
)
@click.argument("kind", required=False, type=click.Choice(["architectures", "tasks", "tricks"]))
@click.option("--site", help="Tricks that act on it; architectures and tasks that have it.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_(kind: str | None, site: str | None, as_json: bool) -> None:
    """Plugins: kind, name, distribution and version, one line of help."""
    from rnnbench.cli.actions.list_plugins import list_plugins

    list_plugins(kind, site, as_json)


@main.command(epilog=example("rnnbench describe zoneout"))
@click.argument("plugin", shell_complete=names_of(*KINDS))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def describe(plugin: str, as_json: bool) -> None:
    """Fields with type, unit, default and search range; source; what it can be combined with."""
    from rnnbench.cli.actions.list_plugins import describe_plugin

    describe_plugin(plugin, as_json)


@main.command(name="check-plugin", epilog=example(
    "rnnbench check-plugin lstm",
    "rnnbench check-plugin my-package --junit laws.xml",
))  # fmt: skip
@click.argument("plugin", shell_complete=names_of(*KINDS))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the verdicts to this file as JUnit's XML, for a CI system.")  # fmt: skip
def check_plugin_(plugin: str, as_json: bool, junit: Path | None) -> None:
    """Does it obey the laws of its kind? Exit 1 where one is broken, with an example.

    PLUGIN is one by its name, or a distribution: then all plugins of it are held.

    The laws are held on a small instance, made with the class's `tiny` settings.
    """
    from rnnbench.cli.actions.check_plugin import check_plugin

    sys.exit(check_plugin(plugin, as_json, junit))


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
    from rnnbench.registry.scaffold import create_plugin, next_commands

    written = create_plugin(kind, name, into)
    click.echo("written:")
    for path in written:
        click.echo(f"  {path}")
    click.echo("next:")
    for command in next_commands(kind, name, into / name):
        click.echo(f"  {command}")


@main.command(epilog=example("rnnbench version"))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def version(as_json: bool) -> None:
    """Versions of rnnbench and of what it stands on."""
    from importlib import metadata

    versions = {"rnnbench": __version__, "python": sys.version.split()[0]}
    for name in ("torch", "pytorch-lightning", "optuna", "ray", "omegaconf", "wandb"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    if as_json:
        click.echo(json.dumps(versions, indent=2))
    else:
        for name, number in versions.items():
            click.echo(f"{name:<18}{number}")
