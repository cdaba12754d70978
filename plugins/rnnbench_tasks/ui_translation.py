"""Translation of short user-interface strings between any two of sixteen languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from rnnbench.contract import Source, setting
from rnnbench.data.tasks.corpus_translation import Corpus, TextTranslation
from rnnbench.data.tasks.translation import SPLITS
from rnnbench_tasks._interface_strings import short_pairs, strings_of


@dataclass(frozen=True)
class UiTranslation(TextTranslation):
    """Translate short user-interface strings between two languages.

    The strings of `ui-en-de` in other languages, under the same rules: strings of Home Assistant's
    integrations with the same key in both languages, on one line of at most 80 characters, with a
    letter, without an address; of strings alike but for case, digits, punctuation and placeholders
    one is kept; whole integrations are dealt out by a hash of their names, 8 to train, 1 to
    validation, 1 to test, and what occurs on either side of an earlier split is left out.
    Languages are those whose words stand between blanks, as BLEU's tokens need. Each is a source of
    its own, out of one wheel.
    Baselines: the source as it is, and the commonest target string of training.

    Source: the strings are Home Assistant's; the task and its splits are this benchmark's own.
    """

    version: ClassVar[int] = 2  # 1 had a length_ratio of the smaller over the larger
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 3e-3,
        "budget.steps": 1000,
        "budget.validate_every": 100,
    }
    tiny: ClassVar[dict[str, Any]] = {"train_pairs": 800, "vocabulary": 400}

    source_language: Literal[
        "bg", "ca", "cs", "de", "en", "es", "et", "fi",
        "fr", "hu", "it", "nl", "pl", "pt", "ru", "sv",
    ] = setting("en", "language of the source")  # fmt: skip
    target_language: Literal[
        "bg", "ca", "cs", "de", "en", "es", "et", "fi",
        "fr", "hu", "it", "nl", "pl", "pt", "ru", "sv",
    ] = setting("fr", "language of the target")  # fmt: skip
    vocabulary: int = setting(
        1000, "subwords, shared by both sides; of words the most of a side", low=300, high=65535
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source_language == self.target_language:
            raise ValueError(
                f"ui-translation: source and target are both {self.source_language}; choose two"
            )

    @property
    def languages(self) -> tuple[str, str]:
        return self.source_language, self.target_language

    def sources(self) -> tuple[Source, ...]:
        return tuple(strings_of(f"homeassistant-{code}", code) for code in self.languages)

    def choice(self) -> dict[str, Any]:
        return {"languages": list(self.languages)}

    def corpus(self, *folders: Path) -> Corpus:
        pairs, _ = short_pairs(folders[0], self.languages, folders[1])
        return {split: [pair[1:] for pair in pairs[split]] for split in SPLITS}
