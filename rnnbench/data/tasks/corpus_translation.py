"""Translation of a corpus of pairs of texts: its tokens, its batches, its references."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from rnnbench.contract import Batch, Data, DataCard, Metric, Port, setting
from rnnbench.data.batches import Pairs
from rnnbench.data.cards.pairs_card import pairs_card
from rnnbench.data.cards.text_card import write_files
from rnnbench.data.prepared import prepare
from rnnbench.data.tasks.translation import MEASURES, PAD, SPLITS, STOP, TranslationTask
from rnnbench.data.text.tokenisers import Tokeniser, learn, read
from rnnbench.data.text.tokens import Subwords, ragged
from rnnbench.errors import DataError
from rnnbench.metrics.text import Translation

__all__ = ["Corpus", "TextTranslation"]

LONGER = 0.01  # of a split's targets, above which it is said that outputs are too short for them
Corpus = Mapping[str, Sequence[tuple[str, str]]]  # (source, target) texts of each split


@dataclass(frozen=True)
class TextTranslation(TranslationTask):
    """A translation task whose texts become tokens by its settings.

    Subclasses write `languages`, `sources`, `choice` and `corpus`. Vocabularies are learnt on the
    training pairs that are used; validation and test keep all of their pairs, whatever their
    length. References are the corpus's own texts, also where a word is outside the vocabulary.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 128,
        "optimizer.lr": 2e-3,
        "budget.steps": 3000,
        "budget.validate_every": 300,
    }

    tokens: Literal["bpe", "unigram", "moses", "words", "characters"] = setting(
        "bpe",
        "what a token is: a subword, a word by the Moses rules, a word between blanks, a character",
    )
    vocabulary: int = setting(
        4000, "subwords, shared by both sides; of words the most of a side", low=300, high=65535
    )
    min_count: int = setting(2, "words seen less often in training are unknown", low=1)
    lowercase: bool = setting(False, "fold case, in the references too")
    max_tokens: int = setting(
        0, "longest side of a training pair that is kept; 0: all", unit="tokens", low=0
    )
    batch_tokens: int = setting(
        6000,
        "most positions of a batch, both sides with padding, beside optimizer.batch rows; 0: any",
        unit="tokens",
        low=0,
    )
    train_pairs: int = setting(0, "first training pairs to use; 0: all", unit="pairs", low=0)
    max_length: int = setting(
        0,
        "most tokens of an output; 0: one more than the longest training target has",
        unit="tokens",
        low=0,
        added=True,
    )

    headline: Literal["bleu", "chrf", "exact", "ter", "cer"] = setting(
        "bleu", "what ranks: bleu, chrf, exact match, ter, or cer of characters", added=True
    )
    select_by: Literal["headline", "bleu", "chrf", "exact", "ter", "cer", "loss"] = setting(
        "headline", "what chooses checkpoints and configurations on validation", added=True
    )

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the names of what is reported, the headline first."""
        chosen = [
            self.headline,
            *([] if self.select_by in ("headline", "loss") else [self.select_by]),
        ]
        further = ["exact"] if chosen != ["bleu"] else []
        return tuple(dict.fromkeys([*chosen, *further, "bleu", "chrf", "length_ratio"]))

    @property
    def metrics(self) -> tuple[Metric, ...]:  # type: ignore[override]
        return tuple(MEASURES[name] for name in self.measures)

    @property
    def selection(self) -> str:  # type: ignore[override]
        return self.measures[0] if self.select_by == "headline" else self.select_by

    @property
    @abstractmethod
    def languages(self) -> tuple[str, str]:
        """Return codes of the source's and the target's language."""

    @abstractmethod
    def corpus(self, *folders: Path) -> Corpus:
        """Return the pairs of each split, from the folder of each source."""

    def choice(self) -> dict[str, Any]:
        """Return what `corpus` depends on beside its folders, as JSON can write it."""
        return {}

    @property
    def source(self) -> Port:
        return Port(
            classes=len(self.tokeniser("source")), vocabulary=self._shares_vocabulary("source")
        )

    @property
    def target(self) -> Port:
        return Port(
            classes=len(self.tokeniser("target")),
            start=Subwords.START,
            stop=STOP,
            longest=self.max_length or self._prepared["longest"],
            vocabulary=self._shares_vocabulary("target"),
        )

    def tokeniser(self, side: Literal["source", "target"]) -> Tokeniser:
        return self._tokenisers[side == "target"]

    def data(self, split: str, seed: int) -> Data:
        x, y = (
            (self._prepared[f"{split}_{side}"], self._prepared[f"{split}_{side}_at"])
            for side in ("x", "y")
        )
        return Pairs(x, y, pad=PAD, pool=None, budget=self.batch_tokens or None)

    def meter(self, split: str) -> Translation:
        decode = self.tokeniser("target").decode
        return Translation(
            decode, STOP, self._references(split), lowercase=self.lowercase, metrics=self.measures
        )

    def texts(self, split: str) -> list[tuple[str, str]]:
        """Return source and target text of each pair, as the corpus has them."""
        x, y = (_lines(self._prepared[f"{split}_{side}_text"]) for side in ("x", "y"))
        return list(zip(x, y, strict=True))

    def what_is_read(self) -> str:
        """Say where targets are longer than outputs may be; "" where at most 1% of them are."""
        limit = self.target.longest
        assert limit is not None
        told, longest = [], 0
        for split in ("valid", "test"):
            lengths = np.diff(self._prepared[f"{split}_y_at"]) - 1  # without the token that ends it
            if (share := float((lengths > limit).mean())) > LONGER:
                told.append(f"{100 * share:.3g}% of the targets on {split}")
                longest = max(longest, int(lengths.max()))
        if not told:
            return ""
        return (
            f"{' and '.join(told)} have more than the {limit:,} tokens of the longest output: no "
            "output can equal them.\n"
            f"  For outputs of that length set task.max_length={longest + 1}"
        )

    def card(self) -> DataCard:
        limit = self.target.longest
        assert limit is not None
        lengths, unknown = {}, {}
        for split in SPLITS:
            x, y = (np.diff(self._prepared[f"{split}_{side}_at"]) - 1 for side in "xy")
            lengths[split] = x, y
            unknown[split] = float((self._prepared[f"{split}_y"] == Subwords.UNKNOWN).mean())
        files = [name for source in self.sources() for name in source.files]
        return pairs_card(
            {split: self.texts(split) for split in SPLITS}, lengths,
            (len(self.tokeniser("source")), len(self.tokeniser("target"))), unit=self.tokens,
            longest=limit, unknown=unknown, name=write_files(files) or self.name,
        )  # fmt: skip

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a sentence of the source language."""
        return super().ask(text.lower() if self.lowercase else text)

    def commonest(self) -> str:
        return self._prepared["commonest"]

    def _shares_vocabulary(self, side: str) -> str:
        """Tell whether both sides share a vocabulary; words are learnt on each side."""
        return f"{side} words" if self.tokens in ("words", "moses") else self.tokens

    def _references(self, split: str) -> Callable[[list[int], list[int]], str]:
        """Return a function that gives the target text of a pair.

        Pairs of equal tokens are gone through in turn: whatever is said of them is said of each, so
        that figures do not depend on which is which.
        """
        sides = self.data(split, 0)
        assert isinstance(sides, Pairs)
        texts_by_pair: dict[tuple[bytes, bytes], list[str]] = {}
        x, y = (_rows(*side) for side in (sides.x, sides.y))
        for pair, (_, text) in zip(zip(x, y, strict=True), self.texts(split), strict=True):
            texts_by_pair.setdefault(pair, []).append(text)
        times_met: Counter[tuple[bytes, bytes]] = Counter()

        def reference(x: list[int], y: list[int]) -> str:
            pair = (np.array(x, np.uint16).tobytes(), np.array(y, np.uint16).tobytes())
            if pair not in texts_by_pair:
                raise ValueError(f"{self.name}: a pair that is not in {split} has no reference")
            texts = texts_by_pair[pair]
            times_met[pair] += 1
            return texts[(times_met[pair] - 1) % len(texts)]

        return reference

    @cached_property
    def _tokenisers(self) -> tuple[Tokeniser, Tokeniser]:
        one, other = (
            self._prepared[f"learnt_{i}"].tobytes()
            if self.tokens in ("bpe", "unigram")
            else self._prepared[f"learnt_{i}"]
            for i in range(2)
        )
        source, target = self.languages
        return read(self.tokens, one, source), read(self.tokens, other, target)

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        names = ("tokens", "vocabulary", "min_count", "lowercase", "max_tokens", "train_pairs")
        shape = {name: getattr(self, name) for name in names} | self.choice()
        return prepare(self.name, self.sources(), self.version, shape, self._make)

    def _make(self, *folders: Path) -> dict[str, Any]:
        """Make tokens of each split and side, with the stop token at each end; texts;
        vocabularies."""
        corpus = {split: list(pairs) for split, pairs in self.corpus(*folders).items()}
        corpus["train"] = corpus["train"][: self.train_pairs or None]
        if self.lowercase:
            corpus = {s: [(x.lower(), y.lower()) for x, y in p] for s, p in corpus.items()}
        for split in SPLITS:
            if not corpus[split]:
                raise DataError(f"{self.name}: no pair of texts is left for {split}")
        sides = [[" ".join(pair[i].split()) for pair in corpus["train"]] for i in range(2)]
        learnt = learn(self.tokens, sides, self.languages, self.vocabulary, self.min_count)
        tokenisers = [read(self.tokens, *of) for of in zip(learnt, self.languages, strict=True)]
        targets = Counter(target for _, target in corpus["train"])
        content: dict[str, Any] = {
            f"learnt_{i}": np.frombuffer(made, np.uint8) if isinstance(made, bytes) else made
            for i, made in enumerate(learnt)
        }
        content["commonest"] = min(targets.items(), key=lambda c: (-c[1], c[0]))[0]
        for split, pairs in corpus.items():
            encoded = [
                [
                    [*t.encode(" ".join(text.split())), STOP]
                    for t, text in zip(tokenisers, pair, strict=True)
                ]
                for pair in pairs
            ]
            if split == "train" and self.max_tokens:
                fits = [max(map(len, pair)) <= self.max_tokens + 1 for pair in encoded]
                encoded = [pair for pair, fit in zip(encoded, fits, strict=True) if fit]
                pairs = [pair for pair, fit in zip(pairs, fits, strict=True) if fit]
                content["left_out"] = len(fits) - len(pairs)
                if not pairs:
                    raise DataError(
                        f"{self.name}: no training pair has at most {self.max_tokens} tokens a "
                        "side: raise max_tokens"
                    )
            if split == "train":
                content["longest"] = max(len(y) for _, y in encoded)
            for i, side in enumerate("xy"):
                flat, offsets = ragged(pair[i] for pair in encoded)
                content |= {f"{split}_{side}": flat, f"{split}_{side}_at": offsets}
                text = "\n".join(pair[i] for pair in pairs).encode()
                content[f"{split}_{side}_text"] = np.frombuffer(text, np.uint8)
        return content


def _lines(text: np.ndarray) -> list[str]:
    return text.tobytes().decode().split("\n")


def _rows(flat: np.ndarray, offsets: np.ndarray) -> list[bytes]:
    raw, size = flat.tobytes(), flat.dtype.itemsize
    at = (offsets * size).tolist()
    return [raw[a:b] for a, b in pairwise(at)]
