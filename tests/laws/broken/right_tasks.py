"""Tasks that obey every law, from which the broken ones are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Prediction, Task, setting
from rnnbench.data import Items, Stream
from rnnbench.metrics import Accuracy, ForecastErrors, LanguageModelling

PARTS = {"train": slice(0, 300), "valid": slice(300, 390), "test": slice(390, 490)}


@dataclass(frozen=True)
class Majority(Task):
    """Name the commonest token of a sequence of unequal length.

    Source: made up.
    """

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("accuracy", "share", higher_is_better=True),)
    eval_batch: ClassVar[int] = 40

    classes: int = setting(5, "tokens", low=2)

    @property
    def source(self) -> Port:
        return Port(classes=self.classes)

    @property
    def target(self) -> Port:
        return Port(classes=self.classes)

    def items(self) -> Batch:
        """490 of them."""
        rng = torch.Generator().manual_seed(11)
        x = torch.randint(self.classes, (490, 12), generator=rng)
        length = torch.randint(6, 13, (490,), generator=rng)
        seen = (torch.arange(12) < length[:, None])[..., None]
        counts = (torch.nn.functional.one_hot(x, self.classes) * seen).sum(1)
        return Batch(x, counts.argmax(1), x_len=length)

    def part(self, which: slice) -> Batch:
        return Batch._make(None if v is None else v[which] for v in self.items())

    def data(self, split: str, seed: int) -> Data:
        return Items(self.part(PARTS[split]))

    def meter(self, split: str) -> Meter:
        return Accuracy()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        guess = self.part(PARTS["train"]).y.mode().values
        return {
            "majority": {"accuracy": float((self.part(PARTS[split]).y == guess).float().mean())}
        }


@dataclass(frozen=True)
class Walk(Task):
    """Predict the next token of a walk on a ring.

    Source: made up.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("perplexity"),)
    eval_batch: ClassVar[int] = 4

    length: int = setting(10, "steps of a chunk", low=1)

    @property
    def source(self) -> Port:
        return Port(classes=9)

    @property
    def target(self) -> Port:
        return Port(classes=9)

    def tokens(self, split: str) -> np.ndarray:
        seed = {"train": 1, "valid": 2, "test": 3}[split]
        steps = np.random.RandomState(seed).randint(-2, 3, 1001)
        return steps.cumsum() % 9

    def data(self, split: str, seed: int) -> Data:
        return Stream(self.tokens(split), self.length)

    def meter(self, split: str) -> Meter:
        return LanguageModelling(("perplexity",))


@dataclass(frozen=True)
class Echo(Task):
    """Repeat a sequence and stop.

    Source: made up.
    """

    kind: ClassVar[Kind] = Kind.UNALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("perplexity"),)
    eval_batch: ClassVar[int] = 32

    longest: int = setting(9, "tokens", low=7)

    @property
    def source(self) -> Port:
        return Port(classes=8)

    @property
    def target(self) -> Port:
        return Port(classes=8, start=1, stop=2)

    def items(self) -> Batch:
        rng = torch.Generator().manual_seed(5)
        x = torch.randint(3, 8, (490, self.longest), generator=rng)
        length = torch.randint(7, self.longest + 1, (490,), generator=rng)
        y = torch.cat([x, torch.zeros(490, 1, dtype=torch.long)], 1)
        y = y.scatter(1, length[:, None], 2)
        return Batch(x, y, x_len=length, y_len=length + 1)

    def data(self, split: str, seed: int) -> Data:
        return Items(Batch._make(None if v is None else v[PARTS[split]] for v in self.items()))

    def meter(self, split: str) -> Meter:
        return LanguageModelling(("perplexity",))


@dataclass(frozen=True)
class Drift(Task):
    """Forecast a random walk.

    Source: made up.
    """

    kind: ClassVar[Kind] = Kind.UNALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("mse"), Metric("mae"), Metric("mase"))
    eval_batch: ClassVar[int] = 64

    horizon: int = setting(3, "steps", low=1)

    @property
    def source(self) -> Port:
        return Port(width=1)

    @property
    def target(self) -> Port:
        return Port(width=1)

    def series(self) -> torch.Tensor:
        rng = torch.Generator().manual_seed(2)
        return torch.randn(490, 8 + self.horizon, 1, generator=rng).cumsum(1)

    def data(self, split: str, seed: int) -> Data:
        part = self.series()[PARTS[split]]
        y = part[:, 8:].clone()
        y[::7, 0] = torch.nan
        return Items(Batch(part[:, :8].clone(), y))

    def meter(self, split: str) -> Meter:
        return ForecastErrors(1.0)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        batch = self.data(split, 0).items
        error = (batch.x[:, -1:] - batch.y).double()
        mse, mae = float(error.square().nanmean()), float(error.abs().nanmean())
        return {"last value": {"mse": mse, "mae": mae, "mase": mae}}


class RankCorrelation(Meter):
    """Spearman's: it knows the order of the answers, and nothing of their size."""

    def __init__(self):
        self.y, self.out = [], []

    def update(self, batch, prediction):
        self.y.append(batch.y[:, 0])
        self.out.append(prediction.out[:, 0].double())

    def compute(self):
        y, out = torch.cat(self.y), torch.cat(self.out)
        seen = y.isfinite()
        if not seen.any():
            raise ValueError("nothing was seen")
        ranks = torch.stack([v[seen].argsort().argsort().double() for v in (y, out)])
        return {"rank_correlation": float(torch.corrcoef(ranks)[0, 1])}


@dataclass(frozen=True)
class Ranking(Task):
    """Order sequences by the sum of their steps.

    Source: made up.
    """

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("rank_correlation", higher_is_better=True),)
    eval_batch: ClassVar[int] = 40

    length: int = setting(6, "steps", low=2)

    @property
    def source(self) -> Port:
        return Port(width=1)

    @property
    def target(self) -> Port:
        return Port(width=1)

    def data(self, split: str, seed: int) -> Data:
        rng = torch.Generator().manual_seed(7)
        x = torch.randn(490, self.length, 1, generator=rng)
        return Items(Batch(x[PARTS[split]], x.sum(1)[PARTS[split]]))

    def meter(self, split: str) -> Meter:
        return RankCorrelation()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        batch = self.data(split, 0).items
        last = Prediction(torch.zeros(1), torch.ones(1), batch.x[:, -1], batch.x[:, -1])
        meter = self.meter(split)
        meter.update(batch, last)
        return {"last step": meter.compute()}


RIGHT = [Majority(), Walk(), Echo(), Drift(), Ranking()]
