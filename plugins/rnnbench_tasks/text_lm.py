"""A language model of any text."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from rnnbench.contract import Metric, Source, setting
from rnnbench.data import own_files
from rnnbench.data.fetching.own_files import paths_of
from rnnbench.data.tasks.language import LanguageModel
from rnnbench.data.text.files import TokenRecipe
from rnnbench.data.text.tokens import Subwords


@dataclass(frozen=True, kw_only=True)
class TextLM(LanguageModel):
    """Predict the next word, character, byte or subword of your own text.

    Give one file, which is cut into training, validation and test, in this order; or three. In the
    place of a file a folder may stand, or a pattern such as "books/*.txt", whose files are read by
    their names, one after the other; those that validation or test names are left out of training.
    A path is relative to the working directory, and a name that ends in .gz is unpacked as it is
    read. Files are read in blocks, so they may be larger than memory; the tokens are kept on the
    disk. The files' content is part of the data version: results on other text never share a
    board.

    Units: words between blanks, with one end-of-sentence symbol a line; characters, with the
    line end; bytes; or subwords learnt on the first 20 million characters of the training text,
    with a stop symbol a line. Words and characters that training has fewer than `min_count`
    times, or that do not fit into `vocabulary`, are one unknown symbol, which counts as any
    other: many of them flatter a perplexity.
    Perplexity is per token of the unit. Bits per character are per character of the text as it
    is read, line ends included (of bytes: per byte), so that units can be compared, except where
    words are unknown.

    State is carried. Validation and test are read in 10 rows, each of which begins without
    context: on a short text that costs, and figures of other row counts are not comparable.
    Baselines: uniform, add-one unigram and bigram counts of the training part, and of words (up
    to 5 million of them) interpolated Kneser-Ney 5-grams.

    Source: Jurafsky & Martin, Speech and Language Processing, chapter 3, for perplexity; the
    text is the user's.
    """

    name: ClassVar[str] = "text-lm"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("perplexity", "", help="exp of nats per token, over the whole split"),
        Metric("bits_per_char", "bits", help="bits per character (or byte) of the split's text"),
    )
    tiny: ClassVar[Mapping[str, Any]] = {  # a text that every Python has
        "train": str(Path(argparse.__file__)),
    }
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 20,
        "optimizer.lr": 2e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }

    test_rows: int = setting(
        10, "rows in which test is read; each begins without context", unit="rows", low=1
    )
    train: str = setting(help="the training text, or one to be cut in three: a file, a folder, *")
    valid: str = setting("", "the validation text, in the same way; needs test as well")
    test: str = setting("", "the test text, in the same way; needs valid as well")
    valid_share: float = setting(
        0.05, "of one text that is cut: the share of its characters", low=0.0, high=0.9
    )
    test_share: float = setting(
        0.05, "of one text that is cut: the share of its characters", low=0.0, high=0.9
    )
    unit: Literal["word", "character", "byte", "subword"] = setting("word", "what a token is")
    encoding: str = setting("utf-8", "of the files, as Python names it, such as latin-1")
    min_count: int = setting(
        1, "of words and characters: occurrences in training that make one known", low=1
    )
    vocabulary: int = setting(
        0, "most symbols, the unknown one included; 0: all; of subwords exactly, 0: 8000", low=0
    )
    subwords: Literal["bpe", "unigram"] = setting("bpe", "how subwords are learnt")

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.valid) != bool(self.test):
            raise ValueError(
                f"{self.name}: give both task.valid and task.test, or neither: then task.train is "
                "cut by task.valid_share and task.test_share"
            )
        own = {f: getattr(self, f) for f in ("valid_share", "test_share")}
        if self.valid and any(share != 0.05 for share in own.values()):
            raise ValueError(f"{self.name}: there are three files, so no shares are used: {own}")
        if not self.valid and not (min(own.values()) > 0 and sum(own.values()) < 1):
            raise ValueError(
                f"{self.name}: one file is cut, so both shares are above 0 and their sum below 1: "
                f"{own}"
            )
        if self.unit in ("byte", "subword") and self.min_count != 1:
            raise ValueError(f"{self.name}: min_count acts on words and characters, and the unit "
                             f"is {self.unit}")  # fmt: skip
        if self.unit == "byte" and (self.vocabulary or self.encoding != "utf-8"):
            raise ValueError(f"{self.name}: bytes have 256 classes and no encoding: leave out "
                             "vocabulary and encoding")  # fmt: skip
        if self.unit == "subword" and 0 < self.vocabulary < Subwords.SMALLEST:
            raise ValueError(f"{self.name}: vocabulary={self.vocabulary}: subwords need "
                             f"{Subwords.SMALLEST} at least, for every byte")  # fmt: skip
        if self.unit != "subword" and self.subwords != "bpe":
            raise ValueError(f"{self.name}: subwords={self.subwords} acts where unit=subword")
        if self.vocabulary == 1:
            raise ValueError(f"{self.name}: a vocabulary of 1 has nothing to predict")

    def sources(self) -> tuple[Source, ...]:
        return self._files

    def advise_longer(self, split: str) -> str:
        units = " or task.unit=character" if self.unit in ("word", "subword") else ""
        if split == "train" or self.valid:
            return f"Give task.{split} a longer text{units and f', or set{units[3:]}'}"
        return f"Give task.train a longer text, or set task.{split}_share higher{units}"

    def recipe(self) -> TokenRecipe:
        names = tuple(
            next(iter(source.files)) if len(source.files) == 1 else tuple(source.files)
            for source in self._files
        )
        return TokenRecipe(
            names,
            self.unit,
            shares=(0.0, 0.0) if self.valid else (self.valid_share, self.test_share),
            encoding=self.encoding,
            unknown=self.unit in ("word", "character"),
            min_count=self.min_count,
            size=self.vocabulary or (8000 if self.unit == "subword" else 0),
            algorithm=self.subwords,
        )

    @cached_property
    def _files(self) -> tuple[Source, ...]:
        held = {"valid": self.valid, "test": self.test}
        held_out = tuple(own_files(path, role) for role, path in held.items() if path)
        others = {path for source in held_out for path in paths_of(source)}
        return own_files(self.train, "train", others), *held_out
