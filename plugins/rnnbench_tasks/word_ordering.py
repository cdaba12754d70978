"""A bag of subwords, and the string that they were taken from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Kind, Metric, Port, Prediction, Source, Task, setting
from rnnbench.data import DataError, Pairs, Subwords, prepare, ragged
from rnnbench.data.tasks.translation import SPLITS, TranslationTask
from rnnbench.metrics import Translation
from rnnbench_tasks._interface_strings import short_pairs, strings_of

_STRINGS = strings_of("homeassistant", "en", "de")


@dataclass(frozen=True)
class WordOrdering(Task):
    """Write the English string whose subwords are given as a bag: how often each, in no order.

    The strings are the English ones of `ui-en-de`, of the same splits, with two words or more and
    at most `max_tokens` subwords. Subwords are learnt on the training part. x counts each of them
    in the string, y is the string: it holds what x says and an order that only the language tells.

    BLEU and chrF are those of sacreBLEU on plain, cased text, of greedy decoding.
    Variant: the papers order the words of Penn Treebank sentences and may use no other words; here
    a decoder may write any subword.
    Baselines: the subwords in the vocabulary's order, and the commonest training string for all.

    Source: the form of the task after Schmaltz, Rush & Shieber (2016), Word ordering without
    syntax, arXiv:1604.08633; the strings are Home Assistant's.
    """

    version: ClassVar[int] = 2  # 1 had a length_ratio of the smaller over the larger
    kind: ClassVar[Kind] = Kind.VEC_TO_SEQ
    metrics: ClassVar[tuple[Metric, ...]] = TranslationTask.metrics
    selection: ClassVar[str] = "bleu"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 3e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }
    eval_batch: ClassVar[int] = 128

    vocabulary: int = setting(1000, "subwords", unit="subwords", low=400, high=65535)
    max_tokens: int = setting(16, "longest string that is kept", unit="subwords", low=2)
    max_length: int = setting(
        0,
        "most subwords of an output; 0: max_tokens and one more",
        unit="subwords",
        low=0,
        added=True,
    )

    @property
    def source(self) -> Port:
        return Port(width=self.vocabulary, layout="vector")

    @property
    def target(self) -> Port:
        return Port(
            classes=self.vocabulary,
            start=Subwords.START,
            stop=Subwords.STOP,
            longest=self.max_length or self.max_tokens + 1,
        )

    def sources(self) -> tuple[Source, ...]:
        return (_STRINGS,)

    def words(self, side: Literal["source", "target"]) -> tuple[str, ...]:
        """Return each subword without the mark of a word's beginning."""
        return self._subwords.words

    def data(self, split: str, seed: int) -> Data:
        strings = self._prepared[split], self._prepared[f"{split}_at"]
        return Bags(Pairs(strings, strings, pad=Subwords.PAD), self.vocabulary)

    def meter(self, split: str) -> Translation:
        return Translation(self._subwords.decode, Subwords.STOP)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        ordered, commonest = self.meter(split), self.meter(split)
        data = self.data(split, 0)
        for key in data.order(1024, None):
            batch = data.batch(key, None)
            for x_V, y_S in zip(batch.x, batch.y.tolist(), strict=True):
                text = ordered.text(y_S)
                every = torch.arange(len(x_V)).repeat_interleave(x_V.long())
                ordered.add(self._subwords.decode(every.tolist()), text)
                commonest.add(self._prepared["commonest"], text)
        return {"vocabulary order": ordered.compute(), "commonest string": commonest.compute()}

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read words in any order, with blanks between them."""
        tokens = torch.tensor([self._subwords.encode(" ".join(text.split()))])
        if not tokens.numel():
            raise ValueError(f"{self.name} orders words, and was given none")
        empty = torch.zeros(1, self.target.longest or 1, dtype=torch.long)
        detokenise = Translation(self._subwords.decode, Subwords.STOP).text
        return Batch(counts(tokens, self.vocabulary), empty), lambda y: detokenise(y.tolist())

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight strings as they are and as they were put out."""
        if prediction.decoded is None:
            return []
        text = Translation(self._subwords.decode, Subwords.STOP).text
        rows = zip(batch.y[:8].tolist(), prediction.decoded[:8].tolist(), strict=True)
        return [{"target": text(y), "prediction": text(guess)} for y, guess in rows]

    @cached_property
    def _subwords(self) -> Subwords:
        return Subwords(self._prepared["model"].tobytes())

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        shape = {"vocabulary": self.vocabulary, "max_tokens": self.max_tokens}
        return prepare(self.name, self.sources(), self.version, shape, partial(_make, **shape))


class Bags(Data):
    """Strings, and before each the bag of its subwords.

    Args:
        strings: the strings as pairs of themselves; batches are of like length.
        classes: of the vocabulary.
    """

    def __init__(self, strings: Pairs, classes: int) -> None:
        self.strings, self.classes = strings, classes

    def __len__(self) -> int:
        return len(self.strings)

    def order(self, size: int, rng: torch.Generator | None) -> list[np.ndarray]:
        return self.strings.order(size, rng)

    def batch(self, key: np.ndarray, rng: torch.Generator | None) -> Batch:
        """Return x (B, V) counts, y (B, S) tokens."""
        pairs = self.strings.batch(key, rng)
        return Batch(counts(pairs.y, self.classes), pairs.y, y_len=pairs.y_len)


def counts(tokens_BS: Tensor, classes: int) -> Tensor:
    """Return (B, V): how often each subword occurs in a row; padding and stop are none."""
    words_BS = (tokens_BS != Subwords.PAD) & (tokens_BS != Subwords.STOP)
    zero_BV = torch.zeros(len(tokens_BS), classes)
    return zero_BV.scatter_add(1, tokens_BS, words_BS.float())


def _make(folder: Path, vocabulary: int, max_tokens: int) -> dict[str, Any]:
    """Make the tokens of each split with the stop token at the end, and what made them."""
    pairs, commonest = short_pairs(folder)
    texts = {
        split: list(dict.fromkeys(text for _, text, _ in pairs[split] if len(text.split()) > 1))
        for split in SPLITS
    }
    model = Subwords.train(texts["train"], vocabulary, "bpe")
    content: dict[str, Any] = {
        "model": np.frombuffer(model.model, np.uint8),
        "commonest": commonest["en"],
    }
    for split in SPLITS:
        kept = [t for t in map(model.encode, texts[split]) if len(t) <= max_tokens]
        if not kept:
            raise DataError(
                f"no string of {split} has at most {max_tokens} subwords: raise max_tokens"
            )
        content[split], content[f"{split}_at"] = ragged([*t, Subwords.STOP] for t in kept)
    return content
