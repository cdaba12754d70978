"""Measure the seconds from a task's prepared data to its batches, with torch imported.

"open" is a fresh task up to its first training batch, with the prepared form on the disk; "epoch"
adds every batch of an epoch. The figures are medians. Data that are not here are fetched and
prepared first, and timed apart.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

from rnnbench.contract import Task
from rnnbench.registry.registry import load
from rnnbench.testing.every_plugin import fresh


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("tasks", nargs="*", default=["ptb"], help="by name; default: ptb")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    print(f"{'task':<18}{'first time':>12}{'open':>10}{'epoch':>10}{'batches':>10}")
    for name in arguments.tasks:
        task = load("tasks", name)()
        first, _ = _timed(partial(task.data, "train", 0))
        opened, epochs, batches = [], [], 0
        for _ in range(arguments.rounds):
            again: Task = fresh(task)
            until_first, _ = _timed(partial(_read, again, arguments.batch, most=1))
            whole, batches = _timed(partial(_read, again, arguments.batch))
            opened.append(until_first)
            epochs.append(until_first + whole)
        medians = [statistics.median(t) for t in (opened, epochs)]
        print(f"{name:<18}{first:>10.3f} s{medians[0]:>8.3f} s{medians[1]:>8.3f} s{batches:>10,}")


def _timed(work: Callable[[], object]) -> tuple[float, int]:
    """Return the seconds that a function takes, and its result where that is a number, or 0."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result if isinstance(result, int) else 0


def _read(task: Task, size: int, most: int | None = None) -> int:
    """Read at most so many batches of an epoch, and return their number."""
    data = task.data("train", 0)
    keys = list(data.order(size, None))[:most]
    for key in keys:
        data.batch(key, None)
    return len(keys)
