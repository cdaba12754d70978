"""Tasks that turn one text into another share BLEU, baselines and examples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Batch, Kind, Metric, Prediction, Task
from rnnbench.data.text.tokenisers import Tokeniser
from rnnbench.data.text.tokens import Subwords
from rnnbench.metrics.text import Translation

__all__ = ["MEASURES", "PAD", "SPLITS", "STOP", "TranslationTask"]

SPLITS = ("train", "valid", "test")
PAD, STOP = Subwords.PAD, Subwords.STOP  # as every tokeniser has them


MEASURES: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("bleu", "0-100", higher_is_better=True, help="sacreBLEU of greedy decoding"),
        Metric("chrf", "0-100", higher_is_better=True, help="chrF2 of greedy decoding"),
        Metric("exact", "share", higher_is_better=True, help="outputs that equal their target"),
        Metric("ter", "%", help="edits of words that lead to the references, of their words"),
        Metric("cer", "share", help="wrong characters, over those of the references"),
        Metric(
            "length_ratio",
            "",
            higher_is_better=None,
            help="total length of translations over that of references: 1 is best",
        ),
    )
}


class TranslationTask(Task):
    """A task that turns a text into another, told by BLEU, chrF and length ratio.

    Subclasses are dataclasses and write the ports, `sources`, `data`, `commonest` and `tokeniser`.
    """

    kind: ClassVar[Kind] = Kind.UNALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = tuple(
        MEASURES[name] for name in ("bleu", "chrf", "length_ratio")
    )
    selection: ClassVar[str] = "bleu"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 3e-3,
        "budget.steps": 1000,
        "budget.validate_every": 100,
    }
    eval_batch: ClassVar[int] = 128

    @abstractmethod
    def tokeniser(self, side: Literal["source", "target"]) -> Tokeniser:
        """Return what turns a side's text into tokens."""

    @abstractmethod
    def commonest(self) -> str:
        """Return the commonest target text of training."""

    def words(self, side: Literal["source", "target"]) -> Sequence[str]:
        """Return the words; of subwords without the mark of a beginning: "▁Licht" is "Licht"."""
        return self.tokeniser(side).words

    def meter(self, split: str) -> Translation:
        return Translation(self.tokeniser("target").decode, STOP)

    def texts(self, split: str) -> list[tuple[str, str]]:
        """Return source and target text of each pair, as its tokens tell them."""
        data, meter = self.data(split, 0), self.meter(split)
        source = self.tokeniser("source").decode
        batches = (data.batch(key, None) for key in data.order(1024, None))
        return [
            (source(x), meter.text(y))
            for b in batches
            for x, y in zip(b.x.tolist(), b.y.tolist(), strict=True)
        ]

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the source as its own translation, and the commonest training target for all."""
        copy, commonest, target = self.meter(split), self.meter(split), self.commonest()
        for x, y in self.texts(split):
            copy.add(x, y)
            commonest.add(target, y)
        return {"copy the source": copy.compute(), "commonest target": commonest.compute()}

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a sentence of the source language."""
        tokens = [*self.tokeniser("source").encode(" ".join(text.split())), STOP]
        x = torch.tensor([tokens])
        text_of = Translation(self.tokeniser("target").decode, STOP).text
        return Batch(x, torch.zeros_like(x)), lambda y: text_of(y.tolist())

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight pairs with their translations, and where each token looked most.

        Alignments are pairs of token positions "source-target" from 0.
        """
        if prediction.decoded is None:
            return []
        source = self.tokeniser("source").decode
        text = Translation(self.tokeniser("target").decode, STOP).text
        rows = zip(batch.x.tolist(), batch.y.tolist(), prediction.decoded.tolist(), strict=True)
        shown = [
            {"source": source(x), "target": text(y), "prediction": text(guess)}
            for x, y, guess in list(rows)[:8]
        ]
        if prediction.attention is not None:
            for row, example in enumerate(shown):
                guess = prediction.decoded[row].tolist()
                length = guess.index(STOP) if STOP in guess else len(guess)
                looked = prediction.attention[row, :length].argmax(-1).tolist()
                example["alignment"] = " ".join(f"{s}-{t}" for t, s in enumerate(looked))
        return shown
