"""Tiny tasks of every kind, made in memory: what laws and tests run on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Prediction, Task


class Rows(Data):
    """Given batches, in order; `carried` says that each continues the one before."""

    def __init__(self, batches: list[Batch], carried: bool = False):
        self.batches, self.carried = batches, carried

    def __len__(self) -> int:
        return sum(len(b.x) for b in self.batches)

    def order(self, size: int, rng: torch.Generator | None) -> list[int]:
        return list(range(len(self.batches)))

    def batch(self, key: int, rng: torch.Generator | None) -> Batch:
        return self.batches[key]


class MeanLoss(Meter):
    """The mean over counted elements, as the loss is."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        self.total += float(prediction.nll.sum())
        self.count += int(prediction.mask.sum())

    def compute(self) -> dict[str, float]:
        return {"figure": self.total / self.count}


@dataclass(frozen=True)
class Toy(Task):
    """A task of any kind, whose data are random."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("figure"),)
    eval_batch: ClassVar[int] = 4

    kind_name: str = "ALIGNED"
    ports: tuple[Port, Port] = (Port(classes=7), Port(classes=7))
    carried: bool = False
    ragged: bool = False
    grid: tuple[int, ...] = (2, 3)
    column: int | None = None  # of x, which holds the target's past

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return Kind[self.kind_name]

    @property
    def source(self) -> Port:
        return self.ports[0]

    @property
    def target(self) -> Port:
        return self.ports[1]

    @property
    def past(self) -> tuple[int, ...]:
        return () if self.column is None else (self.column,)

    @property
    def season(self) -> int:
        return 0 if self.column is None else 2

    def example(self, seed: int = 0) -> Batch:
        """Four rows of five steps (or a grid of them), three of the target where not aligned."""
        g = torch.Generator().manual_seed(seed)

        def draw(port: Port, *shape: int) -> torch.Tensor:
            if port.classes:
                reserved = 0 if port.start is None else 3  # start, stop and one before them
                return torch.randint(reserved, port.classes, shape, generator=g)
            return torch.randn(*shape, port.width, generator=g)

        vector_in = self.kind is Kind.VEC_TO_SEQ
        grid = self.grid if self.source.layout == "grid" else None
        steps = math.prod(grid) if grid else 5
        tree = [[2, 2, 4, 4, -1], [4, 4, 4, 4, -1], [1, 2, 3, 4, -1], [3, 3, 3, 4, -1]]
        if self.ragged:
            tree[1:] = [[3, 2, 3, -1, -1], [1, -1, -1, -1, -1], [-1, -1, -1, -1, -1]]
        x = draw(self.source, 4) if vector_in else draw(self.source, 4, steps)
        y = {
            Kind.SEQ_TO_VEC: lambda: draw(self.target, 4),
            Kind.ALIGNED: lambda: draw(self.target, 4, steps),
        }.get(self.kind, lambda: draw(self.target, 4, 3))()
        lengths = torch.tensor([5, 4, 2, 1]) if self.ragged else None
        y_len = None
        if lengths is not None and self.kind is not Kind.SEQ_TO_VEC:
            y_len = lengths.clamp(max=y.shape[1])
        parent_BT = torch.tensor(tree) if self.source.layout == "tree" else None
        return Batch(x, y, None if vector_in else lengths, y_len, grid, parent_BT)

    def data(self, split: str, seed: int) -> Data:
        offset = {"train": 0, "valid": 100, "test": 200}[split]
        return Rows([self.example(offset + i) for i in range(3)], self.carried)

    def meter(self, split: str) -> Meter:
        return MeanLoss()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        return {"nothing": {"figure": 9.0}}


@dataclass(frozen=True)
class Bigrams(Toy):
    """A batch that two tokens of memory fit and none does not: each pair of tokens occurs once."""

    ports: tuple[Port, Port] = (Port(classes=5), Port(classes=4))

    def example(self, seed: int = 0) -> Batch:
        x = torch.arange(4)[:, None] + torch.tensor([0, 1, 3, 6, 10])
        return super().example(seed)._replace(x=x % 5)


TOYS = {
    "lm": Toy(
        carried=True, ports=(Port(classes=7, vocabulary="w"), Port(classes=7, vocabulary="w"))
    ),
    "tagging": Toy(ports=(Port(classes=7), Port(classes=5)), ragged=True),
    "classify": Toy("SEQ_TO_VEC", (Port(width=2), Port(classes=4)), ragged=True),
    "regress": Toy("SEQ_TO_VEC", (Port(classes=7), Port(width=2))),
    "caption": Toy("VEC_TO_SEQ", (Port(width=3), Port(classes=6, start=1, stop=2, longest=4))),
    "translate": Toy(
        "UNALIGNED",
        (Port(classes=7), Port(classes=6, start=1, stop=2, longest=4)),
        ragged=True,
    ),
    "overfit": Bigrams(),
    "forecast": Toy("UNALIGNED", (Port(width=3, longest=5), Port(width=1, longest=3)), column=1),
}


@dataclass(frozen=True)
class LookAhead(Toy):
    """Tagging that allows to look ahead."""

    causal: ClassVar[bool] = False

    ports: tuple[Port, Port] = (Port(classes=7), Port(classes=5))
    ragged: bool = True


@dataclass(frozen=True)
class Pointing(Toy):
    """Positions of the source, counted from 1, then 0."""

    kind_name: str = "UNALIGNED"
    ports: tuple[Port, Port] = (
        Port(width=2),
        Port(classes=6, layout="positions", start=0, stop=0, longest=4),
    )
    ragged: bool = True

    def example(self, seed: int = 0) -> Batch:
        batch = super().example(seed)
        y = torch.tensor([[5, 2, 0], [4, 1, 0], [2, 0, 0], [1, 0, 0]])
        return batch._replace(y=y, y_len=torch.tensor([3, 3, 2, 2]))


# For architectures alone: a layout is read flat by one that has no use for it.
MORE_TOYS = {
    "look-ahead": LookAhead(),
    "grid": Toy("SEQ_TO_VEC", (Port(width=2, layout="grid"), Port(classes=4))),
    "line": Toy("SEQ_TO_VEC", (Port(width=2, layout="grid"), Port(classes=4)), grid=(5,)),
    "cube": LookAhead(
        ports=(Port(width=2, layout="grid"), Port(width=1)), ragged=False, grid=(2, 3, 2)
    ),
    "copying": Toy(
        "UNALIGNED",
        (
            Port(classes=7, vocabulary="w"),
            Port(classes=7, start=1, stop=2, longest=4, vocabulary="w"),
        ),
        ragged=True,
    ),
    "pointing": Pointing(),
    "tree": Toy("SEQ_TO_VEC", (Port(classes=7, layout="tree"), Port(classes=4))),
    "tagged-tree": LookAhead(ports=(Port(classes=7, layout="tree"), Port(classes=5))),
}
