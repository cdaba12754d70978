"""Submits, watches and cancels jobs of Slurm: submitit submits, `squeue` tells how they are.

submitit asks `sacct`, which needs an accounting database that many sites lack; `squeue` answers
everywhere, for some minutes after the end of a job too (Slurm's MinJobAge).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnnbench.errors import SweepError

TIMEOUTS = 1_000_000  # requeues of a job after its time limit: the sweep says when it ends
COMMAND_SECONDS = 60.0
ENDED = "ENDED"  # our word for a job that Slurm knows no more


class JobState(NamedTuple):
    """The state of a job, as `squeue` tells it.

    Attributes:
        state: PENDING, RUNNING, COMPLETED, FAILED, TIMEOUT, NODE_FAIL, ... or ENDED.
        reason: why it waits or ended, in Slurm's words; "None" and "" are none.
    """

    state: str
    reason: str = ""

    def in_words(self) -> str:
        """Return the state for a user."""
        if self.state == ENDED:
            return "Slurm knows it no more"
        return f"{self.state}, {self.reason}" if self.reason else self.state


WAITS = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "CONFIGURING"}
LIVES = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}


class SlurmJobs:
    """The jobs of one engine.

    Attributes:
        ids: of all jobs that were submitted.

    Args:
        folder: folder that all nodes see, for scripts and output of the jobs.
        parameters: see `slurm_options.parameters`.

    Raises:
        SweepError: submitit or Slurm is not here.
    """

    def __init__(self, folder: Path, parameters: dict[str, Any]) -> None:
        self.folder = folder
        missing = [
            name for name in ("sbatch", "srun", "squeue", "scancel") if not shutil.which(name)
        ]
        if missing:
            raise SweepError(
                f"--engine slurm: this machine has no {', '.join(missing)}\n"
                "  Start the sweep on a login node of the cluster, or use --engine local or ray."
            )
        try:
            import submitit
        except ImportError as error:
            raise SweepError(
                "--engine slurm needs submitit\n  pip install 'rnnbench[slurm]'"
            ) from error
        self._clean = submitit.helpers.clean_env
        self._executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=TIMEOUTS)
        # Wherever the driver finds its modules, the seats find them too.
        modules = os.pathsep.join(p or os.getcwd() for p in sys.path)
        self._parameters = {
            **parameters,
            "setup": [f"export PYTHONPATH={shlex.quote(modules)} OMP_NUM_THREADS=1"],
        }
        self.ids: list[str] = []

    def submit(self, seats: Sequence[Callable[[], Any]], avoid: Sequence[str] = ()) -> list[str]:
        """Submit a job for each seat, more than one as an array; return their ids.

        Args:
            avoid: nodes that are not to be used.

        Raises:
            SweepError: Slurm refuses them.
        """
        chosen = dict(self._parameters)
        if avoid:
            further = dict(chosen["additional_parameters"])
            mine = [further["exclude"]] if further.get("exclude") else []
            further["exclude"] = ",".join([*mine, *avoid])
            chosen["additional_parameters"] = further
        self._executor.update_parameters(**chosen)
        try:
            with self._outside_of_jobs(), self._executor.batch():
                jobs = [self._executor.submit(seat) for seat in seats]
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            words = str(error).strip().splitlines()
            told = [line for line in words if line.startswith("sbatch: ")] or words[-1:]
            raise SweepError(
                "Slurm does not take the jobs of the sweep\n  " + "\n  ".join(told) + "\n"
                "  Options for sbatch are given by --slurm NAME=VALUE, such as "
                "--slurm partition=NAME --slurm account=NAME."
            ) from error
        ids = [job.job_id for job in jobs]
        self.ids += ids
        self._note()
        return ids

    def _note(self) -> None:
        """Note the jobs for the driver that comes after one that was killed."""
        (self.folder.parent / "jobs").write_text("\n".join(self.ids) + "\n")

    @contextlib.contextmanager
    def _outside_of_jobs(self) -> Iterator[None]:
        """Submit as if this process were in no job: a driver may well be in one."""
        # The site's configuration, and defaults that a user gives to sbatch, are none of a job's.
        kept = {k: v for k, v in os.environ.items() if k == "SLURM_CONF" or k.startswith("SBATCH_")}
        with self._clean():
            os.environ.update(kept)
            yield

    def tail(self, job: str) -> str:
        """Return the last lines that the seat of a job printed, or where they should be."""
        log = self.folder / f"{job}_0_log.out"
        with contextlib.suppress(OSError):
            lines = log.read_text(errors="replace").strip().splitlines()
            return f"; its log {log} ends with\n" + "\n".join(lines[-15:])
        return f", and left no log at {log}: do all nodes see this folder?"


def states(ids: Sequence[str]) -> dict[str, JobState] | None:
    """Return the states of jobs by id; None where Slurm does not answer."""
    if not ids:
        return {}
    arrays = sorted({i.split("_")[0] for i in ids})
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r"]
    try:
        answer = subprocess.run(
            [*command, f"--jobs={','.join(arrays)}"],
            capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode and "Invalid job id" not in answer.stderr:
        return None
    told: dict[str, JobState] = {}
    for line in answer.stdout.splitlines():
        job, state, reason = (*line.strip().split("|", 2), "", "")[:3]
        told[job] = JobState(state, "" if reason == "None" else reason)
    return {i: told.get(i, JobState(ENDED)) for i in ids}


def cancel(ids: Sequence[str]) -> None:
    """Cancel jobs; those that have ended are left alone."""
    for i in range(0, len(ids), 500):  # the length of a command line
        with contextlib.suppress(
            OSError, subprocess.TimeoutExpired
        ):  # their seats end by themselves
            subprocess.run(
                ["scancel", "--quiet", *ids[i : i + 500]],
                capture_output=True, timeout=COMMAND_SECONDS, check=False,
            )  # fmt: skip
