"""Tasks that answer a text share words, rows of similar length, and the commonest answer."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import (
    Batch,
    Data,
    Kind,
    Meter,
    Metric,
    Port,
    Prediction,
    Task,
    setting,
)
from rnnbench.data.batches import Pairs
from rnnbench.data.prepared import prepare
from rnnbench.data.text.tokenisers import Symbols, commonest
from rnnbench.data.text.tokens import Subwords, ragged
from rnnbench.metrics.base import Accuracy

__all__ = ["SPLITS", "Answered", "Item", "LabelledText", "tenth_of"]

SPLITS = ("train", "valid", "test")


class Item(NamedTuple):
    """A text and its answer.

    Attributes:
        words: None stands for a node of a tree that has no word.
        answer: the name of a class, or a value.
        parents: of each word its parent's place, -1 for the root; () where there is no tree.
    """

    words: Sequence[str | None]
    answer: str | float
    parents: Sequence[int] = ()


class Answered(Pairs):
    """Rows of tokens, each with one answer and perhaps a tree, batched with others of like length.

    Args:
        x: (flat tokens, offsets): row i is `flat[offsets[i] : offsets[i + 1]]`.
        answers: (N,) classes or (N, V) values.
        parents: of each of the flat tokens its parent's place in the row; None for no trees.
    """

    def __init__(
        self, x: tuple[np.ndarray, np.ndarray], answers: Tensor, parents: np.ndarray | None = None
    ) -> None:
        nothing = (np.zeros(1, np.int64), np.zeros(len(answers) + 1, np.int64))
        super().__init__(x, nothing, pad=Subwords.PAD, pool=None)
        self.answers, self.parents = answers, parents

    def batch(self, key: np.ndarray, rng: torch.Generator | None) -> Batch:
        x_BT, x_len = self._padded(*self.x, key)
        parent_BT = None
        if self.parents is not None:
            inside_BT = torch.arange(x_BT.shape[1]) < x_len[:, None]
            parent_BT = self._padded(self.parents, self.x[1], key)[0].where(inside_BT, -1)
        return Batch(x_BT, self.answers[torch.from_numpy(key)], x_len=x_len, parent_BT=parent_BT)


@dataclass(frozen=True)
class LabelledText(Task):
    """A task that names the class of a text whose words stand between blanks.

    Subclasses write `sources`, `choice`, `corpus` and `labels`. The vocabulary is that of all
    splits, as in papers that take its vectors from a file: a word that training does not show
    keeps the vector that it begins with. Were such words one symbol, short questions such as
    "What is X ?" would be alike in different splits.
    """

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "share", higher_is_better=True, help="texts named rightly"),
    )
    selection: ClassVar[str] = "accuracy"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 50,
        "optimizer.lr": 1e-3,
        "budget.steps": 2000,
        "budget.validate_every": 100,
    }
    eval_batch: ClassVar[int] = 256
    declares: ClassVar[Mapping[str, str]] = {
        "vocabulary_is_of_training": "words of all splits have a row each, as where vectors come "
        "from a file; one that training lacks keeps the vector that it begins with"
    }

    min_count: int = setting(1, "words seen less often in all splits are unknown", low=1)
    lowercase: bool = setting(False, "fold case")

    @abstractmethod
    def corpus(self, *folders: Path) -> Mapping[str, Sequence[Item]]:
        """Return the items of each split, from the folder of each source."""

    @property
    @abstractmethod
    def labels(self) -> Sequence[str]:
        """Return the names of the classes; () where values are asked for."""

    def choice(self) -> dict[str, Any]:
        """Return the settings that `corpus` depends on, as JSON can write them."""
        return {}

    @property
    def source(self) -> Port:
        return Port(classes=len(self.vocabulary), vocabulary="words")

    @property
    def target(self) -> Port:
        return Port(classes=len(self.labels))

    @cached_property
    def vocabulary(self) -> Symbols:
        """Return the words of all splits, the commonest first, after four special tokens."""
        return Symbols(self._prepared["words"], str.split, " ".join)

    def words(self, side: Literal["source", "target"]) -> Sequence[str] | None:
        """Return the words of the text; those of the labels are none."""
        return self.vocabulary.words if side == "source" else None

    def data(self, split: str, seed: int) -> Data:
        prepared = self._prepared
        x = (prepared[f"{split}_x"], prepared[f"{split}_x_at"])
        return Answered(x, self.answers(split), prepared.get(f"{split}_parents"))

    def answers(self, split: str) -> Tensor:
        """Return (N,) classes, or (N, 1) values."""
        return torch.from_numpy(np.array(self._prepared[f"{split}_answer"]))

    def meter(self, split: str) -> Meter:
        return Accuracy()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the answer that is always the commonest class of the training part."""
        majority = torch.bincount(self.answers("train"), minlength=len(self.labels)).argmax()
        share = float((self.answers(split) == majority).double().mean())
        return {"majority class": {"accuracy": share}}

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a text whose words stand between blanks."""
        tokens = self.encode(text.split())
        if not tokens:
            raise ValueError(f"{self.name} reads a text of at least one word; got {text!r}")
        return Batch(
            torch.tensor([tokens]), torch.zeros(1, dtype=torch.long)
        ), lambda y: self.labels[int(y)]

    def encode(self, words: Sequence[str | None]) -> list[int]:
        """Return tokens of some words; what has no word is token 2, which no text has."""
        text = " ".join(w if w is not None else "" for w in words if w)
        tokens = iter(self.vocabulary.encode(text.lower() if self.lowercase else text))
        return [Subwords.START if w is None else next(tokens) for w in words]

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight texts with what is said of them."""
        return [
            {"source": self.vocabulary.decode(x), "target": self._show_answer(y),
             "prediction": self._show_answer(o)}
            for x, y, o in zip(batch.x[:8].tolist(), batch.y, prediction.out, strict=False)
        ]  # fmt: skip

    def _show_answer(self, answer: Tensor) -> str:
        if not self.labels:
            return f"{float(answer):.2f}"
        return self.labels[int(answer.argmax() if answer.dim() else answer)]

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        shape = {"min_count": self.min_count, "lowercase": self.lowercase} | self.choice()
        return prepare(self.name, self.sources(), self.version, shape, self._make)

    def _make(self, *folders: Path) -> dict[str, Any]:
        corpus = {split: list(items) for split, items in self.corpus(*folders).items()}
        if self.lowercase:
            corpus = {
                s: [i._replace(words=[w and w.lower() for w in i.words]) for i in items]
                for s, items in corpus.items()
            }
        every = (item for items in corpus.values() for item in items)
        texts = ([w for w in item.words if w is not None] for item in every)
        symbols = commonest(texts, min_count=self.min_count)
        token_of = {w: i for i, w in enumerate(symbols, start=len(Symbols((), list, "".join)))}
        content: dict[str, Any] = {"words": symbols}
        for split, items in corpus.items():
            tokens = (
                [
                    Subwords.START if w is None else token_of.get(w, Subwords.UNKNOWN)
                    for w in item.words
                ]
                for item in items
            )
            content[f"{split}_x"], content[f"{split}_x_at"] = ragged(tokens, np.int32)
            if items[0].parents:
                content[f"{split}_parents"] = ragged((i.parents for i in items), np.int32)[0]
            content[f"{split}_answer"] = (
                np.array([self.labels.index(str(i.answer)) for i in items], np.int64)
                if self.labels
                else np.array([[i.answer] for i in items], np.float32)
            )
        return content


def tenth_of(words: Sequence[str]) -> int:
    """Return 0 to 9, by a hash of a text: equal texts are dealt to the same part."""
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    return int.from_bytes(digest[:4], "big") % 10
