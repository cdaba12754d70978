"""`rnnbench sweep --engine slurm` on a real Slurm of two nodes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.slurm import missing, running_slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"no Slurm can be started here: {missing()}"),
]
RNNBENCH = Path(sys.executable).with_name("rnnbench")
# Two cells of one trial and one final run each. A run checks for a stop at each of its steps.
SWEEP = """
name: tiny
tasks: [{name: adding, length: 10, valid_items: 100, test_items: 100}]
architectures: [elman, gru]
settings: {adding: {budget.steps: STEPS, budget.validate_every: 50}}
search: {trials: 1, space: {optimizer.lr: {low: 1e-3, high: 1e-2}}}
final: {seeds: [1]}
workers: 2
"""
LONG = 2000
WHOLE = "sweep tiny complete: 2 trials done, 0 pruned, 0 failed, 2 of 2 final runs"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with running_slurm(tmp_path_factory.mktemp("slurm"), 2) as slurm:
        yield slurm


class Sweep:
    """A sweep that is started on the login node."""

    def __init__(self, slurm, folder, steps):
        self.slurm, self.folder = slurm, folder
        (folder / "sweep.yaml").write_text(SWEEP.replace("STEPS", str(steps)))

    def start(self, *options):
        command = self.slurm.hosts.on(
            "ctl", str(RNNBENCH), "sweep", "sweep.yaml", "--engine", "slurm", "--out", "out",
            "--no-html", *(options or ("--slurm", "time=10")),
        )  # fmt: skip
        with open(self.folder / "driver.log", "ab") as log:
            self.driver = subprocess.Popen(
                command, cwd=self.folder, env={**self.slurm.environment, "OMP_NUM_THREADS": "1"},
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        return self.driver

    @property
    def output(self):
        return (self.folder / "driver.log").read_text()

    def jobs(self, *states):
        """Return the ids of the sweep's jobs in these states."""
        listed = self.slurm.call("squeue", "-r", "-h", "--states=all", "-n", "rnnbench-tiny",
                                 "-o", "%i %T %Z")  # fmt: skip
        lines = [line.split() for line in listed.splitlines()]
        return [i for i, state, place in lines if state in states and place == str(self.folder)]

    def wait_for(self, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.output
            assert self.driver.poll() is None, self.output
            time.sleep(0.2)

    def wait_for_training(self):
        """Wait until each worker's trial has a checkpoint."""
        self.wait_for(lambda: len(list(self.folder.glob("out/runs/*/last.pt"))) == 2)


@pytest.fixture
def sweep(slurm, tmp_path):
    sweep = Sweep(slurm, tmp_path, LONG)
    yield sweep
    sweep.driver.kill()
    sweep.driver.wait()
    for job in sweep.jobs("PENDING", "RUNNING"):
        slurm.call("scancel", job)


def test_a_sweep_runs_in_jobs_of_its_own_and_leaves_none(slurm, tmp_path):
    sweep = Sweep(slurm, tmp_path, 60)
    driver = sweep.start()
    assert driver.wait(300) == 0, sweep.output
    assert WHOLE in sweep.output
    assert sweep.jobs("PENDING", "RUNNING", "COMPLETING") == []
    assert list((tmp_path / "out/sweeps/tiny/slurm").iterdir()) == []


def test_more_workers_than_there_is_room_for_wait_in_the_queue_and_harm_nothing(slurm, tmp_path):
    sweep = Sweep(slurm, tmp_path, 60)
    driver = sweep.start("--slurm", "time=10", "--workers", "9")
    assert driver.wait(300) == 0, sweep.output
    assert WHOLE in sweep.output
    assert sweep.jobs("PENDING", "RUNNING", "COMPLETING") == []


def test_a_job_that_slurm_warns_saves_is_requeued_and_goes_on(slurm, sweep):
    driver = sweep.start()
    sweep.wait_for_training()
    warned = sweep.jobs("RUNNING")[0]
    slurm.call("scancel", "--signal=USR2", warned)
    assert driver.wait(400) == 0, sweep.output
    assert WHOLE in sweep.output
    assert slurm.job(warned)["Restarts"] == "1"
    logs = "\n".join(p.read_text() for p in sweep.folder.glob("out/runs/**/log.txt"))
    assert "attempt 2" in logs, "it went on from its checkpoint"


def test_a_job_that_is_cancelled_by_hand_is_replaced(slurm, sweep):
    driver = sweep.start()
    sweep.wait_for_training()
    (cancelled, *_) = sweep.jobs("RUNNING")
    slurm.call("scancel", cancelled)
    assert driver.wait(400) == 0, sweep.output
    assert WHOLE in sweep.output
    arrays = {job.split("_")[0] for job in sweep.jobs("CANCELLED", "COMPLETED")}
    assert len(arrays) == 2, "another job took its place"


def test_a_driver_that_was_killed_is_followed_by_one_that_ends_its_jobs(slurm, sweep):
    driver = sweep.start()
    sweep.wait_for_training()
    left = set(sweep.jobs("RUNNING"))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    successor = sweep.start()
    assert successor.wait(400) == 0, sweep.output
    assert f"ends {len(left)} jobs of a driver that was killed" in sweep.output
    assert WHOLE in sweep.output
    assert left <= set(sweep.jobs("CANCELLED")), "and none ran beside the new ones"


def test_a_sweep_that_is_stopped_ends_its_jobs_and_goes_on_later(slurm, sweep):
    driver = sweep.start()
    sweep.wait_for_training()
    driver.send_signal(signal.SIGUSR1)
    assert driver.wait(120) == 75, sweep.output
    assert sweep.jobs("PENDING", "RUNNING") == []
    successor = sweep.start()
    assert successor.wait(400) == 0, sweep.output
    assert re.search(WHOLE, sweep.output)


def test_what_slurm_refuses_is_told_in_its_words_before_any_trial(slurm, tmp_path):
    sweep = Sweep(slurm, tmp_path, 60)
    driver = sweep.start("--slurm", "partition=nobody")
    assert driver.wait(60) == 2
    assert "sbatch: error:" in sweep.output
    assert "invalid partition specified: nobody" in sweep.output
    assert "--slurm partition=NAME" in sweep.output
    assert "Traceback" not in sweep.output
    assert not os.listdir(tmp_path / "out/sweeps/tiny/slurm")
