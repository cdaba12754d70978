"""Sentences of film reviews, for or against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rnnbench.contract import Source, setting
from rnnbench.data.tasks.labelled_text import Item, LabelledText, tenth_of

_CORPORA = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/"
_POLARITY = Source(
    name="sentence_polarity",
    origin=f"{_CORPORA}sentence_polarity.zip",
    files={
        "sentence_polarity/rt-polarity.neg": (
            "614274f81185a850e5a88d533d4679f916d6f62e9af6f0b4ec71fb94bf466ea5"
        ),
        "sentence_polarity/rt-polarity.pos": (
            "c2dc6b2f55bcf725725372916287cc3f8f9b19402edaa9167de5287cb3ade421"
        ),
    },
    sha256="6e1ed4405b65c7eabf1d199a7f7c437091ac21da0ea7467b410a74062574566b",
    size=490_256,
    licence="CC BY 4.0",
    citation="Pang & Lee (2005), Sentence polarity dataset v1.0",
)


@dataclass(frozen=True)
class SentencePolarity(LabelledText):
    """Say whether a sentence of a film review is for or against the film.

    5,331 sentences of each. There is no standard split: papers report the mean over ten folds.
    Here a sentence's fold is a hash of its words; fold `fold` is the test, the next one validation,
    the other eight training. For the papers' figure, run every fold.
    Baseline: the commonest class of training.

    Source: Pang & Lee (2005), Seeing stars, ACL, arXiv:cs/0506075.
    """

    fold: int = setting(0, "which tenth is the test", low=0, high=9)

    labels: ClassVar[tuple[str, ...]] = ("negative", "positive")  # type: ignore[assignment]

    def sources(self) -> tuple[Source, ...]:
        return (_POLARITY,)

    def choice(self) -> dict[str, Any]:
        return {"fold": self.fold}

    def corpus(self, *folders: Path) -> Mapping[str, Sequence[Item]]:
        splits: dict[str, list[Item]] = {"train": [], "valid": [], "test": []}
        for label in self.labels:
            name = f"sentence_polarity/rt-polarity.{label[:3]}"
            for line in (folders[0] / name).read_text("utf-8").split("\n"):
                if words := line.split():
                    part = (tenth_of(words) - self.fold) % 10
                    split = {0: "test", 1: "valid"}.get(part, "train")
                    splits[split].append(Item(words, label))
        return splits
