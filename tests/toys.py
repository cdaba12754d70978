"""Tiny tasks of every kind, made in memory: what tests of the core run on."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Task
from rnnbench_architectures.lstm import LSTM


def TinyLSTM(**settings: Any) -> LSTM:
    return LSTM(**{"hidden": 6, **settings})


class Rows(Data):
    """A fixed batch cut into rows, in order; `stream` carries state from one to the next."""

    def __init__(self, batches: list[Batch], carried: bool = False):
        self.batches, self.carried = batches, carried

    def __len__(self) -> int:
        return len(self.batches)

    def order(self, size, rng):
        return list(range(len(self.batches)))

    def batch(self, key, rng):
        return self.batches[key]


class LossOnly(Meter):
    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, batch, prediction):
        self.total += float(prediction.nll.sum())
        self.count += int(prediction.mask.sum())

    def compute(self):
        return {"figure": self.total / self.count}


@dataclass(frozen=True)
class Toy(Task):
    """A task of any kind, whose data are random."""

    metrics = (Metric("figure"),)
    eval_batch = 4
    kind_name: str = "ALIGNED"
    ports: tuple = (Port(classes=7), Port(classes=7))
    carried: bool = False
    ragged: bool = False

    @property
    def kind(self):
        return Kind[self.kind_name]

    @property
    def source(self):
        return self.ports[0]

    @property
    def target(self):
        return self.ports[1]

    def example(self, seed: int = 0) -> Batch:
        g = torch.Generator().manual_seed(seed)

        def draw(port: Port, *shape: int) -> torch.Tensor:
            if port.classes:
                return torch.randint(3, port.classes, shape, generator=g)
            return torch.randn(*shape, port.width, generator=g)

        vector_in = self.kind is Kind.VEC_TO_SEQ
        x = draw(self.source, 4) if vector_in else draw(self.source, 4, 5)
        y = {
            Kind.SEQ_TO_VEC: lambda: draw(self.target, 4),
            Kind.ALIGNED: lambda: draw(self.target, 4, 5),
        }.get(self.kind, lambda: draw(self.target, 4, 3))()
        lengths = torch.tensor([5, 4, 2, 1]) if self.ragged else None
        y_len = None
        if self.ragged and self.kind is not Kind.SEQ_TO_VEC:
            y_len = lengths.clamp(max=y.shape[1])
        return Batch(x, y, None if vector_in else lengths, y_len)

    def data(self, split, seed):
        offset = {"train": 0, "valid": 100, "test": 200}[split]
        return Rows([self.example(offset + i) for i in range(3)], self.carried)

    def meter(self, split):
        return LossOnly()

    def baselines(self, split):
        return {"nothing": {"figure": 9.0}}


TOYS = {
    "lm": Toy(carried=True),
    "tagging": Toy(ports=(Port(classes=7), Port(classes=5)), ragged=True),
    "classify": Toy("SEQ_TO_VEC", (Port(width=2), Port(classes=4)), ragged=True),
    "regress": Toy("SEQ_TO_VEC", (Port(classes=7), Port(width=2))),
    "caption": Toy("VEC_TO_SEQ", (Port(width=3), Port(classes=6, start=1, stop=2, longest=4))),
    "translate": Toy(
        "UNALIGNED",
        (Port(classes=7), Port(classes=6, start=1, stop=2, longest=4)),
        ragged=True,
    ),
    "forecast": Toy("UNALIGNED", (Port(width=2), Port(width=1))),
}

__all__ = ["TOYS", "LossOnly", "Rows", "TinyLSTM", "Toy", "replace"]
