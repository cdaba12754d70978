"""Measure the share of a training epoch's positions that are padding, task by task.

Both sides are counted, at the batch size that the task recommends or at --batch; beside it stands
the share that batches of shuffled rows would have. Tasks whose rows are all full are left out.
Without --task those are read that need no setting and whose data are here
(`rnnbench data fetch TASK` brings them).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from rnnbench.contract import Data, Task
from rnnbench.data import status
from rnnbench.registry.registry import discover, load


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--task", nargs="*", default=[], help="default: all whose data are here")
    parser.add_argument("--batch", type=int, default=0, help="rows of a batch")
    parser.add_argument("--most", type=int, default=2000, help="batches that are read of a task")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    print(f"{'task':<20}{'batch':>7}{'rows':>9}{'padding':>10}{'shuffled':>10}")
    for name in arguments.task or sorted(discover()[0]["tasks"]):
        cls = load("tasks", name)
        if not arguments.task and _needs_settings(cls):
            continue
        task = cls()
        if not arguments.task and not is_here(task):
            continue
        size = arguments.batch or task.recommended.get("optimizer.batch", 32)
        data = task.data("train", 0)
        sizes = row_lengths(data, size, arguments.most)
        if sizes is None:
            continue
        share, shuffled = waste(sizes), waste(_shuffled(sizes, size))
        print(f"{name:<20}{size:>7}{sum(map(len, sizes)):>9}{share:>10.1%}{shuffled:>10.1%}")


def _needs_settings(cls: type[Task]) -> bool:
    """Tell whether a task has a setting without a default."""
    return any(
        f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
    )


def is_here(task: Task) -> bool:
    """Tell whether a task has sources and all of them are here."""
    return bool(task.sources()) and all(status(s).state == "present" for s in task.sources())


def row_lengths(data: Data, size: int, most: int = 2000) -> list[np.ndarray] | None:
    """Return the true lengths of each batch, shaped (rows, sides); None: no row is padded."""
    rng = torch.Generator().manual_seed(0)
    lengths, padded = [], False
    for key in data.order(size, rng)[:most]:
        batch = data.batch(key, rng)
        sides = [
            torch.full((len(batch.x),), values.shape[1]) if length is None else length
            for values, length in ((batch.x, batch.x_len), (batch.y, batch.y_len))
            if values.dim() > 1
        ]
        padded = padded or any(bool((side < side.max()).any()) for side in sides)
        lengths.append(torch.stack(sides, 1).numpy())
    return lengths if padded else None


def waste(batches: Iterable[np.ndarray]) -> float:
    """Return the share of padding in batches of rows with these lengths.

    Args:
        batches: the lengths of each batch, shaped (rows, sides); a side is padded to its longest
            row.
    """
    real = positions = 0
    for lengths_BS in batches:
        real += int(lengths_BS.sum())
        positions += len(lengths_BS) * int(lengths_BS.max(0).sum())
    return 1 - real / positions


def _shuffled(batches: Sequence[np.ndarray], size: int) -> list[np.ndarray]:
    """Return batches of the same rows in a random order."""
    rows_NS = np.concatenate(batches)
    order_N = np.random.RandomState(0).permutation(len(rows_NS))
    return [rows_NS[order_N[i : i + size]] for i in range(0, len(rows_NS), size)]
