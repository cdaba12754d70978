"""Classes of questions, by what kind of answer they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from rnnbench.contract import Source, setting
from rnnbench.data import fetch
from rnnbench.data.tasks.labelled_text import Item, LabelledText, tenth_of

_QC = Source(
    name="qc",
    origin="https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/qc.zip",
    files={
        "qc/train.txt": "9e4c8bdcaffb96ed61041bd64b564183d52793a8e91d84fc3a8646885f466ec3",
        "qc/test.txt": "033f22c028c2bbba9ca682f68ffe204dc1aa6e1cf35dd6207f2d4ca67f0d0e8e",
    },
    sha256="091fb01e50883014d150acb7d5013d787136968b3f955ae01725a65e7e80f304",
    size=125_456,
    licence="not stated",
    citation="Li & Roth (2002), Experimental data for question classification",
)


@dataclass(frozen=True)
class Trec(LabelledText):
    """Say what kind of answer a question asks for.

    5,452 questions for training, of which those whose hash says so, about 1 in 10, are for
    validation, and the 500 of TREC 10 for test. 6 coarse classes, or the 50 fine ones that occur.
    Some questions of the test stand in the training file too, which papers leave as it is;
    `distinct` leaves them out of training and validation.
    Baseline: the commonest class of training.

    Source: Li & Roth (2002), Learning question classifiers, COLING; test from Voorhees (2001).
    """

    name: ClassVar[str] = "trec"

    tiny: ClassVar[dict[str, Any]] = {"distinct": True}

    classes: Literal["coarse", "fine"] = setting("coarse", "6 classes, or 50")
    distinct: bool = setting(False, "leave out of training the questions that the test has")

    def sources(self) -> tuple[Source, ...]:
        return (_QC,)

    def choice(self) -> dict[str, Any]:
        return {"classes": self.classes, "distinct": self.distinct}

    @cached_property
    def labels(self) -> Sequence[str]:
        return sorted({str(item.answer) for item in self._read(fetch(_QC), "train")})

    def corpus(self, *folders: Path) -> Mapping[str, Sequence[Item]]:
        items, test = (self._read(folders[0], part) for part in ("train", "test"))
        if self.distinct:
            test_texts = {tuple(item.words) for item in test}
            items = [item for item in items if tuple(item.words) not in test_texts]
        is_valid = [tenth_of([str(w) for w in item.words]) == 0 for item in items]
        return {
            "train": [item for item, out in zip(items, is_valid, strict=True) if not out],
            "valid": [item for item, out in zip(items, is_valid, strict=True) if out],
            "test": test,
        }

    def _read(self, folder: Path, part: str) -> list[Item]:
        """Read lines of a label such as DESC:manner and the question's words."""
        items = []
        for line in (folder / f"qc/{part}.txt").read_text("latin-1").split("\n"):
            if line.strip():
                label, *words = line.split()
                items.append(Item(words, label if self.classes == "fine" else label.split(":")[0]))
        return items
