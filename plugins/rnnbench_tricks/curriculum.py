"""Training on short rows first, and on longer ones as it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from rnnbench.contract import Batch, Kind, Moment, Refusal, Task, Trick, setting


@dataclass(frozen=True)
class Curriculum(Trick):
    """Training begins with what is short; the greatest length grows until all is learnt from.

    L(p) = ⌈T · min(1, first + (1 - first) p / until)⌉ steps, with p the part of the budget that is
    spent and T the steps of the batch.

    by=rows:  rows that are longer than L are left out of a batch; its shortest ones always stay.
              The length is the source's, or the target's where the source is no sequence.
    by=steps: the first L steps of each row are learnt from, of source and target.

    Null value: first = 1.

    Source: Bengio, Louradour, Collobert & Weston (2009), doi:10.1145/1553374.1553380; on length:
    Zaremba & Sutskever (2014), arXiv:1410.4615, section 4.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"first": 1.0}

    by: Literal["rows", "steps"] = setting("rows", "what is left out of a batch")
    first: float = setting(
        0.1, "greatest length at the start, as a share of the batch's", low=0.0, high=1.0,
        search=(0.05, 0.5),
    )  # fmt: skip
    until: float = setting(
        0.8, "part of the budget after which nothing is left out", low=1e-6, high=1.0
    )

    def sites(self) -> tuple[str, ...]:
        return () if self.first == 1 else super().sites()

    def longest(self, steps: int, progress: float) -> int:
        """Return L, at least 1."""
        share = min(1.0, self.first + (1 - self.first) * progress / self.until)
        return max(1, math.ceil(steps * share - 1e-9))

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        if self.by == "steps" and (task.kind is not Kind.ALIGNED or task.source.layout == "grid"):
            raise Refusal(
                f"{self.name}: by = steps keeps the first steps of source and target, which do not "
                f"belong together in {task.name} ({task.kind.value}).\n"
                f"  Set {self.name}:by=rows, or choose an aligned task over sequences."
            )
        if task.data("train", 0).carried:
            raise Refusal(
                f"{self.name}: in {task.name} each batch continues the one before, so that nothing "
                f"can be left out.\n  Drop {self.name}; random-bptt-length makes pieces shorter."
            )
        return model

    def batch(self, batch: Batch, at: Moment) -> Batch:
        lengths = lengths_of(batch)
        if self.by == "rows" and lengths is None:
            raise Refusal(
                f"{self.name}: by = rows leaves out long rows, and here all are of one length.\n"
                f"  Set {self.name}:by=steps, or drop {self.name}."
            )
        steps = (batch.x if batch.x_len is not None or self.by == "steps" else batch.y).shape[1]
        longest = self.longest(steps, at.progress)
        if longest >= steps or batch.x.is_meta:
            return batch
        if self.by == "steps":
            return cut(batch, longest)
        assert lengths is not None
        kept_B = (lengths <= longest) | (lengths == lengths.min())
        chosen: dict[str, Any] = {
            k: v[kept_B] for k, v in batch._asdict().items() if isinstance(v, Tensor)
        }
        return batch._replace(**chosen)


def lengths_of(batch: Batch) -> Tensor | None:
    """Return the (B,) lengths of the source's rows, or else of the target's."""
    return batch.y_len if batch.x_len is None else batch.x_len


def cut(batch: Batch, steps: int) -> Batch:
    """Return the first steps of every row."""
    parts: dict[str, Any] = {}
    for name in ("x", "y", "parent_BT"):
        value = getattr(batch, name)
        if value is not None:
            parts[name] = value[:, :steps]
    for name in ("x_len", "y_len"):
        value = getattr(batch, name)
        if value is not None:
            parts[name] = value.clamp(max=steps)
    return batch._replace(**parts)
