"""Chunking: which words of a sentence belong together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Kind, Metric, Port, Prediction, Source, Task, setting
from rnnbench.data import DataError, Pairs, Subwords, prepare, ragged
from rnnbench.data.tasks.labelled_text import SPLITS, tenth_of
from rnnbench.data.text.tokenisers import Symbols, commonest
from rnnbench.metrics import Chunks

_CONLL = Source(
    name="conll2000",
    origin="https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/conll2000.zip",
    files={
        "conll2000/train.txt": "82033cd7a72b209923a98007793e8f9de3abc1c8b79d646c50648eb949b87cea",
        "conll2000/test.txt": "73b7b1e565fa75a1e22fe52ecdf41b6624d6f59dacb591d44252bf4d692b1628",
    },
    sha256="01e65164f268366e7caa0db92332a1955d081908c87016e2c7640c3c5279b7cd",
    size=756_607,
    licence="not stated",
    citation="Tjong Kim Sang & Buchholz (2000), CoNLL-2000 shared task: chunking",
)


class Token(NamedTuple):
    """A line of the file: a word, its part of speech, and its place in a chunk."""

    word: str
    pos: str
    tag: str


@dataclass(frozen=True)
class Conll2000(Task):
    """Find the chunks of a sentence: tag each word as within a noun phrase, a verb phrase, ….

    8,936 sentences of the Wall Street Journal for training, of which those whose hash says so,
    about 1 in 10, are for validation, and 2,012 for test. Tags begin ("B-") or go on with ("I-")
    a chunk of one of eleven types, or are "O". A model may look ahead. It reads the words, or with
    reads=pos the parts of speech that the data come with.
    f1 counts chunks that agree in both ends and in type, as conlleval does.
    Baselines: the commonest tag of each part of speech (the shared task's own baseline), of each
    word, and of all words, all counted in training.

    Source: Tjong Kim Sang & Buchholz (2000), Introduction to the CoNLL-2000 shared task: chunking.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    name: ClassVar[str] = "conll2000"
    causal: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("f1", "share", higher_is_better=True, help="chunks found whole, as conlleval does"),
        Metric("accuracy", "share", higher_is_better=True, help="words tagged rightly"),
    )
    selection: ClassVar[str] = "f1"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 2e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }
    eval_batch: ClassVar[int] = 128

    reads: Literal["words", "pos"] = setting("words", "what is read: words, or parts of speech")
    min_count: int = setting(1, "words seen less often in training are unknown", low=1)
    lowercase: bool = setting(False, "fold case")

    @property
    def source(self) -> Port:
        return Port(classes=len(self._symbols), vocabulary=self.reads)

    @property
    def target(self) -> Port:
        return Port(classes=len(self.tags))

    @property
    def tags(self) -> Sequence[str]:
        """Return the names of the classes."""
        return self._prepared["tags"]

    def words(self, side: Literal["source", "target"]) -> Sequence[str] | None:
        """Return the words; parts of speech are none."""
        return self._symbols.words if side == "source" and self.reads == "words" else None

    def sources(self) -> tuple[Source, ...]:
        return (_CONLL,)

    def data(self, split: str, seed: int) -> Data:
        prepared = self._prepared
        at = prepared[f"{split}_at"]
        return Pairs((prepared[f"{split}_x"], at), (prepared[f"{split}_y"], at), pool=None)

    def meter(self, split: str) -> Chunks:
        return Chunks(self.tags)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the commonest tag by part of speech, by word, and of all."""
        return {
            "commonest tag of the part of speech": self._score_counting(split, "pos"),
            "commonest tag of the word": self._score_counting(split, "word"),
            "commonest tag": self._score_counting(split, ""),
        }

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a sentence whose words, or parts of speech, stand between blanks."""
        tokens = self._symbols.encode(text.lower() if self.lowercase else text)
        if not tokens:
            raise ValueError(f"conll2000 reads a sentence of at least one word; got {text!r}")
        x = torch.tensor([tokens])
        return Batch(x, torch.zeros_like(x)), lambda y: " ".join(self.tags[t] for t in y.tolist())

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first four sentences with their tags."""
        guess = prediction.out.argmax(-1)
        lengths = [batch.x.shape[1]] * 4 if batch.x_len is None else batch.x_len.tolist()
        return [
            {
                "source": self._symbols.decode(batch.x[i, :n].tolist()),
                "target": " ".join(self.tags[t] for t in batch.y[i, :n].tolist()),
                "prediction": " ".join(self.tags[t] for t in guess[i, :n].tolist()),
            }
            for i, n in enumerate(lengths[: min(4, len(batch.x))])
        ]

    def _score_counting(self, split: str, by: str) -> dict[str, float]:
        prepared, keys = self._prepared, f"_{by}" if by else "_tag"
        train = prepared[f"train{keys}"] if by else np.zeros_like(prepared["train_y"])
        keys_N = prepared[f"{split}{keys}"] if by else np.zeros_like(prepared[f"{split}_y"])
        counts: dict[int, Counter[int]] = defaultdict(Counter)
        for key, tag in zip(train.tolist(), prepared["train_y"].tolist(), strict=True):
            counts[key][tag] += 1
        best = {key: min(c.items(), key=lambda n: (-n[1], n[0]))[0] for key, c in counts.items()}
        overall = min(Counter(prepared["train_y"].tolist()).items(), key=lambda n: (-n[1], n[0]))[0]
        meter, at = self.meter(split), prepared[f"{split}_at"].tolist()
        for begin, end in pairwise(at):
            guess = [best.get(key, overall) for key in keys_N[begin:end].tolist()]
            gold = prepared[f"{split}_y"][begin:end].tolist()
            meter.add([self.tags[t] for t in guess], [self.tags[t] for t in gold])
        return meter.compute()

    @cached_property
    def _symbols(self) -> Symbols:
        return Symbols(self._prepared["symbols"], str.split, " ".join)

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        shape = {n: getattr(self, n) for n in ("reads", "min_count", "lowercase")}
        return prepare(self.name, self.sources(), self.version, shape, self._make)

    def _make(self, folder: Path) -> dict[str, Any]:
        sentences = {part: read_sentences(folder, part) for part in ("train", "test")}
        is_valid = [tenth_of([t.word for t in s]) == 0 for s in sentences["train"]]
        splits = {
            "train": [s for s, out in zip(sentences["train"], is_valid, strict=True) if not out],
            "valid": [s for s, out in zip(sentences["train"], is_valid, strict=True) if out],
            "test": sentences["test"],
        }
        tags = sorted({t.tag for part in sentences.values() for s in part for t in s})

        def read(token: Token) -> str:
            text = token.pos if self.reads == "pos" else token.word
            return text.lower() if self.lowercase else text

        symbols = commonest(
            ([read(t) for t in s] for s in splits["train"]), min_count=self.min_count
        )
        token_of = {s: i for i, s in enumerate(symbols, start=len(Symbols((), list, "".join)))}
        number: dict[str, int] = {}  # of each word and part of speech, for the baselines
        content: dict[str, Any] = {"symbols": symbols, "tags": tags}
        for split in SPLITS:
            rows = splits[split]
            x = ([token_of.get(read(t), Subwords.UNKNOWN) for t in s] for s in rows)
            content[f"{split}_x"], content[f"{split}_at"] = ragged(x, np.int32)
            content[f"{split}_y"] = ragged([tags.index(t.tag) for t in s] for s in rows)[0]
            for name in ("word", "pos"):
                numbers = (
                    [number.setdefault(getattr(t, name), len(number)) for t in s] for s in rows
                )
                content[f"{split}_{name}"] = ragged(numbers, np.int32)[0]
        return content


def read_sentences(folder: Path, part: str) -> list[list[Token]]:
    """Return the sentences of "train" or "test", which blank lines part.

    Raises:
        DataError: a line has not a word, a part of speech and a tag.
    """
    sentences: list[list[Token]] = [[]]
    text = (folder / f"conll2000/{part}.txt").read_text("utf-8")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            sentences.append([])
            continue
        fields = line.split()
        if len(fields) != 3:
            raise DataError(f"conll2000/{part}.txt, line {number}: {len(fields)} fields, not 3")
        sentences[-1].append(Token(*fields))
    return [sentence for sentence in sentences if sentence]
