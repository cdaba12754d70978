"""A run is trained by one process at a time, also where a cluster starts several."""

import subprocess
import sys
from contextlib import contextmanager

from support.command_line import call

from rnnbench.spec.compose import compose
from rnnbench.training.resolve import resolve

SETTINGS = {"task.length": 10, "architecture.hidden": 4, "budget.steps": 4}
RUN = ["run", "adding", "elman", *(f"{name}={value}" for name, value in SETTINGS.items())]
HOLD = """
import pathlib, sys
from rnnbench.results.run_lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(folder):
    """Hold a run's folder as a process that trains the run does, until it is killed."""
    folder.mkdir(parents=True)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], **pipes) as other:
        try:
            assert other.stdout.readline() == "held\n"
            yield
        finally:
            other.kill()


def test_a_second_process_of_the_same_run_is_refused_and_told_how_srun_starts_one(tmp_path):
    folder = tmp_path / "runs" / resolve(compose("adding", "elman", settings=SETTINGS)).run_id
    with another_process(folder):
        said = call(*RUN, "--out", tmp_path, code=1, env={"SLURM_NTASKS": "3"})
        assert "is being trained by another process" in said
        assert "srun --ntasks=1" in said
        assert "Wait for it or stop it" in call(*RUN, "--out", tmp_path, code=1)
        assert not (folder / "record.json").exists()
    call(*RUN, "--out", tmp_path)  # a process that was killed lets go
    assert (folder / "record.json").exists()
    assert not (folder / ".lock").exists()
