"""Translation of short user-interface strings between English and German."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from rnnbench.contract import Data, Port, Source, setting
from rnnbench.data import DataError, Pairs, Subwords, prepare, ragged
from rnnbench.data.tasks.translation import SPLITS, TranslationTask
from rnnbench_tasks._interface_strings import short_pairs, strings_of

_STRINGS = strings_of("homeassistant", "en", "de")
_LANGUAGES = ("en", "de")


@dataclass(frozen=True)
class UiEnDe(TranslationTask):
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

    version: ClassVar[int] = 3  # 1 had batches of other pairs; 2 another length_ratio

    direction: Literal["en-de", "de-en"] = setting("en-de", "source and target language")
    vocabulary: int = setting(
        1000, "subwords, shared by both languages", unit="subwords", low=400, high=65535
    )
    subwords: Literal["bpe", "unigram"] = setting("bpe", "how the subwords are learnt")
    max_tokens: int = setting(64, "longest side of a pair that is kept", unit="subwords", low=1)
    max_length: int = setting(
        0,
        "most subwords of an output; 0: max_tokens and one more",
        unit="subwords",
        low=0,
        added=True,
    )

    @property
    def source(self) -> Port:
        return Port(classes=self.vocabulary, vocabulary="subwords")

    @property
    def target(self) -> Port:
        return Port(
            classes=self.vocabulary,
            start=Subwords.START,
            stop=Subwords.STOP,
            longest=self.max_length or self.max_tokens + 1,
            vocabulary="subwords",
        )

    def tokeniser(self, side: Literal["source", "target"]) -> Subwords:
        return self._subwords

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
        return Pairs(sides[x], sides[y], pad=Subwords.PAD, pool=None)

    def commonest(self) -> str:
        return self._prepared["commonest"][self.direction.split("-")[1]]

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
    """Make tokens of each split and side, with the stop token at each end, and their maker."""
    pairs, commonest = short_pairs(folder)
    lines = [side for pair in pairs["train"] for side in pair[1:]]
    model = Subwords.train(lines, vocabulary, subwords)
    content: dict[str, Any] = {
        "model": np.frombuffer(model.model, np.uint8),
        "commonest": commonest,
        "left_out": {},
        "integrations": {s: sorted({integration for integration, *_ in pairs[s]}) for s in SPLITS},
    }
    for split in SPLITS:
        encoded = [tuple(map(model.encode, pair[1:])) for pair in pairs[split]]
        kept = [pair for pair in encoded if max(map(len, pair)) <= max_tokens]
        if not kept:
            raise DataError(
                f"no pair of {split} has at most {max_tokens} subwords: raise max_tokens "
                "(task.max_tokens)"
            )
        content["left_out"][split] = len(encoded) - len(kept)
        for i, language in enumerate(_LANGUAGES):
            flat, offsets = ragged([*pair[i], Subwords.STOP] for pair in kept)
            content |= {f"{split}_{language}": flat, f"{split}_{language}_at": offsets}
    return content
