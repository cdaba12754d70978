"""Who is told what when a command fails: the user's mistakes in words, our faults in full."""

import subprocess
import sys
from textwrap import dedent

import pytest
from support.command_line import call
from support.plugin_site import plugin_site

from rnnbench.errors import (
    DataError,
    PluginError,
    Refusal,
    RunError,
    SpecError,
    SweepError,
    UserError,
)

LIST = "rnnbench.cli.actions.list_plugins.list_plugins"


@pytest.fixture
def site(tmp_path, monkeypatch):
    yield from plugin_site(tmp_path / "site", monkeypatch)


def raising(error):
    def action(*_, **__):
        raise error

    return action


def test_a_value_error_of_a_library_is_a_fault_of_ours_with_its_traceback():
    code = dedent(
        """
        import numpy as np
        from rnnbench.cli import main
        from rnnbench.cli.actions import list_plugins

        list_plugins.list_plugins = lambda *_: np.ones(2) + np.ones(3)
        main(["list"])
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "ValueError: operands could not be broadcast" in done.stderr
    assert "This is a fault of rnnbench" in done.stderr
    assert "rnnbench: error" not in done.stderr


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, TypeError, KeyError])
def test_no_plain_error_is_shown_as_the_users(monkeypatch, kind):
    monkeypatch.setattr(LIST, raising(kind("out of range")))
    with pytest.raises(kind) as caught:
        call("list")
    assert "Please report it" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (SpecError("no such field"), 2, "rnnbench: error: no such field\n"),
        (PluginError("no such plugin"), 2, "rnnbench: error: no such plugin\n"),
        (SweepError("a.yaml:3: no"), 2, "rnnbench: error: a.yaml:3: no\n"),
        (RunError("no such run"), 2, "rnnbench: error: no such run\n"),
        (Refusal("no cell"), 2, "rnnbench: refused: no cell\n"),
        (DataError("it is away"), 1, "rnnbench: error: it is away\n"),
        (OSError("disk full"), 1, "rnnbench: error: disk full\n"),
    ],
)
def test_what_the_user_can_mend_is_said_in_one_line(monkeypatch, error, code, words):
    monkeypatch.setattr(LIST, raising(error))
    assert call("list", code=code) == words


def test_an_error_of_the_users_of_anybodys_own_kind_is_said_by_its_label(monkeypatch):
    class QuotaError(UserError):
        exit_code = 3
        label = "over quota"

    monkeypatch.setattr(LIST, raising(QuotaError("ask for more")))
    assert call("list", code=3) == "rnnbench: over quota: ask for more\n"


def test_a_refusal_of_a_plugins_own_kind_is_said_without_a_traceback(site, tmp_path):
    project = tmp_path / "picky"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "picky"\nversion = "1.0"\n'
        '[project.entry-points."rnnbench.architectures"]\npicky = "rnnbench_picky:Picky"\n'
    )
    (project / "rnnbench_picky.py").write_text(
        dedent(
            '''
            """An architecture that builds nothing."""

            from dataclasses import dataclass

            from rnnbench.contract import Architecture, Refusal


            class NeedsCell(Refusal):
                """A refusal of this package alone."""


            @dataclass(frozen=True)
            class Picky(Architecture):
                """It refuses every task."""

                hidden: int = 4

                def build(self, *_, **__):
                    raise NeedsCell("picky has no cell to run")
            '''
        )
    )
    site.add(project)
    said = call("check", "adding", "picky", code=2)
    assert said == "rnnbench: refused: picky has no cell to run\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["leaderboard", "--json", "--csv"], "--json and --csv: ask for one after the other"),
        (["leaderboard", "--across", "--csv"], "--across has no --csv; take --json"),
        (["leaderboard", "--against", "gru"], "no board has a tested row of that name"),
        (["leaderboard", "--centre", "median"], "a median takes a bootstrap interval"),
        (["generate", "x"], "holds no run; see rnnbench run --help"),
        (["predict", "x", "--input", "1", "--temperature", "0"], "temperature = 0.0: it must be"),
        (["predict", "x", "--input", "1", "--top-p", "2"], "top_p = 2.0 is outside (0, 1]"),
        (["predict", "x", "--input", "1", "--beam", "3"], "beam = 3 acts on method 'beam', not"),
        (["leaderboard", "--out", "nosuch://bucket"], "Use a folder, or an address such as"),
        (["sweep", "status", "--database", "here"], "is not a database URL"),
        (["sweep", "status", "--database", "post://h"], "no database is called post"),
        (["sweep", "status", "--database", "postgresql://h:x/y"], "is not a database URL"),
    ],
)
def test_options_that_cannot_be_are_the_users_mistake(tmp_path, arguments, words):
    if "--out" not in arguments:
        arguments = [*arguments, "--out", tmp_path]
    assert words in call(*arguments, code=2)


def test_a_record_of_a_newer_version_is_the_users_to_mend(tmp_path):
    folder = tmp_path / "runs" / "adding.gru.0123"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text('{"format": 99}')
    said = call("predict", "adding", "--input", "1", "--out", tmp_path, code=2)
    assert "was written by a newer rnnbench" in said
