"""Pointer tasks: elements drawn at random, and an answer that names them by their positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from rnnbench.contract import Batch, Kind, Meter, Port, Prediction, setting
from rnnbench.data.tasks.synthetic import Synthetic

__all__ = ["Outputs", "Pointers", "named_positions"]

Elements = np.ndarray  # (N, W) in double precision
Positions = list[int]  # counted from 0


@dataclass(frozen=True)
class Pointers(Synthetic):
    """Base of tasks whose answer is a list of positions of the source: UNALIGNED.

    Elements are uniform in [0, 1)^W, as many as are drawn from `points_min` … `points_max`. The
    target is positions counted from 1, then 0 for the end. Subclasses write `width`, `answers` and
    a meter that is one of `Outputs`.
    """

    kind: ClassVar[Kind] = Kind.UNALIGNED
    selection: ClassVar[str] = "loss"
    eval_batch: ClassVar[int] = 256
    held_out_seeds: ClassVar[dict[str, int]] = {"valid": 2015_01, "test": 2015_02}
    tiny: ClassVar[dict[str, Any]] = {
        "points_min": 4, "train_items": 64, "valid_items": 40, "test_items": 40,
    }  # fmt: skip
    width: ClassVar[int]
    distinct: ClassVar[bool] = False  # each element is named once

    points_min: int = setting(5, "fewest points of an item", unit="points", low=3)
    points_max: int = setting(5, "most points of an item", unit="points", low=3)
    train_items: int = setting(100000, "items that count as an epoch", unit="items", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.points_min <= self.points_max,
            f"points_min = {self.points_min} is above points_max = {self.points_max}",
        )

    def answers(self, elements: list[Elements]) -> list[Positions]:
        """Return the right answer of each item."""
        raise NotImplementedError

    @property
    def source(self) -> Port:
        return Port(width=self.width)

    @property
    def target(self) -> Port:
        classes = self.points_max + 1
        return Port(
            classes=classes, layout="positions", start=0, stop=0, longest=classes,
            distinct=self.distinct,
        )  # fmt: skip

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x (rows, T, W), y (rows, S) with x_len and y_len."""
        x_BTW = torch.rand(rows, self.points_max, self.width, generator=rng)
        x_len = torch.randint(self.points_min, self.points_max + 1, (rows,), generator=rng)
        elements = [x[:n] for x, n in zip(x_BTW.double().numpy(), x_len.tolist(), strict=True)]
        y_BS = torch.zeros(rows, self.points_max + 1, dtype=torch.long)
        y_len = torch.empty(rows, dtype=torch.long)
        for row, answer in enumerate(self.answers(elements)):
            y_BS[row, : len(answer)] = torch.tensor(answer) + 1
            y_len[row] = len(answer) + 1
        there_BT = torch.arange(self.points_max) < x_len[:, None]
        return Batch(x_BTW * there_BT[..., None], y_BS, x_len, y_len)

    def compare(
        self, split: str, rules: dict[str, Callable[[Elements], Sequence[int]]]
    ) -> dict[str, dict[str, float]]:
        """Measure rules (elements -> positions from 0) on a split, by the task's own meter."""
        data, meters = self.data(split, 0), {name: self.meter(split) for name in rules}
        for key in data.order(1024, None):
            batch = data.batch(key, None)
            for elements, answer in named_positions(batch, batch.y.tolist()):
                for name, rule in rules.items():
                    meter = meters[name]
                    assert isinstance(meter, Outputs)
                    meter.add(elements, answer, list(rule(elements)))
        return {name: meter.compute() for name, meter in meters.items()}

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight items with the positions, from 1, that were put out."""
        if prediction.decoded is None:
            return []
        first = Batch._make(v[:8] if isinstance(v, torch.Tensor) else v for v in batch)
        rows = zip(
            named_positions(first, first.y.tolist()),
            named_positions(first, prediction.decoded[:8].tolist()),
            strict=True,
        )
        return [
            {
                "points": " ".join(f"({', '.join(f'{v:.2f}' for v in e)})" for e in elements),
                "target": " ".join(str(position + 1) for position in answer),
                "prediction": " ".join(str(position + 1) for position in guess),
            }
            for (elements, answer), (_, guess) in rows
        ]


class Outputs(Meter):
    """Base of meters that judge one decoded list of positions after the other."""

    decodes = True

    def add(self, elements: Elements, answer: Positions, guess: Positions) -> None:
        """Count one output."""
        raise NotImplementedError

    def update(self, batch: Batch, prediction: Prediction) -> None:
        if prediction.decoded is None:
            raise ValueError(
                f"{type(self).__name__} judges positions as decoded, and got no decoded output"
            )
        pairs = zip(
            named_positions(batch, batch.y.tolist()),
            named_positions(batch, prediction.decoded.tolist()),
            strict=True,
        )
        for (elements, answer), (_, guess) in pairs:
            self.add(elements, answer, guess)


def named_positions(
    batch: Batch, tokens: Sequence[Sequence[int]]
) -> list[tuple[Elements, Positions]]:
    """Return each row's elements, and the positions from 0 that its tokens name up to the end."""
    lengths = [batch.x.shape[1]] * len(batch.x) if batch.x_len is None else batch.x_len.tolist()
    positions = []
    for x, n, row in zip(batch.x.double().cpu().numpy(), lengths, tokens, strict=True):
        named = row[: row.index(0)] if 0 in row else row
        positions.append((x[:n], [t - 1 for t in named]))
    return positions
