"""The counting language aⁿbⁿ as one endless text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Task, setting
from rnnbench.data import Stream, add_one_nats
from rnnbench.metrics import LanguageModelling

SYMBOLS = "ab\n"
_SEEDS = {"train": 0, "valid": 1702_01, "test": 1702_02}  # held-out texts are the same for all


@dataclass(frozen=True)
class AnBn(Task):
    """Predict the next character of a text of n times a, a line end, n times b, a line end.

    n is drawn anew each time, uniformly from `low` to `high`. Nothing tells a sequence from the
    next, so that a model has to count over up to `high` steps while it reads an endless stream.
    State is carried from batch to batch; evaluation reads one row.

    Baselines: add-one unigram and bigram counts of the training text; and the best possible,
    log2(high - low + 1) bits for each n, shared among its n + n + 2 characters: for (1, 32)
    5 / 35 = 0.1429 bits a character.
    Solved: bits_per_char within 0.01 of that.

    Source: Tallec & Ollivier (2017), arXiv:1702.05043, section 5 (aⁿbⁿ with n from 1 to 32).
    """

    name: ClassVar[str] = "anbn"
    kind: ClassVar[Kind] = Kind.ALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("bits_per_char", "bits", help="nats per character / ln 2, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 1,
        "optimizer.lr": 1e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }
    eval_batch: ClassVar[int] = 1
    continues: ClassVar[bool] = True

    low: int = setting(1, "least n", low=1)
    high: int = setting(32, "greatest n", low=1)
    length: int = setting(16, "steps of a training batch, which gradients flow back through",
                          unit="steps", low=1)  # fmt: skip
    characters: int = setting(
        2_000_000, "length of the training text, after which it begins anew", low=2
    )
    eval_characters: int = setting(20_000, "length of the texts for validation and test", low=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.high < self.low:
            raise ValueError(f"{self.name}: high = {self.high} is below low = {self.low}")

    @property
    def source(self) -> Port:
        return Port(classes=len(SYMBOLS), vocabulary="characters")

    @property
    def target(self) -> Port:
        return Port(classes=len(SYMBOLS), vocabulary="characters")

    def words(self, side: Literal["source", "target"]) -> Sequence[str]:
        return tuple(SYMBOLS)

    def data(self, split: str, seed: int) -> Data:
        if split == "train":
            return Stream(self.text(split, seed), self.length)
        return Stream(self.text(split, 0), 1000)

    def text(self, split: str, seed: int) -> np.ndarray:
        """Return (N,) tokens: 0 is a, 1 is b, 2 ends a line."""
        size = self.characters if split == "train" else self.eval_characters
        rng = np.random.default_rng([_SEEDS[split], seed])
        n_K = rng.integers(self.low, self.high + 1, size // (2 * self.low + 2) + 1)
        runs_K4 = np.stack([n_K, np.ones_like(n_K), n_K, np.ones_like(n_K)], 1)
        tokens_K4 = np.broadcast_to(np.array([0, 2, 1, 2], np.uint8), runs_K4.shape)
        return np.repeat(tokens_K4.ravel(), runs_K4.ravel())[:size]

    def meter(self, split: str) -> Meter:
        return LanguageModelling(("bits_per_char",))

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score models counted on the training text; "counting" is the best possible."""
        nats = add_one_nats(self.text("train", 0), self.text(split, 0), len(SYMBOLS))
        best = math.log2(self.high - self.low + 1) / (self.low + self.high + 2)
        scores = {
            f"{name}, add-one": {"bits_per_char": n / math.log(2)} for name, n in nats.items()
        }
        return {**scores, "counting": {"bits_per_char": best}}

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a prompt of the letters a and b and line ends."""
        if not text or set(text) - set(SYMBOLS):
            raise ValueError(f"{self.name} reads a, b and line ends; got {text[:60]!r}")
        x = torch.tensor([[SYMBOLS.index(c) for c in text]])
        return Batch(x, x), lambda y: "".join(SYMBOLS[i] for i in y.tolist())
