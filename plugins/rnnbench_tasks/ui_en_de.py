"""Translation of short user-interface strings between English and German."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
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
from rnnbench.data import DataError, Pairs, Subwords, prepare, ragged
from rnnbench.nn.meters import Translation

_STRINGS = Source(
    name="homeassistant",
    origin="wheel:homeassistant==2024.3.3",
    files={
        "homeassistant/components/*/translations/en.json": "",
        "homeassistant/components/*/translations/de.json": "",
    },
    sha256="6e1ec2c07441d63fdcfb8acd2c4bbb6f68bc97330855784d3623d10c38fe3577",
    size=35_392_639,
    licence="Apache-2.0",
    citation="The Home Assistant authors, user-interface strings of release 2024.3.3",
)
_LONGEST = 80  # characters of either side: what makes a string short
_LANGUAGES = ("en", "de")
_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class UiEnDe(Task):
    """Translate short user-interface strings from English to German, or back.

    Strings of Home Assistant's integrations that have the same key in both languages, on one
    line of at most 80 characters, with a letter, without an address. Of strings alike but for
    case, digits, punctuation and placeholders one is kept. Integrations are dealt out by a hash
    of their names, 8 to train, 1 to validation, 1 to test; a validation or test string that
    occurs on either side of an earlier split, folded so, is left out.
    Subwords are learnt on both sides of the training part together; what they miss is spelt in
    bytes. Pairs with a side of more than `max_tokens` subwords are left out of every split.

    BLEU and chrF are those of sacreBLEU on plain, cased text; `Translation.signature` says how.
    Baselines: the source as it is, and the commonest target of the training integrations.

    Source: the strings are Home Assistant's; the task and its splits are this benchmark's own.
    """

    kind: ClassVar[Kind] = Kind.UNALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("bleu", "0-100", higher_is_better=True, help="sacreBLEU of greedy decoding"),
        Metric("chrf", "0-100", higher_is_better=True, help="chrF2 of greedy decoding"),
    )
    selection: ClassVar[str] = "bleu"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 3e-3,
        "budget.steps": 1000,
        "budget.validate_every": 100,
    }
    eval_batch: ClassVar[int] = 128

    direction: Literal["en-de", "de-en"] = setting("en-de", "source and target language")
    vocabulary: int = setting(
        1000, "subwords, shared by both languages", unit="subwords", low=400, high=65535
    )
    subwords: Literal["bpe", "unigram"] = setting("bpe", "how the subwords are learnt")
    max_tokens: int = setting(64, "longest side of a pair that is kept", unit="subwords", low=1)

    @property
    def source(self) -> Port:
        return Port(classes=self.vocabulary, vocabulary="subwords")

    @property
    def target(self) -> Port:
        return Port(
            classes=self.vocabulary,
            start=Subwords.START,
            stop=Subwords.STOP,
            longest=self.max_tokens + 1,
            vocabulary="subwords",
        )

    def words(self, side: Literal["source", "target"]) -> Sequence[str]:
        """The subwords without the mark of a beginning: "▁Licht" and "Licht" are one word."""
        return self._subwords.words

    def sources(self) -> tuple[Source, ...]:
        return (_STRINGS,)

    def data(self, split: str, seed: int) -> Data:
        sides = {
            language: (
                self._prepared[f"{split}_{language}"],
                self._prepared[f"{split}_{language}_at"],
            )
            for language in _LANGUAGES
        }
        x, y = self.direction.split("-")
        return Pairs(sides[x], sides[y], pad=Subwords.PAD)

    def meter(self, split: str) -> Translation:
        return Translation(self._subwords.decode, Subwords.STOP)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """The source as its own translation, and the commonest training target for all."""
        copy, commonest = self.meter(split), self.meter(split)
        target = self._prepared["commonest"][self.direction.split("-")[1]]
        data = self.data(split, 0)
        for key in data.order(1024, None):
            batch = data.batch(key, None)
            for x, y in zip(batch.x.tolist(), batch.y.tolist(), strict=True):
                copy.add(copy.text(x), copy.text(y))
                commonest.add(target, copy.text(y))
        return {"copy the source": copy.compute(), "commonest target": commonest.compute()}

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """A sentence of the source language."""
        tokens = [*self._subwords.encode(" ".join(text.split())), Subwords.STOP]
        x = torch.tensor([tokens])
        meter = self.meter("test")
        return Batch(x, torch.zeros_like(x)), lambda y: meter.text(y.tolist())

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """The first eight pairs with their translations, and where each subword looked most.

        Alignments are pairs of subword positions "source-target" from 0.
        """
        if prediction.decoded is None:
            return []
        text = self.meter("test").text
        rows = zip(batch.x.tolist(), batch.y.tolist(), prediction.decoded.tolist(), strict=True)
        shown = [
            {"source": text(x), "target": text(y), "prediction": text(guess)}
            for x, y, guess in list(rows)[:8]
        ]
        if prediction.attention is not None:
            for row, example in enumerate(shown):
                guess = prediction.decoded[row].tolist()
                length = guess.index(Subwords.STOP) if Subwords.STOP in guess else len(guess)
                looked = prediction.attention[row, :length].argmax(-1).tolist()
                example["alignment"] = " ".join(f"{s}-{t}" for t, s in enumerate(looked))
        return shown

    @cached_property
    def _subwords(self) -> Subwords:
        return Subwords(self._prepared["model"].tobytes())

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "vocabulary": self.vocabulary,
            "subwords": self.subwords,
            "max_tokens": self.max_tokens,
        }
        return prepare(self.name, self.sources(), self.version, shape, partial(_make, **shape))


def _make(folder: Path, vocabulary: int, subwords: Any, max_tokens: int) -> dict[str, Any]:
    """Tokens of each split and side, with the stop token at each end, and what made them."""
    pairs, commonest = short_pairs(folder)
    lines = [side for pair in pairs["train"] for side in pair[1:]]
    model = Subwords.train(lines, vocabulary, subwords)
    content: dict[str, Any] = {
        "model": np.frombuffer(model.model, np.uint8),
        "commonest": commonest,
        "left_out": {},
        "integrations": {s: sorted({integration for integration, *_ in pairs[s]}) for s in _SPLITS},
    }
    for split in _SPLITS:
        encoded = [tuple(map(model.encode, pair[1:])) for pair in pairs[split]]
        kept = [pair for pair in encoded if max(map(len, pair)) <= max_tokens]
        if not kept:
            raise DataError(
                f"no pair of {split} has at most {max_tokens} subwords: raise max_tokens"
            )
        content["left_out"][split] = len(encoded) - len(kept)
        for i, language in enumerate(_LANGUAGES):
            flat, offsets = ragged([*pair[i], Subwords.STOP] for pair in kept)
            content |= {f"{split}_{language}": flat, f"{split}_{language}_at": offsets}
    return content


def short_pairs(
    folder: Path,
) -> tuple[dict[str, list[tuple[str, str, str]]], dict[str, str]]:
    """(integration, English, German) of each split, and the commonest training string of each
    language, counted before repetitions are dropped."""
    dealt: dict[str, list[tuple[str, str, str]]] = {split: [] for split in _SPLITS}
    for path in sorted((folder / "homeassistant/components").glob("*/translations/de.json")):
        integration = path.parent.parent.name
        german = dict(_strings(json.loads(path.read_text("utf-8"))))
        english = _strings(json.loads(path.with_name("en.json").read_text("utf-8")))
        dealt[_split_of(integration)] += [
            (integration, text, german[key])
            for key, text in english
            if _is_short(text) and _is_short(german.get(key, ""))
        ]
    commonest = {
        language: min(Counter(p[i] for p in dealt["train"]).items(), key=lambda c: (-c[1], c[0]))[0]
        for i, language in enumerate(_LANGUAGES, start=1)
    }
    pairs: dict[str, list[tuple[str, str, str]]] = {}
    earlier: tuple[set[str], set[str]] = (set(), set())
    for split in _SPLITS:
        chosen = {
            (fold(english), fold(german)): (integration, english, german)
            for integration, english, german in reversed(dealt[split])
            if fold(english) not in earlier[0] and fold(german) not in earlier[1]
        }
        pairs[split] = list(chosen.values())[::-1]
        for side, seen in enumerate(earlier):
            seen |= {folded[side] for folded in chosen}
    return pairs, commonest


def fold(text: str) -> str:
    """What two strings share that differ in case, digits, punctuation or placeholders only."""
    text = re.sub(r"\{[^}]*\}|%\([^)]*\)\w|\d+", "0", text.casefold())
    return " ".join(re.findall(r"\w+", text))


def _strings(node: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The strings of a nested JSON object, with white space folded, by their paths."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _strings(child, (*key, name))
    elif isinstance(node, str) and "\n" not in node:
        yield key, " ".join(node.split())


def _is_short(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and "://" not in text and any(c.isalpha() for c in text)


def _split_of(integration: str) -> str:
    """The split of an integration: the same on every machine, and for every later release."""
    tenth = int.from_bytes(hashlib.sha256(integration.encode()).digest()[:4], "big") % 10
    return {0: "test", 1: "valid"}.get(tenth, "train")
