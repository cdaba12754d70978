"""Sweeps of small trials whose workers or driver are killed or frozen on the way."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support import TESTS
from support.fake_work import make_engine, starts
from support.small_sweeps import (
    RUNS,
    SWEEP,
    Notes,
    assert_nothing_is_left_behind,
    params_of,
    rows_of,
    run,
)

from rnnbench.results.store import Store
from rnnbench.sweep.ledger.ledger import SweepBusyError


def test_a_trial_that_kills_its_workers_fails_and_the_sweep_goes_on(tmp_path):
    text = SWEEP.replace("explodes", "deadly").replace("trials: 3", "trials: 1")
    text = text.replace("tricks: [[], [zoneout]]\n", "")
    outcome = run(text, tmp_path)
    (failure,) = outcome.failures
    assert failure.status == "crashed"
    assert failure.reason.startswith("killed its worker twice")
    assert "its log is" not in failure.reason, "the log is empty"
    assert outcome.lost_workers == 2
    assert outcome.last.count("finals_done") == 2
    failed = [r for r in rows_of(tmp_path) if r.state == "failed"]
    store = Store(tmp_path)
    record = store.read(failed[0].run_id)
    store.close()
    assert (record.status, record.reason) == ("crashed", failure.reason)


def test_a_sweep_that_is_stopped_when_nothing_is_left_is_complete_and_a_success(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[plain]").replace("trials: 3", "trials: 1")
    text = text.replace("tricks: [[], [zoneout]]\n", "").replace("final: {seeds: [1, 2]}\n", "")
    notes = Notes()

    def stop_late(step):
        if step == "told":
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = run(text, tmp_path, at=stop_late, progress=notes)
    assert outcome.signal == signal.SIGTERM
    assert "complete" in outcome.summary()
    assert outcome.exit_code == 0
    assert not [n for n in notes.notes if "stopping" in n]


def test_a_frozen_worker_is_given_up_after_its_lease(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[frozen]").replace("trials: 3", "trials: 1")
    text = text.replace("tricks: [[], [zoneout]]\n", "").replace("final: {seeds: [1, 2]}\n", "")
    notes = Notes()
    outcome = run(text, tmp_path, lease=0.6, beat=0.1, progress=notes)
    assert outcome.complete
    assert [attempt for _, attempt, _ in starts(tmp_path)] == [1, 2]
    assert "no sign of life for 0.6 s" in notes.notes[0]
    assert_nothing_is_left_behind(tmp_path)


@pytest.mark.kills
def test_killing_workers_at_random_loses_and_invents_nothing(tmp_path):
    text = SWEEP.replace("[easy]", "[{name: easy, seconds: 0.1}]") + "retries: 50\n"
    stop, kills = threading.Event(), []

    def kill_some():
        rng = random.Random(0)
        while len(kills) < 4 and not stop.wait(0.3):
            # The number of a worker that has ended may belong to anyone: kill only its children.
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            busy = [p for p in map(int, children) if p in {pid for _, _, pid in starts(tmp_path)}]
            if busy:
                kills.append(rng.choice(busy))
                os.kill(kills[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill_some)
    killer.start()
    try:
        outcome = run(text, tmp_path)
    finally:
        stop.set()
        killer.join()
    assert kills
    assert outcome.complete
    assert outcome.failures == () or {f.status for f in outcome.failures} == {"nan"}
    rows = rows_of(tmp_path)
    assert len(rows) == len({r.run_id for r in rows}) == RUNS
    assert {run_id for run_id, _, _ in starts(tmp_path)} == {r.run_id for r in rows}
    assert len(starts(tmp_path)) <= RUNS + len(kills)
    assert_nothing_is_left_behind(tmp_path)


WAY = ["asked", "planned", "claimed", "submitted", "finished", "committed", "told"]


@pytest.mark.kills
def test_a_driver_killed_at_every_step_of_a_trials_way_ends_complete(tmp_path):
    sweep, root = tmp_path / "sweep.yaml", tmp_path / "root"
    sweep.write_text(SWEEP)
    root.mkdir()
    script = TESTS / "support" / "fake_work.py"
    for step in [*WAY, "finals planned"]:
        before = starts(root)
        finished = {p.parent.name for p in root.glob("runs/*/record.json")}
        count = "1" if step == "finals planned" else "2"
        killed = subprocess.run(
            [sys.executable, script, sweep, root, step, count], capture_output=True, text=True
        )
        assert killed.returncode == -signal.SIGKILL, f"{step}: {killed.stderr}"
        again = {run_id for run_id, _, _ in starts(root)[len(before) :]} & finished
        assert not again, f"finished runs were run again after a kill at {step!r}: {again}"
        assert_nothing_is_left_behind(root)
    finished = {p.parent.name for p in root.glob("runs/*/record.json")}
    before = starts(root)
    outcome = run(SWEEP, root)
    assert outcome.complete
    assert not {run_id for run_id, _, _ in starts(root)[len(before) :]} & finished
    rows = rows_of(root)
    assert len(rows) == len({r.run_id for r in rows}) == RUNS
    assert {r for r, _, _ in starts(root)} == {r.run_id for r in rows}
    assert len(starts(root)) <= RUNS + 2 * len(WAY)  # at most what two workers had in hand


@pytest.mark.kills
def test_a_killed_driver_goes_on_to_the_same_configurations(tmp_path):
    text = SWEEP.replace("sampler: random", "sampler: {name: tpe, startup_trials: 1}")
    text = text.replace("workers: 2", "workers: 1")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(text)
    (tmp_path / "whole").mkdir()
    run(text, tmp_path / "whole")
    root = tmp_path / "killed"
    root.mkdir()
    script = TESTS / "support" / "fake_work.py"
    subprocess.run([sys.executable, script, sweep, root, "asked", "6"], capture_output=True)
    run(text, root)
    assert params_of(root) == params_of(tmp_path / "whole")


def test_a_second_driver_is_refused_and_the_first_stops_in_order(tmp_path):
    text = SWEEP.replace("[easy]", "[{name: easy, seconds: 60}]")
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(text)
    script = TESTS / "support" / "fake_work.py"
    first = subprocess.Popen([sys.executable, script, sweep, tmp_path], stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while len(starts(tmp_path)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(SweepBusyError, match=f"process {first.pid} on this host"):
            run(text, tmp_path)
        # An orderly stop: what ran is marked, what is left is said.
        first.send_signal(signal.SIGTERM)
        last, _ = first.communicate(timeout=120)
    finally:
        first.kill()
    assert first.returncode == 128 + signal.SIGTERM
    assert b"the same command goes on from here" in last
    rows = rows_of(tmp_path)
    assert {(r.state, r.status) for r in rows} == {("planned", "interrupted")}
    assert len(rows) == 2
    assert_nothing_is_left_behind(tmp_path)


def test_a_late_message_of_an_attempt_that_was_given_up_changes_nothing(tmp_path, monkeypatch):
    text = SWEEP.replace("[plain, explodes]", "[frozen]").replace("trials: 3", "trials: 1")
    text = text.replace("tricks: [[], [zoneout]]\n", "").replace("final: {seeds: [1, 2]}\n", "")
    from rnnbench.sweep.engines.protocol import Ending, Finished

    make = make_engine(tmp_path)

    class Echo:
        """Says of every job, before it ends, that its previous attempt ended better."""

        def __init__(self, workers):
            self.inner, self.late = make(workers), []

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def submit(self, worker, job):
            self.inner.submit(worker, job)
            if job.attempt > 1:
                self.late = [Finished(job.key, job.attempt - 1, Ending("done", value=-9.0))]

        def poll(self, timeout):
            late, self.late = self.late, []
            return late + self.inner.poll(timeout)

    outcome = run(text, tmp_path, lease=0.6, beat=0.1, engine_factory=Echo)
    assert outcome.complete
    (row,) = rows_of(tmp_path)
    assert (row.attempt, row.state) == (2, "done")
    assert row.value >= 0
