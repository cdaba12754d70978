"""Ends the jobs of Slurm that a driver left behind when it was killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rnnbench.errors import SweepError
from rnnbench.sweep.engines.slurm_jobs import LIVES, WAITS, cancel, states

LEFT_SECONDS = 60.0  # for them to be gone


def end_leftovers(folders: Path, say: Callable[[str], None]) -> None:
    """Cancel the jobs of drivers that were killed: this one rules the sweep now.

    Raises:
        SweepError: they do not end.
    """
    for folder in sorted(folders.glob("*/")):
        noted = folder / "jobs"
        ids = noted.read_text().split() if noted.exists() else []
        if all_ended(ids) is False:
            say(f"ends {len(ids)} jobs of a driver that was killed")
            cancel(ids)
        if not wait_until_ended(ids, LEFT_SECONDS):
            raise SweepError(
                f"jobs of a driver that was killed do not end, or Slurm does not answer: "
                f"{listed(ids)}\n"
                "  Wait until `squeue --me` shows none of them, then start the sweep again."
            )
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_ended(ids: Sequence[str], seconds: float) -> bool:
    """Wait so long until none of these jobs runs or waits; tell whether that is so."""
    deadline = time.monotonic() + seconds
    while not all_ended(ids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def all_ended(ids: Sequence[str]) -> bool | None:
    """Tell whether none of these jobs runs or waits; None where Slurm does not answer."""
    told = states(ids)
    return None if told is None else not any(s.state in WAITS | LIVES for s in told.values())


def listed(ids: Sequence[str]) -> str:
    """Return the numbers of the jobs in words, an array as one."""
    return ", ".join(sorted({i.split("_")[0] for i in ids}))
