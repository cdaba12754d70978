"""Runs on several devices, here processes of one machine: whole, stopped, and killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.engine_events import wait_idle
from support.fake_work import make_engine
from support.small_runs import TRICKS, assert_same_run, small

from rnnbench.contract import Refusal
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.engines.protocol import Alive, Finished, Job
from rnnbench.sweep.ledger.process_identity import start_time
from rnnbench.training.execute import execute

TWO = Trainer(accelerator="cpu", devices=2)
LONG = {"budget__steps": 100, "budget__validate_every": 25}
SECONDS = 120.0  # for processes to start on a busy machine


def run_in(folder, spec, trainer=TWO, **options):
    store = Store(folder)
    return store, execute(spec, store=store, trainer=trainer, **options)


def children(pid):
    """Numbers of the processes that another one started, and of those that they started."""
    direct = [
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    ]
    return direct + [c for d in direct for c in children(d)]


def ranks_of(pid):
    ranks = []
    for child in children(pid):
        try:
            if (
                b"rnnbench.training.devices.rank_process"
                in Path(f"/proc/{child}/cmdline").read_bytes()
            ):
                ranks.append(child)
        except OSError:
            continue
    return ranks


def wait_until(condition, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def assert_gone(pids, seconds=10.0):
    wait_until(lambda: not any(start_time(pid) is not None for pid in pids), seconds)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run on two devices that nothing disturbed."""
    return run_in(tmp_path_factory.mktemp("whole"), small(tricks=TRICKS, **LONG))


def test_a_run_on_two_devices_learns_what_one_learns(tmp_path):
    spec = small(optimizer__batch=5, test=True)
    steps = []
    _, two = run_in(tmp_path / "two", spec, on_step=lambda at, *_: steps.append(at.step))
    _, one = run_in(tmp_path / "one", spec, Trainer(accelerator="cpu"))
    assert two.status == Status.DONE, two.reason
    assert steps[-1] == 60
    for split in ("valid", "test"):
        assert two.metrics[split] == pytest.approx(one.metrics[split], rel=1e-5)
    assert [step for step, *_ in two.curve] == [20, 40, 60]
    assert two.cost["tokens"] == one.cost["tokens"] == 60 * 5 * 20
    assert two.cost["device_seconds"] == 2 * two.cost["train_seconds"]
    assert (two.provenance["devices"], one.provenance["devices"]) == (2, 1)
    assert "equal those of one device" in two.provenance["split"]
    assert two.spec.run_id == one.spec.run_id, "how the machine is used is no part of a run"
    assert ranks_of(os.getpid()) == []


@pytest.mark.kills
def test_a_signal_saves_on_all_ranks_and_the_run_goes_on_bitwise(tmp_path, whole):
    spec, stopped_at = small(tricks=TRICKS, **LONG), []

    def stop(at, *_):
        if at.step >= 50 and not stopped_at:
            stopped_at.append(at.step)
            os.kill(os.getpid(), signal.SIGUSR1)

    _, stopped = run_in(tmp_path, spec, on_step=stop, quiet=False)
    assert stopped.status == Status.INTERRUPTED, stopped.reason
    assert stopped.reason.startswith("SIGUSR1 "), "in training, or in the validation that was due"
    assert stopped.provenance["signal"] == "SIGUSR1"
    assert_same_run(whole, run_in(tmp_path, spec, attempt=2))


@pytest.mark.kills
def test_a_rank_that_is_killed_ends_the_run_at_once_and_says_so(tmp_path, whole):
    spec, killed = small(tricks=TRICKS, **LONG), []

    def kill(at, *_):
        if at.step >= 50 and not killed:
            killed.append(time.monotonic())
            os.kill(max(ranks_of(os.getpid())), signal.SIGKILL)

    _, record = run_in(tmp_path, spec, on_step=kill)
    assert time.monotonic() - killed[0] < 15
    assert (record.status, record.provenance["fault"]) == (Status.INTERRUPTED, "worker")
    assert "rank 1 was killed (SIGKILL)" in record.reason
    assert record.curve[0][0] == 25, "what the last checkpoint knew"
    assert ranks_of(os.getpid()) == []
    assert_same_run(whole, run_in(tmp_path, spec, attempt=2))


@pytest.mark.slow
def test_the_search_may_prune_a_run_on_several_devices(tmp_path):
    validated = []

    def worse(step, value):
        validated.append(step)
        return step >= 40

    _, record = run_in(tmp_path, small(), on_validation=worse)
    assert (record.status, validated) == (Status.PRUNED, [20, 40])


@pytest.mark.slow
def test_a_carried_state_is_not_dealt_to_another_number_of_devices(tmp_path):
    spec = small(**LONG)
    one_device = Trainer(accelerator="cpu")

    def stop(at, *_):
        if at.step == 50:
            os.kill(os.getpid(), signal.SIGTERM)

    run_in(tmp_path, spec, one_device, on_step=stop, quiet=False)
    with pytest.raises(Refusal, match=r"stopped on 1 devices(.|\n)*trainer.devices=1"):
        run_in(tmp_path, spec, attempt=2)


def test_more_devices_than_there_are_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(Refusal, match=r"trainer.devices=2: this process sees 1 GPUs"):
        run_in(tmp_path, small(), Trainer(accelerator="gpu", devices=2))
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.slow
def test_a_combination_that_cannot_be_split_is_refused_by_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "rnnbench", "run", "char-lm", "lstm", "--trick", "sam",
         "architecture.hidden=8", "task.length=10", "trainer.accelerator=cpu",
         "trainer.devices=2", "--out", str(tmp_path)],
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "rnnbench: refused: trainer.devices=2: lstm + sam" in done.stderr
    assert "does not act row by row" in done.stderr
    assert not list(tmp_path.glob("runs/*/record.json"))


@pytest.mark.slow
def test_no_rank_outlives_the_command(tmp_path):
    command = subprocess.Popen(
        [sys.executable, "-m", "rnnbench", "run", "char-lm", "lstm", "architecture.hidden=8",
         "budget.steps=100000", "trainer.accelerator=cpu", "trainer.devices=2", "-q",
         "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: list(tmp_path.glob("runs/*/metrics.csv")))
        ranks = ranks_of(command.pid)
        assert len(ranks) == 2
    finally:
        command.kill()
        command.wait()
    assert_gone(ranks)


@pytest.mark.slow
def test_no_rank_outlives_the_worker_of_a_sweep(tmp_path):
    spec = small(**LONG, budget__patience=None)
    engine = make_engine(tmp_path, work="rnnbench.training.execute:execute", trainer=TWO)(1)
    with closing(engine):
        (worker,) = wait_idle(engine, seconds=SECONDS)
        pid = int(worker.split(":")[1])
        job = Job("job", 1, small(budget__steps=100_000).as_dict(), "sweep", "study", False)
        engine.submit(worker, job)
        wait_until(lambda: list(tmp_path.glob("runs/*/metrics.csv")))
        ranks = ranks_of(pid)
        assert len(ranks) == 2
        assert {os.getpgid(rank) for rank in ranks} == {pid}, "killing the group kills them"
        os.kill(pid, signal.SIGKILL)
        assert_gone(ranks)
        (worker,) = wait_idle(engine, seconds=SECONDS)
        engine.submit(worker, Job("next", 1, spec.as_dict(), "sweep", "study", False))
        events, deadline = [], time.monotonic() + SECONDS
        while not any(isinstance(e, Finished) for e in events):
            assert time.monotonic() < deadline
            events += [e for e in engine.poll(0.2) if not isinstance(e, Alive)]
        assert events[-1].ending.status == "done", events[-1].ending.reason


@pytest.mark.slow
def test_ranks_send_their_checkpoints_to_an_address(tmp_path, monkeypatch, whole):
    spec, stopped_at = small(tricks=TRICKS, **LONG), []

    def stop(at, *_):
        if at.step >= 50 and not stopped_at:
            stopped_at.append(at.step)
            os.kill(os.getpid(), signal.SIGTERM)

    for attempt, disk in ((1, "lost"), (2, "other")):
        monkeypatch.setenv("RNNBENCH_SCRATCH", str(tmp_path / disk))
        resumed = run_in(
            f"file://{tmp_path}/shared", spec, attempt=attempt, quiet=False, on_step=stop
        )
    assert stopped_at
    assert_same_run(whole, resumed)
