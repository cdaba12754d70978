"""A driver's ledger outlives a database that is away for less than a lease."""

import os
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from rnnbench.results.database import open_database
from rnnbench.results.reconnect import Patience
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.patient_ledger import PatientLedger
from rnnbench.sweep.ledger.process_identity import identity

ME = identity(os.getpid())
WORKER = "elsewhere-boot-ns:1:1"


def away():
    return OperationalError("UPDATE trial", {}, sqlite3.OperationalError("server closed, by me:x"))


def row(number=0):
    return TrialRow(f"s/c/{number}", "s", "c", "search", number, "{}", f"run-{number}")


class Answers:
    """Loses the answer of a method of the ledger once: what it did is committed."""

    def __init__(self, monkeypatch):
        self._monkeypatch, self.lost = monkeypatch, 0

    def lose(self, name):
        plain, before = getattr(Ledger, name), self.lost

        def act(ledger, *arguments, **options):
            done = plain(ledger, *arguments, **options)
            if self.lost == before:
                self.lost += 1
                raise away()
            return done

        self._monkeypatch.setattr(Ledger, name, act)


@pytest.fixture
def said():
    return []


@pytest.fixture
def ledger(tmp_path, said):
    engine = open_database(tmp_path / "results.db")
    ledger = PatientLedger(engine, "s", ME, 30.0, Patience(5.0, said.append))
    with ledger.driving():
        yield ledger
    engine.dispose()


@pytest.fixture
def answers(monkeypatch):
    return Answers(monkeypatch)


def stored(ledger):
    (only,) = ledger.rows()
    return only


def test_what_was_done_although_its_answer_was_lost_is_done_once(ledger, answers, said):
    trial = row()
    for name, act in (
        ("plan", lambda: ledger.plan([trial])),
        ("_update", lambda: ledger.claim(trial, WORKER)),
        ("beat", lambda: ledger.beat([(trial.key, 1)]) == {trial.key}),
        ("_update", lambda: ledger.give_back(trial, status="interrupted", reason="disk")),
        ("_update", lambda: ledger.claim(trial, WORKER)),
        ("_update", lambda: ledger.finish(trial, state="done", status="done", value=1.0)),
    ):
        answers.lose(name)
        assert act() in (True, None)
    assert answers.lost == 6
    now = stored(ledger)
    assert (now.state, now.attempt, now.value, trial.state) == ("done", 2, 1.0, "done")
    assert len(said) == 12
    assert "does not answer (server closed, by me:x): waiting for it, for 5 s at most" in said[0]
    assert "answers again, after" in said[1]


def test_another_attempt_is_not_taken_for_ones_own_after_a_lost_answer(ledger, answers):
    trial = row()
    ledger.plan([trial])
    stale = row()
    assert ledger.claim(trial, WORKER)
    answers.lose("_update")
    assert not ledger.claim(stale, ME)
    assert stored(ledger).owner == WORKER
    late = stored(ledger)
    late.attempt = 0
    answers.lose("_update")
    assert not ledger.finish(late, state="done", status="done", value=2.0)


def test_a_database_that_stays_away_is_given_up_once(monkeypatch):
    told, tries = [], []

    def fail(again):
        tries.append(again)
        raise away()

    patience = Patience(0.3, told.append)
    for _ in range(2):
        with pytest.raises(OperationalError):
            patience.run(fail)
    assert len(told) == 1
    assert tries[0] is False
    assert tries[-1] is False, "the second time nothing is waited for"
