"""Any aligned task as an endless stream, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from rnnbench.contract import (
    Batch,
    Data,
    Kind,
    Meter,
    Metric,
    Port,
    Prediction,
    Refusal,
    Source,
    Task,
    setting,
)
from rnnbench.data.online_stream import Joined, named_task


@dataclass(frozen=True)
class Stream(Task):
    """Learn an aligned task online: its items put end to end, read one step at a time.

    Training reads the items of the task `of` as one stream without gaps or resets: the state is
    carried from step to step and from item to item, and an optimiser step follows every `length`
    steps. This is what RTRL, UORO and their kin are for; plain backpropagation with length 1
    learns nothing over time. An epoch holds the task's own training items, in an order that
    follows the seed, and after it the state begins anew.
    Validation and test are the task's own: whole items, each from the initial state, by its own
    meter. So figures may be compared with those of the task read by items.
    A task that is a stream already, such as char-lm, needs none of this: set its length to 1.

    Source: Williams & Zipser (1989), Neural Computation 1(2), for learning continually running
    recurrent networks.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 8,
        "optimizer.lr": 1e-3,
        "budget.steps": 20000,
        "budget.validate_every": 2000,
    }

    of: str = setting("dyck", "aligned task, with its settings", plugin="tasks")
    length: int = setting(1, "steps read between two optimiser steps", unit="steps", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        named_task(self.of, self.name)

    @property
    def task(self) -> Task:
        """Return the task that is read."""
        return named_task(self.of, self.name)

    @property
    def metrics(self) -> tuple[Metric, ...]:  # type: ignore[override]
        return self.task.metrics

    @property
    def selection(self) -> str:  # type: ignore[override]
        return self.task.selection

    @property
    def eval_batch(self) -> int:  # type: ignore[override]
        return self.task.eval_batch

    @property
    def continues(self) -> bool:  # type: ignore[override]
        return self.task.continues

    @property
    def memorised(self) -> bool:  # type: ignore[override]
        return self.task.memorised

    @property
    def source(self) -> Port:
        return self.task.source

    @property
    def target(self) -> Port:
        return self.task.target

    @property
    def past(self) -> tuple[int, ...]:
        return self.task.past

    def words(self, side: Literal["source", "target"]) -> Sequence[str] | None:
        return self.task.words(side)

    def sources(self) -> tuple[Source, ...]:
        return self.task.sources()

    def data(self, split: str, seed: int) -> Data:
        data = self.task.data(split, seed)
        if data.carried:
            raise Refusal(
                f"stream: {self.of} is a stream already, whose state is carried.\n"
                "  Choose it itself, and set its length to 1 (task.length=1)."
            )
        return Joined(data, self.length) if split == "train" else data

    def meter(self, split: str) -> Meter:
        return self.task.meter(split)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        return self.task.baselines(split)

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        return self.task.ask(text)

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        return self.task.show(batch, prediction)
