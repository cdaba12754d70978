"""Refuse a task of whose data a split gives nothing to train or to measure on.

All sizes are known before anything is computed. Each split is read up to its first batch with a
target, as training and evaluation will read it; whatever is wrong there lies in the task or its
data, and no architecture is blamed for it.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Task
from rnnbench.errors import EmptySplitError, SeriesError, ShortTextError, SplitRefusal, UserError
from rnnbench.spec.instantiate import Plugins
from rnnbench.spec.run_spec import RunSpec
from rnnbench.training.checks.plugin_faults import find_own_frame
from rnnbench.training.checks.undeclared_files import noting
from rnnbench.training.loader import keyed_generator, split_of

SPLITS = ("train", "valid", "test")


def refuse_short_splits(spec: RunSpec, plugins: Plugins, *, test: bool | None = None) -> None:
    """Refuse a run of which a split cannot be read, or has nothing to train or to measure on.

    Args:
        test: whether the test split is met, sooner or later; by default as the spec says.

    Raises:
        SplitRefusal: the split, why, and what to set.
    """
    splits = SPLITS if (spec.test if test is None else test) else SPLITS[:2]
    for split in splits:
        seed = spec.seed if split == "train" else 0
        rows = spec.optimizer.batch if split == "train" else plugins.task.eval_batch
        _read_once(plugins.task, spec.data, split, seed, rows)


@functools.lru_cache(maxsize=64)
def _read_once(task: Task, version: str, split: str, seed: int, rows: int) -> None:
    """Read the beginning of a split; a sweep asks for the same ones with each of its trials."""
    try:
        data = split_of(task, split, seed)
        with noting(task):
            keys = data.order(rows, keyed_generator(seed, 0) if split == "train" else None)
            has_target = len(data) and any(_has_target(data, k, split, seed) for k in keys)
        if not len(keys) or not len(data):
            raise EmptySplitError(_say_no_batch(data, task, split, rows))
        if not has_target:
            raise EmptySplitError(
                f"{split} has no target to measure: all of its {len(data):,} items lack one"
            )
    except (EmptySplitError, SeriesError, ShortTextError) as error:
        named = str(error).startswith(task.name)
        raise SplitRefusal(str(error) if named else f"{task.name}: {error}") from error
    except UserError:
        raise
    except Exception as error:  # whatever a plugin's code raises is said to be its fault
        raise SplitRefusal(_say_fault(task, split, error)) from error


def _has_target(data: Data, key: Any, split: str, seed: int) -> bool:
    """Tell whether a batch has a row, a step and a target that counts."""
    batch = data.batch(key, keyed_generator(seed, 0, 0, 1) if split == "train" else None)
    if not len(batch.x) or not batch.x.numel():
        return False
    return bool(_counted(batch).any())


def _counted(batch: Batch) -> Tensor:
    """Return which targets of a batch are counted, as far as its y and lengths tell."""
    y = batch.y
    if y.is_floating_point():
        return ~y.isnan()
    if batch.y_len is None or y.dim() < 2:
        return torch.ones_like(y, dtype=torch.bool)
    return torch.arange(y.shape[1]) < batch.y_len[:, None]


def _say_no_batch(data: Data, task: Task, split: str, rows: int) -> str:
    """Say that a split gives no batch, and what to set."""
    if not len(data):
        return f"{split} is empty.\n  Give it more of the data, by the settings of the task"
    items = f"{split} has {len(data):,} items, which give no batch of {rows:,} rows"
    if split == "train":
        return f"{items}.\n  Set optimizer.batch={len(data)} or lower"
    return f"{items}, as the task reads it at evaluation.\n  Give it more of the data"


def _say_fault(task: Task, split: str, error: Exception) -> str:
    frame = find_own_frame(error, (task,))
    told = str(error).splitlines()[0][:200] if str(error) else ""
    return (
        f"{task.name} gives no batch of {split}.\n"
        f"  {type(error).__name__}: {told} ({frame.filename}:{frame.lineno})\n"
        "  Look at the settings of the task and the size of its data; where both are right, this "
        "is a fault in the plugin: report it to its author."
    )
