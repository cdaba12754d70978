"""Tasks with one fault each in how they are measured or described."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from laws.broken.right_tasks import PARTS, Drift, Echo, Majority, Walk
from rnnbench.contract import Meter, Metric, setting
from rnnbench.metrics import Accuracy, LanguageModelling, MeanSquaredError

# ------------------------------------------------------------------------------- how it is measured


@dataclass(frozen=True)
class ShowsNumbers(Majority):
    """Examples that no page can print. Source: made up."""

    def show(self, batch, prediction):
        return [{"source": row} for row in batch.x[:2].tolist()]


@dataclass(frozen=True)
class SelectsByNothing(Majority):
    """Chooses by a metric that it does not have. Source: made up."""

    selection: ClassVar[str] = "f1"


@dataclass(frozen=True)
class RecommendsTypos(Majority):
    """Recommends what there is not. Source: made up."""

    recommended: ClassVar[Mapping[str, Any]] = {"optimizer.batch_size": 16}


@dataclass(frozen=True)
class RecommendsTwoBudgets(Majority):
    """Recommends steps and epochs. Source: made up."""

    recommended: ClassVar[Mapping[str, Any]] = {"budget.steps": 16, "budget.epochs": 2.0}


class CountsPadding(Meter):
    """Perplexity over all positions."""

    def __init__(self):
        self.nats, self.count = 0.0, 0

    def update(self, batch, prediction):
        logp = prediction.out.log_softmax(-1).gather(-1, batch.y[..., None])
        self.nats -= float(logp.sum())
        self.count += batch.y.numel()

    def compute(self):
        return {"perplexity": float(np.exp(self.nats / self.count))}


class Averaging(Meter):
    """The average of the batches' figures."""

    def __init__(self):
        self.figures = []

    def update(self, batch, prediction):
        inner = LanguageModelling(("perplexity",))
        inner.update(batch, prediction)
        self.figures.append(inner.compute()["perplexity"])

    def compute(self):
        return {"perplexity": sum(self.figures) / len(self.figures)}


class LastBatch(LanguageModelling):
    def update(self, batch, prediction):
        self.nats, self.count = 0.0, 0
        super().update(batch, prediction)


class ZeroWhenEmpty(Accuracy):
    def compute(self):
        return super().compute() if self.count else {"accuracy": 0.0}


class Misnamed(Accuracy):
    def compute(self):
        return {"precision": super().compute()["accuracy"]}


class Backwards(Accuracy):
    def compute(self):
        return {"accuracy": 1 - super().compute()["accuracy"]}


@dataclass(frozen=True)
class PaddingCounts(Echo):
    """Its meter counts padding. Source: made up."""

    def meter(self, split):
        return CountsPadding()


@dataclass(frozen=True)
class AveragesAverages(Echo):
    """Its meter averages batches. Source: made up."""

    def meter(self, split):
        return Averaging()


@dataclass(frozen=True)
class LastBatchOnly(Walk):
    """Its meter forgets. Source: made up."""

    def meter(self, split):
        return LastBatch(("perplexity",))


@dataclass(frozen=True)
class Undeclared(Majority):
    """Its meter has another name for it. Source: made up."""

    def meter(self, split):
        return Misnamed()


@dataclass(frozen=True)
class WrongDirection(Majority):
    """Lower is declared better. Source: made up."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("accuracy", "share"),)


@dataclass(frozen=True)
class NothingIsZero(Majority):
    """Its meter has a figure for nothing. Source: made up."""

    def meter(self, split):
        return ZeroWhenEmpty()


SHARED = MeanSquaredError()


@dataclass(frozen=True)
class OneMeterForAll(Drift):
    """Gives one meter to all who ask. Source: made up."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("mse"),)

    def meter(self, split):
        return SHARED


@dataclass(frozen=True)
class RandomBaseline(Majority):
    """A baseline that guesses. Source: made up."""

    def baselines(self, split):
        return {"guess": {"accuracy": random.random()}}


@dataclass(frozen=True)
class ForeignBaseline(Majority):
    """A baseline for another metric. Source: made up."""

    def baselines(self, split):
        return {"majority": {"error": 0.8}}


@dataclass(frozen=True)
class WeakBaseline(Majority):
    """Its baseline always names the rarest class. Source: made up."""

    def baselines(self, split):
        y = self.part(PARTS["train"]).y
        rarest = torch.bincount(y, minlength=self.classes).argmin()
        share = float((self.part(PARTS[split]).y == rarest).float().mean())
        return {"majority": {"accuracy": share}}


@dataclass(frozen=True)
class WeakForecast(Drift):
    """Its baseline says the opposite of the last value. Source: made up."""

    def baselines(self, split):
        batch = self.data(split, 0).items
        error = (-batch.x[:, -1:] - batch.y).double()
        mse, mae = float(error.square().nanmean()), float(error.abs().nanmean())
        return {"naive": {"mse": mse, "mae": mae, "mase": mae}}


# ---------------------------------------------------------------------- what every plugin may lack


@dataclass(frozen=True)
class NotASentence(Majority):
    """a task

    Source: made up.
    """


@dataclass(frozen=True)
class Misread(Majority):
    """Its recommendations are made when it is imported. Source: made up."""

    recommended: ClassVar[Mapping[str, Any]] = {"optimizer.batch": 32}


Misread.recommended = {"optimizer.batch": 64}


@dataclass(frozen=True)
class ListedSetting(Majority):
    """A setting that comes back as another type. Source: made up."""

    sizes: tuple[int, ...] = setting((1, 2), "made into a set")

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "sizes", frozenset(self.sizes))


class ItemCounter(Accuracy):
    """Keeps a number under the name of the method that every finished run calls."""

    def __init__(self):
        super().__init__()
        self.items = 0


@dataclass(frozen=True)
class CountsItems(Majority):
    """Source: made up."""

    def meter(self, split):
        return ItemCounter()


BROKEN = [
    ("trains_and_evaluates", ShowsNumbers(), "show gave"),
    ("trains_and_evaluates", SelectsByNothing(), "selection is 'f1'"),
    ("trains_and_evaluates", CountsItems(), "items('accuracy') gave TypeError"),
    ("recommendations_are_settings", RecommendsTypos(), "no field 'batch_size'"),
    ("recommendations_are_settings", RecommendsTwoBudgets(), "steps and epochs"),
    ("padding_is_not_counted", PaddingCounts(), "other padding changes perplexity"),
    ("figures_ignore_the_batching", AveragesAverages(), "perplexity of 90 rows"),
    ("figures_ignore_the_batching", LastBatchOnly(), "in 3 batches and"),
    ("meter_reports_what_is_declared", Undeclared(), "declared are ['accuracy']"),
    ("meter_reports_what_is_declared", WrongDirection(), "lower is declared better"),
    ("meter_reports_what_is_declared", NothingIsZero(), "it must raise"),
    ("meter_reports_what_is_declared", OneMeterForAll(), "after another one was used"),
    ("baselines_are_reproducible", RandomBaseline(), "differ the second time"),
    ("baselines_are_reproducible", ForeignBaseline(), "states ['error']"),
    ("baselines_are_honest", WeakBaseline(), "always answering with the frequencies"),
    ("baselines_are_honest", WeakForecast(), "the last value of the input has"),
    ("documented", NotASentence(), "no sentence"),
    ("described_from_source", Misread(), "recommended"),
    ("settings_survive", ListedSetting(), "a spec cannot hold"),
]
