"""The shell completes commands, options and the names of plugins."""

import shutil
import subprocess

import pytest
from click.shell_completion import BashComplete
from support.command_line import call

from rnnbench.cli import main


def completed(*words):
    """Return what the shell offers for the last of some words."""
    complete = BashComplete(main, {}, "rnnbench", "_RNNBENCH_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("desc",), ["describe"]),
        (("run", "char"), ["char-lm"]),
        (("run", "char-lm", "lst"), ["lstm", "lstnet"]),
        (("run", "char-lm", "lstm", "--trick", "zone"), ["zoneout"]),
        (("check", "adding", "minl"), ["minlstm"]),
        (("describe", "zone"), ["zoneout"]),
        (("check-plugin", "minl"), ["minlstm"]),
        (("leaderboard", "char"), ["char-lm"]),
        (("completion", "z"), ["zsh"]),
        (("sweep", "sta"), ["status"]),
    ],
)
def test_what_was_begun_is_completed(words, offered):
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_takes_what_is_printed(shell, tmp_path):
    script = tmp_path / f"completion.{shell}"
    script.write_text(call("completion", shell))
    assert "_RNNBENCH_COMPLETE" in script.read_text()
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script)], check=True)
