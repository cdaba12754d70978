"""Brackets of several types, nested to a bounded depth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from rnnbench.contract import Batch, Meter, Metric, Prediction, setting
from rnnbench.data.tasks.synthetic import Figures, score
from rnnbench.metrics import LanguageModelling
from rnnbench_tasks._grammars import Strings

_PAIRS = ("()", "[]", "{}", "<>", "⟨⟩", "⟦⟧", "⟪⟫", "⦃⦄")
_SURE = 0.8  # of the probability of all closing brackets, for a prediction to count


@dataclass(frozen=True)
class Dyck(Strings):
    """Predict the next bracket of well-nested strings of `types` types, at most `depth` deep.

    The language Dyck-(k, m). A string stands between two boundaries, one symbol. Every string of a
    length is as likely as every other, and every even length from 2 to `longest`; in test the
    lengths go from there to twice as much, so that what is measured is whether the rule was
    learnt, for which a memory of `depth` brackets is enough.

    "closing" is the share of closing brackets to which a model gives more than 0.8 of the
    probability that it gives to all closing brackets: whether it closes, it cannot know, but what.
    "bits" is the mean loss.
    Variant: the paper's strings come from a random walk; it has types (k) 2, 8, 32, 128 and depth
    (m) 3 with lengths up to 84, or depth 5 up to 180, and twice as long ones in test; it takes the
    mean over the distances of opening and closing, where every closing bracket counts alike here.
    Baselines: pairs of symbols counted in training, which closes what was opened just before; and
    the grammar, which closes all rightly: its bits are those of drawing a length of the split and
    a string of it, which in test no model can know that saw other lengths.
    Solved: closing at least 0.99 in test. The paper shows accuracies near 1 for networks of
    O(depth · log types) units and names no threshold; this one is this benchmark's.
    Training items are drawn afresh in every epoch; validation and test are fixed. Short strings of
    validation occur in training too; no string of test does.

    Source: Hewitt et al. (2020), RNNs can generate bounded hierarchical languages with optimal
    memory, arXiv:2010.07515.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("closing", "share", higher_is_better=True, help="closing brackets known for sure"),
        Metric("bits", "bits", help="nats a symbol / ln 2, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 5e-3,
        "budget.steps": 3000,
        "budget.validate_every": 300,
    }
    held_out_seeds: ClassVar[Mapping[str, int]] = {"valid": 2020_01, "test": 2020_02}
    tiny: ClassVar[Mapping[str, Any]] = {
        "longest": 16, "train_items": 600, "valid_items": 100, "test_items": 100,
    }  # fmt: skip

    types: int = setting(2, "types of brackets (k)", low=2, high=8, search=(2, 8))
    depth: int = setting(3, "most brackets that are open at once (m)", low=1, search=(1, 5))
    longest: int = setting(40, "brackets of the longest training string", unit="steps", low=2)

    @property
    def symbols(self) -> Sequence[str]:
        """Return the boundary, the opening brackets, the closing brackets in the same order."""
        pairs = _PAIRS[: self.types]
        return ("|", *(p[0] for p in pairs), *(p[1] for p in pairs))

    def lengths(self, split: str) -> range:
        """Return the numbers of brackets that strings of a split have."""
        low, high = (self.longest + 2, 2 * self.longest) if split == "test" else (2, self.longest)
        return range(low + low % 2, high + 1, 2)

    def string(self, draw: Callable[[], float], split: str) -> list[int]:
        lengths = self.lengths(split)
        remaining = lengths[int(draw() * len(lengths))]
        tokens = [0]
        stack: list[int] = []
        while remaining:
            remaining -= 1
            deeper = self._ways(remaining, len(stack) + 1)
            if draw() * (deeper + self._ways(remaining, len(stack) - 1)) < deeper:
                stack.append(1 + int(draw() * self.types))
                tokens.append(stack[-1])
            else:
                tokens.append(stack.pop() + self.types)
        return [*tokens, 0]

    def _ways(self, left: int, open_: int) -> int:
        """Return how many ways lead from `open_` open brackets to none in `left` steps.

        Types are not told apart.
        """
        table = self._table
        return table[left][open_] if 0 <= open_ <= self.depth else 0

    @cached_property
    def _table(self) -> list[list[int]]:
        """Return the ways by [left][open]."""
        rows = [[1] + [0] * self.depth]
        for _ in range(2 * self.longest):
            padded = [0, *rows[-1], 0]
            rows.append([a + b for a, b in zip(padded[:-2], padded[2:], strict=True)])
        return rows

    def meter(self, split: str) -> Meter:
        return Brackets(self.types)

    def baselines(self, split: str) -> Figures:
        data = self.data(split, 0)
        batches = [data.batch(key, None) for key in data.order(1024, None)]
        bits = symbols = 0.0
        for batch in batches:
            assert batch.x_len is not None
            for length in (batch.x_len - 1).tolist():
                bits += math.log2(len(self.lengths(split)) * self._ways(length, 0))
                bits += length / 2 * math.log2(self.types)
                symbols += length + 1
        return {
            "bigram, add-one": score(self, split, self.bigram()),
            "grammar": {"closing": 1.0, "bits": bits / symbols},
        }


class Brackets(Meter):
    """Measures "closing" and "bits"; see `Dyck`.

    Args:
        types: of brackets; the closing ones are the last so many symbols.
    """

    def __init__(self, types: int) -> None:
        self.types = types
        self.bits = LanguageModelling(("bits_per_char",))
        self.sure = self.count = 0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        self.bits.update(batch, prediction)
        out = prediction.out.cpu()
        closes = prediction.mask.cpu() & (batch.y.cpu() > self.types)
        p_NK = out[closes][:, -self.types :].double().softmax(-1)
        which_N = batch.y.cpu()[closes] - self.types - 1
        self.sure += int((p_NK.gather(1, which_N[:, None]) > _SURE).sum())
        self.count += len(which_N)

    def compute(self) -> dict[str, float]:
        bits = self.bits.compute()["bits_per_char"]
        return {"closing": self.sure / self.count, "bits": bits}
