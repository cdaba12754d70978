"""Language modelling: what its tasks share. Text as one stream, whose state is carried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, DataCard, Kind, Meter, Port, Task, setting
from rnnbench.data.batches import Stream
from rnnbench.data.cards.text_card import text_card, write_files
from rnnbench.data.prepared import prepare
from rnnbench.data.text.corpus import UNKNOWN, Vocabulary, make_corpus
from rnnbench.data.text.files import END, SPLITS, TokenRecipe
from rnnbench.data.text.ngrams import KneserNey, add_one_nats
from rnnbench.data.text.tokens import Subwords
from rnnbench.errors import ShortTextError
from rnnbench.metrics.text import LanguageModelling

__all__ = ["LanguageModel"]

ORDER = 5  # of the Kneser-Ney baseline
COUNTED = 5_000_000  # training tokens that it is counted on at most: it holds them all


@dataclass(frozen=True)
class LanguageModel(Task):
    """Base of tasks that predict the next token of a text; subclasses write `recipe`.

    A split is one stream of tokens. State is carried from chunk to chunk, in training and at
    evaluation. Every token but a split's first is predicted exactly once, and perplexity is
    exp(nats / predictions) over the whole split, never a mean over batches.

    Rows of a split are read in parallel, and each of them begins without context.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    selection: ClassVar[str] = "loss"
    continues: ClassVar[bool] = True

    length: int = setting(35, "steps that gradients flow back through", unit="steps", low=1)
    eval_batch: int = setting(  # type: ignore[misc]
        10, "rows in which validation is read; each begins without context", unit="rows", low=1
    )
    test_rows: int = setting(
        1, "rows in which test is read; each begins without context", unit="rows", low=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test_rows > self.eval_batch:
            raise ValueError(
                f"{self.name}: test_rows={self.test_rows} is above eval_batch={self.eval_batch}, "
                "which is the most rows of any evaluation"
            )

    def recipe(self) -> TokenRecipe:
        """Return how the text becomes tokens."""
        raise NotImplementedError

    @property
    def source(self) -> Port:
        return self._port

    @property
    def target(self) -> Port:
        return self._port

    def words(self, side: Literal["source", "target"]) -> Sequence[str]:
        """Return the symbols as they are written; the end of a line and the unknown are none."""
        if isinstance(self._symbols, Subwords):
            return self._symbols.words
        at = self._symbols.unknown
        return tuple("" if i == at or s == END else s for i, s in enumerate(self._symbols.symbols))

    def data(self, split: str, seed: int) -> Data:
        """Return the stream of a split.

        Raises:
            ShortTextError: it has fewer than two tokens, one to read and one to predict.
        """
        count = len(self._corpus[split])
        if count < 2:
            has = f"one {self.recipe().unit}" if count else f"no {self.recipe().unit}"
            raise ShortTextError(
                f"{self.name}: the {split} text has {has}, and needs two at least: one to read and "
                f"one to predict.\n  {self.advise_longer(split)}"
            )
        return Stream(self._corpus[split], self.length, self.test_rows if split == "test" else None)

    def advise_longer(self, split: str) -> str:
        """Say how a text that is too short is made longer."""
        return f"Give a longer {split} text"

    def meter(self, split: str) -> Meter:
        share = len(self._corpus[split]) / self._corpus["characters"][split]
        return LanguageModelling([m.name for m in self.metrics], tokens_per_character=share)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score models that count the training text; of words Kneser-Ney's 5-grams as well."""
        train, text, classes = self._corpus["train"], self._corpus[split], len(self._symbols)
        nats = {"uniform": math.log(classes)}
        for name, value in add_one_nats(train, text, classes).items():
            nats[f"{name}, add-one"] = value
        if self.recipe().unit == "word" and ORDER < len(train) <= COUNTED:
            nats["5-gram, Kneser-Ney"] = self._kneser_ney[split]
        share = len(text) / self._corpus["characters"][split]
        every = {
            name: {"perplexity": _exp(n), "bits_per_char": n * share / math.log(2)}
            for name, n in nats.items()
        }
        declared = [m.name for m in self.metrics]
        return {name: {k: scores[k] for k in declared} for name, scores in every.items()}

    def card(self) -> DataCard:
        corpus, symbols = self._corpus, self._symbols
        unknown: int | None = None
        if isinstance(symbols, Vocabulary) and symbols.unit != "byte":
            written, unknown = symbols.symbols, symbols.unknown
        else:
            written = tuple(symbols.decode([t]) for t in range(len(symbols)))
        files = [name for source in self.sources() for name in source.files]
        return text_card(
            {split: corpus[split] for split in SPLITS}, corpus["characters"], written,
            self.recipe().unit, unknown, write_files(files) or self.name,
        )  # fmt: skip

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a prompt in the units of the text.

        What the vocabulary lacks is the unknown symbol.
        """
        if isinstance(self._symbols, Subwords):
            tokens = self._symbols.encode(text)
        elif self._symbols.unit == "byte":
            tokens = list(text.encode())
        else:
            if self._symbols.unit == "word":
                text = " ".join(self._in_vocabulary(word) for word in text.split())
            try:
                tokens = self._symbols.encode(text).tolist()
            except ValueError as error:
                raise ValueError(f"{self.name} cannot read {text[:60]!r}: {error}") from None
        if not tokens:
            raise ValueError(f"{self.name} goes on from a prompt of at least one token")
        x = torch.tensor([tokens])
        return Batch(x, x), lambda y: self._symbols.decode(y.tolist())

    def _in_vocabulary(self, word: str) -> str:
        """Return the word, or what stands for it where a corpus writes <unk> itself."""
        assert isinstance(self._symbols, Vocabulary)
        symbols = self._symbols.symbols
        return word if word in symbols or UNKNOWN not in symbols else UNKNOWN

    @cached_property
    def _port(self) -> Port:
        unit = self.recipe().unit
        return Port(classes=len(self._symbols), vocabulary=f"{unit}s")

    @cached_property
    def _symbols(self) -> Vocabulary | Subwords:
        if "model" in self._corpus:
            return Subwords(self._corpus["model"].tobytes())
        return Vocabulary(self.recipe().unit, self._corpus["symbols"], self._corpus["unknown"])

    @cached_property
    def _corpus(self) -> dict[str, Any]:
        recipe = self.recipe()
        make = partial(make_corpus, recipe)
        return prepare(self.name, self.sources(), self.version, asdict(recipe), make)

    @cached_property
    def _kneser_ney(self) -> dict[str, float]:
        """Return mean nats by split, which are kept on the disk: counting takes seconds."""

        def count(*folders: object) -> dict[str, Any]:
            model = KneserNey(self._corpus["train"], len(self._symbols), ORDER)
            return {split: float(model.nats(self._corpus[split])[1:].mean()) for split in SPLITS}

        settings = {"kneser-ney": ORDER, **asdict(self.recipe())}
        return prepare(f"{self.name}: n-grams", self.sources(), self.version, settings, count)


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 709 else math.inf
