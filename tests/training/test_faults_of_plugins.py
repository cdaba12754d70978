"""A plugin's refusal is shown as one, and its fault names its own file and line."""

import sys
import textwrap

import pytest
from support.toys import TOYS, TinyLSTM

from rnnbench.cli import main
from rnnbench.contract import Refusal
from rnnbench.registry.registry import discover
from rnnbench.registry.schema import Entry
from rnnbench.training.dry_run import check
from rnnbench_tricks.variational_dropout import VariationalDropout

ARCHITECTURE = '''
from dataclasses import dataclass

import torch

from rnnbench.contract import Architecture, Backbone, Refusal
from acme_rnn._parts import multiply


class NeedsCell(Refusal):
    """A refusal of this package's own."""


class Wrong(Backbone):
    width = 4

    def forward(self, x_BTD, state=None, layout=None):
        return multiply(x_BTD), ()


@dataclass(frozen=True)
class AcmeFaulty(Architecture):
    """Multiplies matrices that do not fit."""

    hidden: int = 4

    def build(self, d_in, *, causal):
        return Wrong()


@dataclass(frozen=True)
class AcmePicky(Architecture):
    """Refuses all."""

    hidden: int = 4

    def build(self, d_in, *, causal):
        raise NeedsCell("acme-picky wants a cell.\\n  Choose another architecture.")
'''
PARTS = """
import torch


def multiply(x_BTD):
    return torch.nn.functional.linear(x_BTD, torch.zeros(3, 99))  # does not fit
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A package of a third party, on the path and known to the registry."""
    package = tmp_path / "acme_rnn"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "architectures.py").write_text(textwrap.dedent(ARCHITECTURE))
    (package / "_parts.py").write_text(textwrap.dedent(PARTS))
    monkeypatch.syspath_prepend(tmp_path)
    from acme_rnn import architectures

    yield architectures
    for name in [m for m in sys.modules if m.partition(".")[0] == "acme_rnn"]:
        del sys.modules[name]


@pytest.fixture
def installed(acme, monkeypatch):
    plugins, _ = discover()
    for cls in (acme.AcmePicky, acme.AcmeFaulty):
        entry = Entry("architectures", cls.name, f"{cls.__module__}:{cls.__name__}", "acme", "1.0")
        monkeypatch.setitem(plugins["architectures"], cls.name, entry)


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["rnnbench", *arguments])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_refusal_of_a_plugins_own_class_ends_with_exit_2_and_no_traceback(
    tmp_path, monkeypatch, capsys, installed, command
):
    monkeypatch.setenv("RNNBENCH_RESULTS", str(tmp_path / "results"))
    assert run_main(monkeypatch, command, "adding", "acme-picky") == 2
    message = capsys.readouterr().err
    assert "acme-picky wants a cell" in message
    assert "Traceback" not in message


def test_a_fault_inside_torch_is_said_to_be_at_the_plugins_own_line(acme):
    line = PARTS.splitlines().index(next(t for t in PARTS.splitlines() if "does not fit" in t)) + 1
    with pytest.raises(Refusal, match=rf"fails its dry run.*\n.*acme_rnn/_parts\.py:{line}\)"):
        check(acme.AcmeFaulty(), TOYS["lm"])


def test_a_fault_in_other_code_than_the_plugins_is_named_where_it_is(acme):
    class Faulty(VariationalDropout):
        def cell(self, cell):
            return cell

        def loss(self, loss, result, at):
            return loss @ loss

    with pytest.raises(Refusal, match=r"test_faults_of_plugins\.py:\d+\)"):
        check(TinyLSTM(), TOYS["lm"], [Faulty()])
