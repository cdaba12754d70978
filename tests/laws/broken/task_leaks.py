"""Tasks with one fault each in what leaks: between splits, into scales, or from y into x."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from laws.broken.right_tasks import PARTS, Drift, Majority
from rnnbench.contract import Batch, Port
from rnnbench.data import Items

CUTS = {"train": (0, 0.7), "valid": (0.7, 0.85), "test": (0.85, 1.0)}


def walk(steps: int, seed: int = 2) -> torch.Tensor:
    """A series (steps, 1) that mostly persists."""
    rng = torch.Generator().manual_seed(seed)
    noise, level, values = torch.randn(steps, generator=rng), 0.0, []
    for shock in noise.tolist():
        level = 0.95 * level + shock
        values.append(level)
    return torch.tensor(values)[:, None]


def windows(series: torch.Tensor, horizon: int) -> Batch:
    """Every window of 8 steps, and the steps after it."""
    cut = series.unfold(0, 8 + horizon, 1).transpose(1, 2)
    return Batch(cut[:, :8].clone(), cut[:, 8:, :1].clone())


def part(batch: Batch, split: str) -> Batch:
    first, last = (round(share * len(batch.x)) for share in CUTS[split])
    return Batch(batch.x[first:last], batch.y[first:last])


@dataclass(frozen=True)
class Forecasts(Drift):
    """Forecast one long series, cut in time and then into windows. Source: made up."""

    columns = 1
    past = (0,)

    @property
    def source(self):
        return Port(width=self.columns)

    def whole(self):
        return walk(700)

    def items(self, split):
        series = self.whole()
        first, last = (round(share * len(series)) for share in CUTS[split])
        return windows(series[max(0, first - 8) : last], self.horizon)

    def data(self, split, seed):
        return Items(self.items(split))

    def baselines(self, split):
        batch = self.items(split)
        error = (batch.x[:, -1:, :1] - batch.y).double()
        mse, mae = float(error.square().mean()), float(error.abs().mean())
        return {"last value": {"mse": mse, "mae": mae, "mase": mae}}


@dataclass(frozen=True)
class CutBeforeTheSplit(Forecasts):
    """Windows first, then a cut in time. Source: made up."""

    horizon: int = 5

    def items(self, split):
        return part(windows(self.whole(), self.horizon), split)


@dataclass(frozen=True)
class SplitAtRandom(Forecasts):
    """Windows of one series, split at random. Source: made up."""

    def items(self, split):
        cut = windows(self.whole(), self.horizon)
        order = torch.randperm(len(cut.x), generator=torch.Generator().manual_seed(4))
        return part(Batch(cut.x[order], cut.y[order]), split)


@dataclass(frozen=True)
class ScaledByAll(Forecasts):
    """A trend, scaled by mean and spread of all of it. Source: made up."""

    def whole(self):
        series = walk(700) + torch.linspace(0, 20, 700)[:, None]
        return (series - series.mean()) / series.std()


@dataclass(frozen=True)
class RangeOfAll(ScaledByAll):
    """A trend, scaled to the range of all of it. Source: made up."""

    def whole(self):
        series = super().whole()
        return (series - series.min()) / (series.max() - series.min())


@dataclass(frozen=True)
class Disguised(Forecasts):
    """A second column that is the next value of the first, in another unit. Source: made up."""

    columns = 2

    def whole(self):
        series = walk(701)
        return torch.cat([series[:-1], 9 / 5 * series[1:] + 32], 1)


@dataclass(frozen=True)
class DisguisedTwice(Forecasts):
    """The cube of the next value, in two columns. Source: made up."""

    columns = 3

    def whole(self):
        series = walk(701)
        return torch.cat([series[:-1], series[1:] ** 3, series[1:] ** 3], 1)


@dataclass(frozen=True)
class FewPossible(Majority):
    """Short texts of three words, of which there are few. Source: made up."""

    def items(self):
        rng = torch.Generator().manual_seed(11)
        x = torch.randint(3, (490, 6), generator=rng)
        return Batch(x, (x == 1).sum(1).clamp_max(4))


@dataclass(frozen=True)
class Augmented(Majority):
    """Noisy copies of training stand in the other splits. Source: made up."""

    @property
    def source(self):
        return Port(width=2)

    def copies(self, x, rng):
        return x + 0.01 * torch.randn(x.shape, generator=rng)

    def items(self):
        rng = torch.Generator().manual_seed(11)
        x = torch.randn(300, 8, 2, generator=rng)
        y = torch.randint(self.classes, (300,), generator=rng)
        return Batch(torch.cat([x, self.copies(x[:190], rng)]), torch.cat([y, y[:190]]))


@dataclass(frozen=True)
class TurnedCopies(Augmented):
    """Copies of training, from the end, stand in the other splits. Source: made up."""

    def copies(self, x, rng):
        return x.flip(1)


@dataclass(frozen=True)
class LabelInAColumn(TurnedCopies):
    """The label stands in the second column. Source: made up."""

    def items(self):
        rng = torch.Generator().manual_seed(11)
        x = torch.randn(490, 8, 2, generator=rng)
        y = torch.randint(self.classes, (490,), generator=rng)
        x[..., 1] = y[:, None] / self.classes
        return Batch(x, y)


@dataclass(frozen=True)
class StatesTheMean(Forecasts):
    """Its one baseline is the mean, where the last value is near. Source: made up."""

    def baselines(self, split):
        batch, mean = self.items(split), float(self.items("train").y.mean())
        error = (mean - batch.y).double()
        mse, mae = float(error.square().mean()), float(error.abs().mean())
        return {"mean": {"mse": mse, "mae": mae, "mase": mae}}


@dataclass(frozen=True)
class OneWordApart(Majority):
    """Held-out texts are those of training but for a word. Source: made up."""

    def items(self):
        rng = torch.Generator().manual_seed(11)
        x = torch.randint(self.classes, (300, 24), generator=rng)
        other = x[:190].clone()
        other[:, 5] = (other[:, 5] + 1) % self.classes
        x = torch.cat([x, other])
        return Batch(x, x[:, 9])


@dataclass(frozen=True)
class WordsOfAll(Majority):
    """A vocabulary of all splits. Source: made up."""

    classes: int = 400

    def items(self):
        rng = torch.Generator().manual_seed(11)
        x = torch.randint(self.classes, (490, 12), generator=rng)
        x[:300] = x[:300] % 200
        return Batch(x, x.max(1).values)


@dataclass(frozen=True)
class LengthTells(Majority):
    """The label goes by the length. Source: made up."""

    def items(self):
        batch = super().items()
        return batch._replace(y=batch.x_len % 3)


@dataclass(frozen=True)
class FirstTokenTells(Majority):
    """The label is written in front. Source: made up."""

    def items(self):
        batch = super().items()
        x = batch.x.clone()
        x[:, 0] = (batch.y + 2) % self.classes
        return batch._replace(x=x)


assert set(PARTS) == set(CUTS)

BROKEN = [
    ("baselines_are_honest", StatesTheMean(), "the last value of the input has"),
]
SUSPECT = [
    ("splits_are_disjoint", FewPossible(), "repeat others of it too"),
    ("splits_are_apart", CutBeforeTheSplit(), "that are targets of training"),
    ("splits_are_apart", SplitAtRandom(), "of the targets of valid hold 6 steps"),
    ("splits_are_apart", Augmented(), "nearer to a row of training"),
    ("splits_are_apart", TurnedCopies(), "nearer to a row of training"),
    ("splits_are_apart", OneWordApart(), "but for a token in ten"),
    ("scaling_is_of_training", ScaledByAll(), "all splits together have mean"),
    ("scaling_is_of_training", RangeOfAll(), "reach from 0 to 1"),
    ("vocabulary_is_of_training", WordsOfAll(), "never in training"),
    ("no_column_is_the_answer", Disguised(), "column 2 of step 8 of x explains"),
    ("no_column_is_the_answer", DisguisedTwice(), "column 2 of step 8 of x explains"),
    ("no_column_is_the_answer", LabelInAColumn(), "column 2 of the first step alone names"),
    ("no_column_is_the_answer", LengthTells(), "the length alone names"),
    ("no_column_is_the_answer", FirstTokenTells(), "the first token alone names"),
]
