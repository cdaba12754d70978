"""The ledger: claims, leases, fences, and who may drive."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rnnbench.cli.actions.sweep_control import open_sweep
from rnnbench.results.database import open_database
from rnnbench.sweep.ledger.ledger import Ledger, LostSweepError, SweepBusyError, TrialRow
from rnnbench.sweep.ledger.process_identity import describe, identity, is_dead, stopped
from rnnbench.sweep.ledger.requests import SweepRequests

ME = identity(os.getpid())
ELSEWHERE = "other-host-1:17:4711"


@pytest.fixture
def dead():
    """Return the identity of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = identity(process.pid)
    assert not is_dead(owner)
    process.communicate(b"\n")
    assert is_dead(owner)
    return owner


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(open_database(tmp_path / "results.db"), "sweep", ME)
    with ledger.driving():
        yield ledger
    ledger.engine.dispose()


def make_row(number=0, run_id="", **fields):
    key = f"sweep/cell/{number}"
    return TrialRow(
        key, "sweep", "cell", "search", number, "{}", run_id or f"run-{number}", **fields
    )


def shift_clock(ledger, seconds):
    """Make the leases end so many seconds earlier."""
    with ledger.engine.begin() as connection:
        for table in ("trial", "sweep_driver"):
            connection.exec_driver_sql(f"UPDATE {table} SET lease_until = lease_until - {seconds}")


def test_a_trial_is_planned_claimed_and_finished(ledger):
    row = make_row(params={"lr": 0.1})
    ledger.plan([row])
    assert ledger.claim(row, ME)
    done = {"state": "done", "status": "done", "value": 0.25, "curve": [(50, 0.25)]}
    assert ledger.finish(row, **done, notes={"completed_rung_0": 0.25})
    (stored,) = ledger.rows()
    assert stored == row
    assert (stored.params, stored.value, stored.attempt) == ({"lr": 0.1}, 0.25, 1)
    assert stored.curve == [(50, 0.25)]


def test_of_two_claims_one_wins(ledger):
    ledger.plan([make_row()])
    first, second = make_row(), make_row()
    assert ledger.claim(first, ME)
    assert not ledger.claim(second, ELSEWHERE)
    (stored,) = ledger.rows()
    assert stored.owner == ME


def test_many_claims_at_once_give_each_trial_to_one(ledger):
    ledger.plan([make_row(i) for i in range(10)])
    won = []

    def claim_all():
        won.extend(i for i in range(10) if ledger.claim(make_row(i), ME))

    threads = [threading.Thread(target=claim_all) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(won) == list(range(10))


def test_a_worker_that_lost_its_lease_cannot_write(ledger):
    ledger.plan([make_row()])
    frozen = make_row()
    assert ledger.claim(frozen, ELSEWHERE)
    (row,) = ledger.rows()
    assert not ledger.claim(row, ME)
    shift_clock(ledger, 31)
    assert ledger.claim(row, ME)
    assert row.attempt == 2
    assert not ledger.finish(frozen, state="done", status="done", value=0.0)
    assert not ledger.give_back(frozen, status="interrupted", reason="late")
    assert ledger.beat([(frozen.key, frozen.attempt)]) == set()
    assert ledger.finish(row, state="done", status="done", value=1.0)
    assert ledger.rows()[0].value == 1.0


def test_a_stopped_driver_is_said_to_be_stopped_and_what_to_do(ledger, tmp_path):
    """A driver after Ctrl-Z holds its sweep, also when its lease is over."""
    code = (
        "import os, sys\n"
        "from rnnbench.results.database import open_database\n"
        "from rnnbench.sweep.ledger.ledger import Ledger\n"
        "from rnnbench.sweep.ledger.process_identity import identity\n"
        f"engine = open_database('sqlite:///{tmp_path}/results.db')\n"
        "with Ledger(engine, 'other', identity(os.getpid())).driving():\n"
        "    print('drives', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout.readline() == "drives\n"
        driver.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while not stopped(identity(driver.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        shift_clock(ledger, 100)
        second = Ledger(ledger.engine, "other", ME)
        with pytest.raises(SweepBusyError, match=rf"stopped: .*kill -CONT {driver.pid}\)"):
            second.driving().__enter__()
        SweepRequests(ledger.engine, "other").begin("name: other", "other.yaml", {})
        with open_sweep("other", tmp_path, None) as sweep:
            state = sweep.state(sweep.snapshot(), sweep.requests.read())
        assert state.startswith("its driver is stopped: let it go on")
        driver.send_signal(signal.SIGCONT)
        driver.communicate("")


def test_one_beat_extends_the_leases_of_five_thousand_trials(ledger):
    rows = [make_row(number) for number in range(5000)]
    ledger.plan(rows)
    lost = rows.pop()
    assert all(ledger.claim(row, ME) for row in rows[:3] + rows[-3:])
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE trial SET state = 'running', attempt = 1")
    held = ledger.beat([(row.key, 1) for row in rows] + [(lost.key, 2)])
    assert held == {row.key for row in rows}


def test_a_beat_extends_the_lease(ledger):
    ledger.plan([make_row()])
    held = make_row()
    assert ledger.claim(held, ELSEWHERE)
    shift_clock(ledger, 20)
    assert ledger.beat([(held.key, held.attempt)]) == {held.key}
    shift_clock(ledger, 20)
    (row,) = ledger.rows()
    assert not ledger.claim(row, ME)


def test_the_trial_of_a_dead_process_is_free_at_once(ledger, dead):
    ledger.plan([make_row()])
    assert ledger.claim(make_row(), dead)
    (row,) = ledger.rows()
    assert ledger.claim(row, ME)


def test_the_trial_of_a_living_process_is_not_free_before_its_lease_ends(ledger):
    ledger.plan([make_row()])
    assert ledger.claim(make_row(), ME)
    (row,) = ledger.rows()
    assert not ledger.claim(row, ELSEWHERE)


def test_two_trials_of_one_run_do_not_share_its_folder(ledger):
    ledger.plan([make_row(0, "same"), make_row(1, "same")])
    first, second = ledger.rows()
    assert ledger.claim(first, ME)
    assert not ledger.claim(second, ME)
    assert ledger.finish(first, state="done", status="done", value=1.0)
    assert ledger.claim(second, ME)


def test_an_attempt_goes_beyond_the_one_of_a_record_that_is_there(ledger):
    ledger.plan([make_row()])
    row = make_row()
    assert ledger.claim(row, ME, above=4)
    assert row.attempt == 5


def test_the_same_trial_is_not_planned_twice(ledger):
    ledger.plan([make_row()])
    with pytest.raises(Exception, match="UNIQUE"):
        ledger.plan([make_row()])


def test_a_second_driver_is_refused_and_told_who_holds_the_sweep(ledger, dead):
    second = Ledger(ledger.engine, "sweep", ELSEWHERE)
    with (
        pytest.raises(SweepBusyError, match=f"process {os.getpid()} on this host"),
        second.driving(),
    ):
        pass
    with Ledger(ledger.engine, "another", ELSEWHERE).driving():
        pass
    shift_clock(ledger, 1000)  # asleep, and alive: its workers may go on with it
    with pytest.raises(SweepBusyError), second.driving():
        pass


def test_the_sweep_of_a_dead_driver_is_taken_over(tmp_path, dead):
    engine = open_database(tmp_path / "results.db")
    killed = Ledger(engine, "sweep", dead).driving()
    killed.__enter__()
    with Ledger(engine, "sweep", ME).driving():
        pass
    engine.dispose()


def test_a_driver_of_another_host_loses_the_sweep_with_its_lease(tmp_path):
    engine = open_database(tmp_path / "results.db")
    far, near = Ledger(engine, "sweep", ELSEWHERE), Ledger(engine, "sweep", ME)
    driving = far.driving()
    driving.__enter__()
    far.plan([make_row()])
    with pytest.raises(SweepBusyError, match="process 17 on other"), near.driving():
        pass
    shift_clock(far, 31)
    with near.driving():
        assert not far.claim(make_row(), ELSEWHERE)
        with pytest.raises(LostSweepError, match="taken over"):
            far.beat([])
    engine.dispose()


def test_a_process_number_used_again_is_another_process():
    place, pid, start = ME.split(":")
    assert not is_dead(ME)
    assert is_dead(f"{place}:{pid}:{int(start) + 1}")
    assert not is_dead(ELSEWHERE)  # cannot be seen from here
    assert describe(ELSEWHERE) == "process 17 on other"
