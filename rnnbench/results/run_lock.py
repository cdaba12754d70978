"""Sees to it that one `rnnbench run` at a time trains in a run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rnnbench.errors import UserError

LOCK = ".lock"


class RunInUseError(UserError, RuntimeError):
    """Another process trains this run."""

    exit_code = 1


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of a run within `with`; a process that dies lets go of it.

    Raises:
        RunInUseError: another process holds it.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        tasks = os.environ.get("SLURM_NTASKS", "1")
        hint = (
            f"srun starts {tasks} processes of the same run, and one is enough: srun --ntasks=1 "
            "rnnbench run ... (a process a GPU is started by itself: trainer.devices=2)"
            if tasks != "1"
            else "Wait for it or stop it; the same command shows the run when it is finished, and "
            "goes on with it when it was stopped."
        )
        raise RunInUseError(
            f"the run in {folder} is being trained by another process.\n  {hint}"
        ) from error
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()
