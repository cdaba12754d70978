"""How many outputs reached the most tokens that decoding makes, and which targets have more."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from rnnbench.contract import Batch, Port, Task

SETTING = "max_length"  # of tasks that let a user say where decoding ends


class OutputLengths:
    """Counts over a split: outputs that did not end by themselves, and targets longer than any.

    Args:
        target: of the task; only outputs that end with a token are counted.
    """

    def __init__(self, target: Port) -> None:
        self.target = target
        self.outputs = self.reached = self.too_long = 0

    def add(self, batch: Batch, decoded: Tensor) -> None:
        """Count the rows of a batch."""
        reached_B = reached_limit(self.target, decoded)
        if reached_B is None:
            return
        self.outputs += len(reached_B)
        self.reached += int(reached_B.sum())
        if self.target.longest is not None:
            assert self.target.stop is not None
            stop_BS = batch.y.eq(self.target.stop)
            # Of each row the tokens before the first stop: as many as have none up to them.
            length_B = (stop_BS.cumsum(1) == 0).sum(1)
            if batch.y_len is not None:
                length_B = length_B.minimum(batch.y_len)
            self.too_long += int((length_B > self.target.longest).sum())

    def shares(self) -> dict[str, float]:
        """Return the shares of outputs that reached the limit, and of targets that are longer."""
        if not self.outputs:
            return {}
        shares = {"reached": self.reached, "longer_targets": self.too_long}
        return {name: count / self.outputs for name, count in shares.items()}


def reached_limit(target: Port, decoded: Tensor) -> Tensor | None:
    """Return (B,) which outputs have not ended by themselves; None where no token ends one."""
    if target.stop is None or not target.classes or decoded.dim() != 2:
        return None
    return (decoded != target.stop).all(1)


def describe_limit(task: Task) -> dict[str, Any]:
    """Return where decoding ends, and the task's setting that says so.

    Returns:
        {"max_length": in tokens, None where it is the length of the batch's targets;
        "setting": its name, None where the task has none}.
    """
    names = {f.name for f in dataclasses.fields(task)}  # type: ignore[arg-type]
    setting = SETTING if SETTING in names else None
    return {"max_length": task.target.longest, "setting": setting}
