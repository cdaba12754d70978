"""Tasks with one fault each, and the right ones that they are made from."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Source, Task, setting
from rnnbench.data import DataError, Generated, Items, Stream, fetch
from rnnbench.data.fetching.sources import roots
from rnnbench.metrics import Accuracy, ForecastErrors, LanguageModelling, MeanSquaredError

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


RIGHT = [Majority(), Walk(), Echo(), Drift()]

# ------------------------------------------------------------------------------ what a batch holds


class Changed(Items):
    """Items whose batches go through a function."""

    def __init__(self, items, change):
        super().__init__(items)
        self.change = change

    def batch(self, key, rng):
        return self.change(super().batch(key, rng))


@dataclass(frozen=True)
class Narrow(Majority):
    """Tokens of 32 bits. Source: made up."""

    def data(self, split, seed):
        return Changed(self.part(PARTS[split]), lambda b: b._replace(x=b.x.int()))


@dataclass(frozen=True)
class TooFewClasses(Majority):
    """A port that is one class short. Source: made up."""

    @property
    def target(self):
        return Port(classes=self.classes - 1)


@dataclass(frozen=True)
class EmptyRows(Echo):
    """A target of no steps. Source: made up."""

    def items(self):
        batch = super().items()
        return batch._replace(y_len=batch.y_len - 1 - batch.x_len.min())


@dataclass(frozen=True)
class NoStop(Echo):
    """The stop token lies behind the length. Source: made up."""

    def items(self):
        batch = super().items()
        return batch._replace(y_len=batch.x_len)


@dataclass(frozen=True)
class Widened(Drift):
    """Two values where the port says one. Source: made up."""

    def data(self, split, seed):
        return Changed(super().data(split, seed).items,
                       lambda b: b._replace(x=b.x.expand(-1, -1, 2)))  # fmt: skip


@dataclass(frozen=True)
class NotShifted(Walk):
    """The target is the input. Source: made up."""

    def data(self, split, seed):
        class Same(Stream):
            def batch(self, key, rng):
                batch = super().batch(key, rng)
                return batch._replace(y=batch.x)

        return Same(self.tokens(split), self.length)


# ----------------------------------------------------------------------------- seeds and the splits


@dataclass(frozen=True)
class GlobalShuffle(Majority):
    """Shuffles with whatever generator there is. Source: made up."""

    def data(self, split, seed):
        class Shuffled(Items):
            def order(self, size, rng):
                n = len(self)
                return list((torch.arange(n) if rng is None else torch.randperm(n)).split(size))

        return Shuffled(self.part(PARTS[split]))


@dataclass(frozen=True)
class HashOrder(Majority):
    """Items in the order of a set of words. Source: made up."""

    def items(self):
        batch = super().items()
        order = torch.tensor([int(word) for word in {str(i) for i in range(490)}])
        return Batch._make(None if v is None else v[order] for v in batch)


@dataclass(frozen=True)
class ValidBySeed(Majority):
    """Another validation split for each seed. Source: made up."""

    def data(self, split, seed):
        if split == "valid":
            return Items(self.part(slice(300 + seed, 390)))
        return super().data(split, seed)


@dataclass(frozen=True)
class RandomTest(Majority):
    """A test split drawn anew in each process. Source: made up."""

    def data(self, split, seed):
        if split == "test":
            chosen = torch.from_numpy(np.random.permutation(100)[:60]) + 390
            return Items(self.part(chosen))
        return super().data(split, seed)


@dataclass(frozen=True)
class NeverShuffled(Majority):
    """Reads training in the order of the file. Source: made up."""

    def data(self, split, seed):
        class InOrder(Items):
            def order(self, size, rng):
                return super().order(size, None)

        return InOrder(self.part(PARTS[split]))


@dataclass(frozen=True)
class Overlapping(Majority):
    """The test split begins before training ends. Source: made up."""

    def data(self, split, seed):
        return Items(self.part(slice(297, 490) if split == "test" else PARTS[split]))


@dataclass(frozen=True)
class SameDraws(Majority):
    """Draws training afresh, and validation with the seed of its first run. Source: made up."""

    def data(self, split, seed):
        def draw(rows, rng):
            x = torch.randint(self.classes, (rows, 12), generator=rng)
            return Batch(x, x.mode(1).values)

        if split == "train":
            return Generated(draw, 300, seed)
        drawn = Generated(draw, 90, 0 if split == "valid" else 1)
        return Items(drawn.batch((0, 40), None))


@dataclass(frozen=True)
class StreamOverlap(Walk):
    """Half of the test text is training text, from another place on. Source: made up."""

    def tokens(self, split):
        if split == "test":
            return np.concatenate([super().tokens("train")[137:637], super().tokens("test")[:500]])
        return super().tokens(split)


@dataclass(frozen=True)
class DropsTheLast(Majority):
    """Leaves out the last, smaller batch. Source: made up."""

    def data(self, split, seed):
        class Dropping(Items):
            def order(self, size, rng):
                keys = super().order(size, rng)
                return keys if len(keys[-1]) == size else keys[:-1]

        return Dropping(self.part(PARTS[split]))


@dataclass(frozen=True)
class DropsTheTail(Walk):
    """Reads whole chunks of whole rows only. Source: made up."""

    def data(self, split, seed):
        class Dropping(Stream):
            def order(self, size, rng):
                base = len(self) // size
                return [(size, i, i + self.length) for i in range(0, base - self.length + 1,
                                                                  self.length)]  # fmt: skip

        return Dropping(self.tokens(split), self.length)


@dataclass(frozen=True)
class DrawnByTheBatch(Majority):
    """Held-out items that depend on the batch they are in. Source: made up."""

    def data(self, split, seed):
        def draw(rows, rng):
            x = torch.randint(self.classes, (rows, 12), generator=rng)
            return Batch(x, x.mode(1).values)

        return Generated(draw, 90, {"train": seed, "valid": 101, "test": 102}[split])


@dataclass(frozen=True)
class ShuffledStream(Walk):
    """Carries state between chunks that it shuffles. Source: made up."""

    def data(self, split, seed):
        class Shuffled(Stream):
            def order(self, size, rng):
                keys = super().order(size, None)
                if rng is None:
                    return keys
                return [keys[i] for i in torch.randperm(len(keys) - 1, generator=rng)]

        return Shuffled(self.tokens(split), self.length)


@dataclass(frozen=True)
class AsksTheNetwork(Majority):
    """Looks up a host each time. Source: made up."""

    def data(self, split, seed):
        socket.getaddrinfo("localhost", 80)
        return super().data(split, seed)


_WEATHER = Source(
    name="vega_datasets",
    origin="wheel:vega_datasets==0.9.0",
    files={
        "vega_datasets/_data/seattle-weather.csv": (
            "62f0609f787158128aa2bd102967173a4953122dd4f872bf1d502cae1037df0b"
        )
    },
    sha256="3d7c63917be6ca9b154b565f4779a31fedce57b01b5b9d99d8a34a7608062a1d",
    size=210_822,
)


@dataclass(frozen=True)
class TrustsTheDisk(Majority):
    """Reads its file without comparing it. Source: made up."""

    def sources(self):
        return (_WEATHER,)

    def data(self, split, seed):
        (name,) = _WEATHER.files
        found = [p for root in roots().values() if (p := root / "vega_datasets" / name).exists()]
        assert found[0].read_bytes()
        return super().data(split, seed)


@dataclass(frozen=True)
class FallsBack(TrustsTheDisk):
    """Goes on without the data where they are damaged. Source: made up."""

    def data(self, split, seed):
        with contextlib.suppress(DataError):
            fetch(_WEATHER)
        return Majority.data(self, split, seed)


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
    """The same meter each time. Source: made up."""

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


BROKEN = [
    ("ports_match", Narrow(), "x is torch.int32"),
    ("ports_match", TooFewClasses(), "token 4; classes are 0..3"),
    ("ports_match", EmptyRows(), "y_len has 0"),
    ("ports_match", NoStop(), "not with the stop token"),
    ("ports_match", Widened(), "width 2"),
    ("ports_match", NotShifted(), "its own input"),
    ("same_seed_same_batches", GlobalShuffle(), "differs the second time"),
    ("same_seed_same_batches", HashOrder(), "PYTHONHASHSEED"),
    ("held_out_data_ignore_the_seed", ValidBySeed(), "valid has 90 items"),
    ("held_out_data_ignore_the_seed", RandomTest(), "test: batch 0 differs"),
    ("training_order_follows_the_seed", NeverShuffled(), "same batches in the same order"),
    ("splits_are_disjoint", Overlapping(), "items of test stand in train"),
    ("splits_are_disjoint", SameDraws(), "items of valid stand in train"),
    ("splits_are_disjoint", StreamOverlap(), "of test stand in train"),
    ("no_item_is_dropped", DropsTheLast(), "items of 90"),
    ("no_item_is_dropped", DropsTheTail(), "targets are counted in batches of 4"),
    ("no_item_is_dropped", DrawnByTheBatch(), "do not hold the same items"),
    ("streams_continue", ShuffledStream(), "does not begin with what batch"),
    ("loads_offline", AsksTheNetwork(), "there is no network here"),
    ("damaged_data_are_refused", TrustsTheDisk(), "was read with a wrong byte"),
    ("damaged_data_are_refused", FallsBack(), "was read with a wrong byte"),
    ("trains_and_evaluates", ShowsNumbers(), "show gave"),
    ("trains_and_evaluates", SelectsByNothing(), "selection is 'f1'"),
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
    ("baselines_are_honest", WeakForecast(), "always answering"),
    ("documented", NotASentence(), "no sentence"),
    ("described_from_source", Misread(), "recommended"),
    ("settings_survive", ListedSetting(), "a spec cannot hold"),
]
