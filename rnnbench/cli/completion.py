"""Completion of commands, options and names of plugins by the shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from rnnbench.cli.root import example, main

SHELLS = ("bash", "zsh", "fish")
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(*kinds: str) -> Completer:
    """Return what completes the name of a plugin of these kinds."""

    def complete(ctx: click.Context, parameter: Any, incomplete: str) -> list[CompletionItem]:
        from rnnbench.registry.registry import discover

        plugins, _ = discover()
        return [
            CompletionItem(name, help=kind[:-1])
            for kind in kinds
            for name in plugins[kind]
            if name.startswith(incomplete)
        ]

    return complete


@main.command(epilog=example(
    'eval "$(rnnbench completion bash)"     # in ~/.bashrc',
    'eval "$(rnnbench completion zsh)"      # in ~/.zshrc',
    "rnnbench completion fish | source      # in ~/.config/fish/config.fish",
))  # fmt: skip
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, options and names of plugins."""
    found = get_completion_class(shell)
    assert found is not None, f"click knows {shell}"
    click.echo(found(main, {}, "rnnbench", "_RNNBENCH_COMPLETE").source())
