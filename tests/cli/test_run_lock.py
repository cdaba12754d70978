"""A run is trained by one process at a time, also where a cluster starts several."""

import os
import signal
import subprocess
import sys
import time

COMMAND = [
    sys.executable, "-m", "rnnbench", "run", "adding", "elman", "task.length=10",
    "budget.steps=1000000", "architecture.hidden=4", "--out",
]  # fmt: skip


def test_a_second_process_of_the_same_run_is_refused_and_told_how_srun_starts_one(tmp_path):
    command = [*COMMAND, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/metrics.csv")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second = subprocess.run(
            command,
            env={**os.environ, "SLURM_NTASKS": "3"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        first.send_signal(signal.SIGTERM)
    assert second.returncode == 1
    assert "is being trained by another process" in second.stderr
    assert "srun --ntasks=1" in second.stderr
    assert first.returncode == 143
    (folder,) = tmp_path.glob("runs/*")
    assert not (folder / ".lock").exists()
