"""Compare a batch with what its task's ports say."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnbench.contract import Batch, Kind, Port, Task

DECODED = (Kind.VEC_TO_SEQ, Kind.UNALIGNED)


def fault(task: Task, batch: Batch, size: int) -> str | None:
    """Return what is wrong with a batch of up to `size` rows, or None."""
    if not 1 <= len(batch.x) <= size:
        return f"{len(batch.x)} rows in a batch of up to {size}"
    if len(batch.y) != len(batch.x):
        return f"{len(batch.x)} rows of x and {len(batch.y)} of y"
    x_steps, y_steps = task.kind is not Kind.VEC_TO_SEQ, task.kind is not Kind.SEQ_TO_VEC
    return (
        _values("x", batch.x, task.source, x_steps)
        or _values("y", batch.y, task.target, y_steps)
        or _lengths("x", batch.x_len, batch.x, x_steps)
        or _lengths("y", batch.y_len, batch.y, y_steps)
        or (_aligned(batch) if task.kind is Kind.ALIGNED else None)
        or _layout(task.source, batch)
        or (_stop(task.target, batch) if task.kind in DECODED else None)
    )


def _values(which: str, values: Tensor, port: Port, steps: bool) -> str | None:
    wanted = torch.int64 if port.classes else torch.float32
    if values.dtype != wanted:
        return f"{which} is {values.dtype}, expected {wanted}"
    dims = 1 + steps + (not port.classes)
    if values.dim() != dims:
        return f"{which} has shape {tuple(values.shape)}, expected {dims} dimensions"
    if 0 in values.shape:
        return f"{which} is empty: {tuple(values.shape)}"
    if port.classes:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= port.classes:
            return (
                f"{which} has token {low if low < 0 else high}; classes are 0..{port.classes - 1}"
            )
        return None
    if values.shape[-1] != port.width:
        return f"{which} has width {values.shape[-1]}, the port says {port.width}"
    if which == "x" and not values.isfinite().all():
        return "x has a value that is not finite"
    return "y has an infinite value" if values.isinf().any() else None


def _lengths(which: str, len_B: Tensor | None, values: Tensor, steps: bool) -> str | None:
    name = f"{which}_len"
    if len_B is None:
        return None
    if not steps:
        return f"{name} is given, and {which} has no steps"
    if len_B.dtype != torch.int64 or tuple(len_B.shape) != (len(values),):
        return f"{name} is {len_B.dtype} of shape {tuple(len_B.shape)}, expected int64 of (B,)"
    low, high = int(len_B.min()), int(len_B.max())
    if low < 1 or high > values.shape[1]:
        return f"{name} has {low if low < 1 else high}, outside 1..{values.shape[1]}"
    return None


def _aligned(batch: Batch) -> str | None:
    if batch.x.shape[:2] != batch.y.shape[:2]:
        return f"x {tuple(batch.x.shape)} and y {tuple(batch.y.shape)} are not aligned"
    full = torch.full((len(batch.x),), batch.x.shape[1])
    x_len = full if batch.x_len is None else batch.x_len
    y_len = full if batch.y_len is None else batch.y_len
    return None if torch.equal(x_len, y_len) else "x_len and y_len of an aligned task differ"


def _layout(port: Port, batch: Batch) -> str | None:
    if (port.layout == "grid") != (batch.grid is not None):
        return f"the source's layout is {port.layout!r} and batch.grid is {batch.grid}"
    if (port.layout == "tree") != (batch.parent_BT is not None):
        given = "no" if batch.parent_BT is None else "a"
        return f"the source's layout is {port.layout!r} and there is {given} parent_BT"
    if batch.grid is not None and math.prod(batch.grid) != batch.x.shape[1]:
        return f"a grid of {batch.grid} is not {batch.x.shape[1]} steps"
    if batch.parent_BT is not None:
        if batch.parent_BT.shape != batch.x.shape[:2]:
            return f"parent_BT is {tuple(batch.parent_BT.shape)}, x {tuple(batch.x.shape)}"
        if int(batch.parent_BT.min()) < -1 or int(batch.parent_BT.max()) >= batch.x.shape[1]:
            return "parent_BT points outside its row"
    return None


def _stop(port: Port, batch: Batch) -> str | None:
    for what in ("start", "stop"):
        token = getattr(port, what)
        if token is not None and not 0 <= token < port.classes:
            return f"the {what} token {token} is outside 0..{port.classes - 1}"
    if port.stop is None:
        return None
    steps = batch.y.shape[1]
    last_B = torch.full((len(batch.y),), steps) if batch.y_len is None else batch.y_len
    ends = batch.y.gather(1, last_B[:, None] - 1)[:, 0]
    row = int((ends != port.stop).int().argmax())
    if bool((ends != port.stop).any()):
        return f"y of row {row} ends with {int(ends[row])}, not with the stop token {port.stop}"
    return None
