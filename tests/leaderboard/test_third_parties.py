"""A board says of plugins of third parties whether they were held to their laws, and which."""

import pytest
from support.fake_records import PROVENANCE, make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.third_parties import mark_third_parties
from rnnbench.registry import held_laws
from rnnbench.registry.registry import discover
from rnnbench.registry.schema import Entry
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve

ROLL = Entry("architectures", "roll", "acme_rnn:Roll", "acme-rnn", "1.2")
INSTALLED = {"architectures": {"roll": ROLL}, "tasks": {}, "tricks": {}}
HELD = {"version": "1.2", "code": "c0de", "held": 20, "broken": []}


def remarks(noted=None, verdict=None, architecture="roll", version="1.2", **changes):
    """Return the marks of the row of an architecture, on a board of one run."""
    about = {"distribution": "acme-rnn", "version": version, "code": "c0de", "laws": noted}
    others = {"third_parties": {"architectures/roll": about}} if architecture == "roll" else {}
    record = make_record(make_spec(architecture=architecture), provenance=PROVENANCE | others)
    known = {"acme-rnn/architectures/roll": HELD | verdict} if verdict is not None else {}
    (board,) = mark_third_parties(build([record]), [record], INSTALLED, known)
    (row,) = (r for r in board.rows if r.kind == "ranked")
    return [mark for mark in row.marks if "laws" in mark]


def test_nothing_is_said_of_what_is_rnnbench_s_own():
    assert remarks(architecture="lstm") == []


def test_a_plugin_that_nobody_held_to_its_laws_is_marked_with_what_to_do():
    assert remarks() == [
        "roll of acme-rnn 1.2 was not held to its laws (rnnbench check-plugin roll)"
    ]


@pytest.mark.parametrize("where", ["verdict", "noted"])
def test_a_verdict_on_the_code_that_ran_is_told_with_its_version(where):
    verdict = {} if where == "verdict" else HELD
    assert remarks(**{where: verdict}) == [
        "roll of acme-rnn 1.2 was held to its laws at this version: 20 held, none broken"
    ]


def test_broken_laws_are_named():
    (mark,) = remarks(verdict={"broken": ["causality", "chunks"]})
    assert mark == "roll of acme-rnn 1.2 breaks its laws (causality, chunks)"


def test_a_verdict_on_other_code_or_another_version_is_none_on_this_one():
    (mark,) = remarks(verdict={"version": "1.1", "code": "01d"})
    assert mark == ("roll of acme-rnn 1.2 was held to its laws at 1.1, not as it ran here "
                    "(rnnbench check-plugin roll)")  # fmt: skip
    (mark,) = remarks(verdict={"code": "01d"})
    assert "other code of this version, not as it ran here" in mark


def test_of_an_old_record_the_installed_plugin_tells_whose_it_is():
    record = make_record(make_spec(architecture="roll"))
    (board,) = mark_third_parties(build([record]), [record], INSTALLED, {})
    (row,) = (r for r in board.rows if r.kind == "ranked")
    assert "roll of acme-rnn (version not known) was not held to its laws" in row.marks[-1]


def test_a_task_of_a_third_party_is_told_in_a_note():
    about = {"distribution": "acme", "version": "3", "code": "", "laws": None}
    others = {"third_parties": {"tasks/char-lm": about}}
    record = make_record(make_spec(), provenance=PROVENANCE | others)
    (board,) = mark_third_parties(build([record]), [record], INSTALLED, {})
    assert "The task char-lm of acme 3 was not held to its laws" in board.notes[-1]


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A package on the path, and its entry."""
    (tmp_path / "acme_rnn").mkdir()
    (tmp_path / "acme_rnn" / "__init__.py").write_text("SIZE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setitem(discover()[0]["architectures"], "roll", ROLL)
    return tmp_path / "acme_rnn"


def test_a_verdict_is_kept_until_the_code_changes(acme):
    assert held_laws.describe_third_parties([("architectures", "roll"), ("tasks", "dyck")]) == {
        "architectures/roll": {
            "distribution": "acme-rnn", "version": "1.2", "code": held_laws.code_of(ROLL),
            "laws": None,
        }
    }  # fmt: skip
    held_laws.note_verdict(ROLL, 20, ["chunks"])
    verdict = held_laws.verdict_of(ROLL)
    assert (verdict["held"], verdict["broken"]) == (20, ["chunks"])
    assert verdict["code"] == held_laws.code_of(ROLL) != ""
    (acme / "__init__.py").write_text("SIZE = 2\n")
    assert verdict["code"] != held_laws.code_of(ROLL)


def test_a_damaged_file_of_verdicts_is_none(acme):
    held_laws.folder().mkdir(parents=True)
    (held_laws.folder() / "laws.json").write_text("{")
    assert held_laws.verdict_of(ROLL) is None


def test_suspicions_of_a_plugin_stand_beside_the_laws_that_it_keeps():
    suspect = {"suspect": ["settings do something"]}
    (mark,) = remarks(noted=HELD | suspect)
    assert mark.endswith("20 held, none broken, 1 suspect (settings do something)")


def test_a_reason_that_a_plugin_declares_stands_on_the_board():
    declared = {
        "declared": {
            "architectures/lstm": {"gradients_are_true": "a step learns by a slope"},
            "tasks/char-lm": {"vocabulary_is_of_training": "as published"},
        }
    }
    record = make_record(make_spec(architecture="lstm"), provenance=PROVENANCE | declared)
    (board,) = mark_third_parties(build([record]), [record], INSTALLED, {})
    (row,) = (r for r in board.rows if r.kind == "ranked")
    law = "of the law 'gradients are true'"
    assert f"lstm declares, {law}: a step learns by a slope" in row.marks
    assert (
        "The task char-lm declares, of the law 'vocabulary is of training': as published."
        in board.notes
    )


def test_a_run_notes_what_its_plugins_declare(tmp_path):
    small = {"architecture.hidden": 4, "budget.steps": 2, "task.length": 4}
    record = execute(resolve(compose("latch", "lstm", [], small)), store=Store(tmp_path))
    assert "no_column_is_the_answer" in record.provenance["declared"]["tasks/latch"]
