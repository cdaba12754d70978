"""Says where results lie, for the command line and for Python alike."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "RNNBENCH_RESULTS"
DEFAULT = Path("rnnbench-results")


def results_place(out: Path | str | None = None) -> Path | str:
    """Return the folder or the address of results: the one given, the variable's, or the usual.

    Args:
        out: a folder, or an address such as s3://bucket/results.
    """
    place = out if out is not None else os.environ.get(VARIABLE) or DEFAULT
    return place if "://" in str(place) else Path(place)
