"""Calling the command line within this process."""

from click.testing import CliRunner

from rnnbench.cli import main

TINY = [
    "architecture.hidden=8",
    "budget.steps=20",
    "budget.validate_every=10",
    "task.length=10",
    "task.valid_characters=500",
    "optimizer.batch=4",
]


def call(*arguments, code=0, env=None):
    result = CliRunner().invoke(main, [str(a) for a in arguments], env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output
