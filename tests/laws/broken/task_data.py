"""Tasks with one fault each in what a batch holds, in seeds or in splits."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

import numpy as np
import torch

from laws.broken.right_tasks import PARTS, Drift, Echo, Majority, Walk
from rnnbench.contract import Batch, Port, Source
from rnnbench.data import DataError, Generated, Items, Stream, fetch
from rnnbench.data.fetching.sources import roots

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
]
