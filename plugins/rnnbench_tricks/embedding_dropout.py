"""Dropout of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from rnnbench.contract import Task, Trick, setting
from rnnbench_tricks._word_dropout import drop_words


@dataclass(frozen=True)
class EmbeddingDropout(Trick):
    """Whole words are dropped while training: rows of the embedding, not single occurrences.

    Ẽ = diag(m) E / (1 - rate),  m ~ Bernoulli(1 - rate) for each word type, one draw a pass. A
    readout that shares its matrix with the embedding (tied-weights) drops nothing.

    Null value: rate = 0.

    Source: Gal & Ghahramani (2016), arXiv:1512.05287, section 4.2; scaled as in Merity, Keskar &
    Socher (2017), arXiv:1708.02182, section 4.3.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"rate": 0.0}

    rate: float = setting(0.1, "dropped share of word types", low=0.0, high=0.95, search=(0.0, 0.5))

    def sites(self) -> tuple[str, ...]:
        return () if self.rate == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        drop_words(
            model, task, self.rate, f"{self.name}: rate = {self.rate}",
            f"Drop {self.name}.",
        )  # fmt: skip
        return model
