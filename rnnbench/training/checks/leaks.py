"""Finds what a model sees and may not: what comes later, its own target, the rows beside it.

A model of a causal task that sees the next token tops a board and predicts nothing. Whether one
does is tried, on one row of data and copies of it in which something is changed that it may not
see: what it put out before must stay as it was. Both passes have the same shapes, so that sums are
taken in the same order and what differs is no rounding. Building the model on the CPU is the
larger part of the cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rnnbench.contract import Batch, Kind, Port, Task
from rnnbench.nn import Model

STEPS = 66  # beyond the blocks of 16, 32 or 64 steps in which a scan may be cut
LONG = 1_000  # of a longer row, which is tried at fewer places: for blocks of any length
SHORT = 8  # steps that a shorter sequence is repeated to
NARROW = (torch.float32, torch.float16, torch.bfloat16, torch.complex64)
EXACT, ROUGH = 1e-9, 1e-4  # of the largest output: what differs by less is rounding


Places = Callable[[int, int], list[int]]  # of so many steps, none before the second


class Change(NamedTuple):
    """A copy of a row with something changed, and how many first outputs may not tell.

    Attributes:
        what: "inputs" or "targets", from the step `since` on (0 is the first).
        kept: outputs that must stay as they were; None: all.
    """

    row: Batch
    what: str
    since: int
    kept: int | None


@torch.no_grad()
def find_leak(model: Model, task: Task, batch: Batch, least: int = SHORT) -> str | None:
    """Return what a model sees of a batch and may not, or None: "looks ahead: the output of …".

    Args:
        model: in evaluation mode, best in float64.
        batch: a few rows of the task; the longest is tried, cut to `STEPS`, and, where it has more,
            to `LONG`.
        least: steps that a much shorter row is repeated to, where the task allows it.
    """
    row = _longest_row(task, batch, STEPS, SHORT)
    leak = _find_leak_of_row(model, task, row, _places)
    if leak is None:
        longer = _longest_row(task, batch, LONG, least)
        if _steps(task, longer) > _steps(task, row):
            return _find_leak_of_row(model, task, longer, _few_places)
    return leak


def _find_leak_of_row(model: Model, task: Task, row: Batch, places: Places) -> str | None:
    """Return what a model sees of a row and may not, or None."""
    changes = _list_changes(task, row, places)
    stranger = _change(task, row, "inputs", 0)
    same = _stack([row] * (len(changes) + 2))
    changed = _stack([row, *(c.row for c in changes), stranger])
    before, after = _outputs(model, same), _outputs(model, changed)
    limit = _Limit(model, changed, before)
    if limit.differs(before[0], after[0]):
        if limit.differs(before[0], _outputs(model, same)[0]):
            return "remembers what it read before: one input twice gives two results"
        return "lets rows read each other: one's result changes when the others of its batch do"
    for i, change in enumerate(changes, 1):
        apart = limit.differs(before[i][: change.kept], after[i][: change.kept])
        if apart:
            return _say_place(model, task, row, change, apart[0], limit)
    return None


def _outputs(model: Model, batch: Batch) -> Tensor:
    """Return what a model puts out; noise, where there is any, is alike for every batch."""
    torch.default_generator.manual_seed(5)
    return model(batch).out


class _Limit:
    """Tells a difference from rounding.

    What differs by little is rounding only where the model computes in less than double precision.
    """

    def __init__(self, model: Model, batch: Batch, out: Tensor):
        self.model, self.batch = model, batch
        finite = out[out.isfinite()]
        self.scale = float(finite.abs().max()) if len(finite) else 1.0
        self._narrow: bool | None = None

    def differs(self, before: Tensor, after: Tensor) -> list[int]:
        """Return the places along the first axis that differ, [0] for a single one."""
        gap = torch.where((before == after) | (before.isnan() & after.isnan()), 0,
                          (before - after).abs())  # fmt: skip
        gap_N = gap.flatten(1).amax(1) if gap.dim() > 1 else gap.amax()[None]
        apart_N = ~(gap_N <= EXACT * self.scale)
        if apart_N.any() and bool((gap_N <= ROUGH * self.scale).all()) and self.narrow:
            return []
        return apart_N.nonzero().flatten().tolist()

    @property
    def narrow(self) -> bool:
        """Tell whether something within the model is computed in less than double precision."""
        if self._narrow is None:
            with _Watch() as watch:
                self.model(self.batch)
            self._narrow = watch.narrow
        return self._narrow


class _Watch(TorchDispatchMode):
    """Notes whether an operator gave numbers of less than double precision."""

    narrow = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        leaves = (leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor))
        self.narrow = self.narrow or any(leaf.dtype in NARROW for leaf in leaves)
        return out


def _steps(task: Task, row: Batch) -> int:
    """Return the number of steps whose outputs are compared."""
    return 1 if task.kind is Kind.SEQ_TO_VEC else row.y.shape[1]


def _longest_row(task: Task, batch: Batch, steps: int, least: int) -> Batch:
    """Return the row with most steps, without its padding, cut to `steps` where that can be done.

    One of fewer than half of `least` steps is repeated to as many.
    """
    lengths = batch.x_len if task.kind in (Kind.ALIGNED, Kind.SEQ_TO_VEC) else batch.y_len
    at = 0 if lengths is None else int(lengths.argmax())
    row = Batch._make(v[at : at + 1] if isinstance(v, Tensor) else v for v in batch)
    x, y = row.x, row.y
    if row.x_len is not None:
        x = x[:, : int(row.x_len)]
    if row.y_len is not None:
        y = y[:, : int(row.y_len)]
    plain = task.source.layout == "sequence" and task.source.longest is None
    if task.kind is Kind.ALIGNED and plain:
        times = math.ceil(least / x.shape[1]) if x.shape[1] < least / 2 else 1
        x, y = torch.cat([x] * times, 1)[:, :steps], torch.cat([y] * times, 1)[:, :steps]
    elif task.kind is Kind.SEQ_TO_VEC and plain:
        x = x[:, :STEPS]
    elif task.kind is not Kind.SEQ_TO_VEC:
        y = y[:, :steps]
    parent = row.parent_BT
    return row._replace(
        x=x,
        y=y,
        x_len=None if row.x_len is None else row.x_len.new_tensor([x.shape[1]]),
        y_len=None if row.y_len is None else row.y_len.new_tensor([y.shape[1]]),
        parent_BT=None if parent is None else parent[:, : x.shape[1]],
    )


def _list_changes(task: Task, row: Batch, places: Places) -> list[Change]:
    """Return what is changed of a row: for each place what comes later, and the targets."""
    if task.kind is Kind.SEQ_TO_VEC:
        return [Change(_change(task, row, "targets", 0), "targets", 0, None)]
    steps = row.y.shape[1]
    if task.kind is not Kind.ALIGNED:  # y is read one step late, so output t may see y up to t - 1
        return [
            Change(_change(task, row, "targets", t), "targets", t, t + 1) for t in places(steps, 0)
        ]
    changes = [Change(_change(task, row, "targets", 0), "targets", 0, None)]
    if task.causal:
        changes += [
            Change(_change(task, row, "inputs", t), "inputs", t, t) for t in places(steps, 1)
        ]
    return changes


def _places(steps: int, first: int) -> list[int]:
    """Return steps from which on a row is changed: the first, the last, some of either parity."""
    half = steps // 2
    return sorted({t for t in (first, 2, half, half + 1, steps - 1) if first <= t < steps})


def _few_places(steps: int, first: int) -> list[int]:
    """Return steps of a long row from which on it is changed: within blocks of any usual length."""
    return sorted({t for t in (steps // 2 + 5, steps - 1) if first <= t < steps})


def _change(task: Task, row: Batch, what: str, since: int, until: int | None = None) -> Batch:
    """Return the row with other inputs or targets from a step on."""
    old, port = (row.x, task.source) if what == "inputs" else (row.y, task.target)
    new = old.clone()
    if old.dim() < 2 or (old.dim() == 2 and not port.classes):  # a vector, which has no steps
        new = _other(old, port, row)
    else:
        new[:, since:until] = _other(old[:, since:until], port, row)
    return row._replace(x=new) if what == "inputs" else row._replace(y=new)


def _other(values: Tensor, port: Port, row: Batch) -> Tensor:
    """Return other tokens or values than these."""
    if port.classes:
        classes = port.classes
        if port.layout == "positions":  # of the source, and 0
            classes = min(classes, row.x.shape[1] + 1)
        return (values + 1) % classes
    g = torch.Generator().manual_seed(0)
    return values + torch.randn(values.shape, generator=g, dtype=torch.float64).to(values.dtype)


def _stack(rows: list[Batch]) -> Batch:
    """Return rows of equal shapes as one batch."""
    return Batch._make(
        torch.cat(values) if isinstance(values[0], Tensor) else values[0]
        for values in zip(*rows, strict=True)
    )


def _say_place(
    model: Model, task: Task, row: Batch, change: Change, output: int, limit: _Limit
) -> str:
    """Say which output reads which later step, the nearest where one alone moves it."""
    if task.kind is Kind.SEQ_TO_VEC:
        return "sees what it is to predict: the output changes when its target does"
    steps = range(output + (change.what == "inputs"), row.y.shape[1])
    singles = [_change(task, row, change.what, t, t + 1) for t in steps]
    before, after = (_outputs(model, _stack(r)) for r in ([row] * len(singles), singles))
    for i, t in enumerate(steps):
        if limit.differs(before[i][output : output + 1], after[i][output : output + 1]):
            if change.what == "targets" and t == output:
                return (
                    f"sees what it is to predict: the output of step {t + 1} changes when its own "
                    "target does"
                )
            return (
                f"looks ahead: the output of step {output + 1} changes when the "
                f"{change.what[:-1]} of step {t + 1} does"
            )
    return (
        f"looks ahead: the output of step {output + 1} changes when the {change.what} from step "
        f"{change.since + 1} on do"
    )
