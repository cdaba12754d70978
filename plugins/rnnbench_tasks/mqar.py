"""Multi-query associative recall: look up the values of several keys in one sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn.functional import one_hot

from rnnbench.contract import Batch, Port, setting
from rnnbench.data.tasks.synthetic import Figures, score
from rnnbench_tasks._recall import BLANK, Recall


@dataclass(frozen=True)
class MQAR(Recall):
    """Read pairs of keys and values, then say each key's value when the key comes again.

    A sequence begins with `pairs` keys, each followed by its value; keys differ from each other,
    and so do values. In the rest every key comes once more, at a distance whose frequency falls
    off as a power of it, and at that step its value is asked for.
    Input tokens: 1 … `vocabulary`/2 - 1 are keys, from `vocabulary`/2 on they are values. Class v
    of the target is value v - 1 + `vocabulary`/2, and class 0 says that nothing is asked for.

    Variant: the paper's figure 2 has vocabulary 8192, 4, 8, 16, 32, 64 pairs in 64, 64, 128, 256,
    512 steps, and gaps of weight g^(power - 1) with power = 0.01. The steps that are no queries are
    filled at random, here with values only, so that a key in the second part is always a query: the
    original fills them with any token and leaves these steps out of the loss, where here every
    step counts and the target of these is class 0. Accuracy is over the queries, as there.
    Trivial baselines: any value, 1 of `vocabulary`/2; and what does without associations, any of
    the values seen: accuracy 1 / `pairs`, and `pairs` · ln(`pairs`) / `length` nats a step.
    Solved: an accuracy of at least 0.99. The paper shows accuracies and names no threshold; this
    one is this benchmark's.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Arora et al. (2023), Zoology, arXiv:2312.04927, section 4 and appendix.
    """

    name: ClassVar[str] = "mqar"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 1e-3,
        "budget.steps": 4000,
        "budget.validate_every": 400,
    }
    eval_batch: ClassVar[int] = 64  # outputs are large: (rows, length, vocabulary / 2 + 1)
    held_out_seeds: ClassVar[Mapping[str, int]] = {"valid": 2023_05, "test": 2023_06}
    tiny: ClassVar[Mapping[str, Any]] = {
        "vocabulary": 32, "length": 16, "pairs": 3, "train_items": 300,
    }  # fmt: skip

    vocabulary: int = setting(256, "input tokens: keys and values", low=4)
    length: int = setting(64, "steps of a sequence, an even number", unit="steps", low=4)
    pairs: int = setting(4, "pairs of key and value", low=1)
    power: float = setting(0.01, "of the weights of the gaps; 1: all as frequent", low=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.length % 2 == 0, f"length = {self.length} must be even")
        self.require(self.vocabulary % 2 == 0, f"vocabulary = {self.vocabulary} must be even")
        self.require(
            4 * self.pairs <= self.length,
            f"{self.pairs} pairs and as many queries need {4 * self.pairs} steps, and length is "
            f"{self.length}",
        )
        self.require(
            self.pairs < self.vocabulary // 2,
            f"{self.pairs} pairs need as many keys, and a vocabulary of {self.vocabulary} has "
            f"{self.vocabulary // 2 - 1}",
        )

    @property
    def source(self) -> Port:
        return Port(classes=self.vocabulary)

    @property
    def target(self) -> Port:
        return Port(classes=self.vocabulary // 2 + 1)

    @property
    def asked(self) -> int:
        return self.pairs

    @property
    def steps(self) -> int:
        return self.length

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x and y, both (rows, length)."""
        half, n = self.vocabulary // 2, self.pairs
        key_BN = 1 + torch.rand(rows, half - 1, generator=rng).argsort(1)[:, :n]
        value_BN = torch.rand(rows, half, generator=rng).argsort(1)[:, :n]
        places = (self.length - 2 * n) // 2
        # The greatest of log-weights with Gumbel noise are a draw by weight without replacement.
        weight_G = (self.power - 1) * torch.arange(1, places + 1).log()
        gumbel_BG = -torch.empty(rows, places).exponential_(generator=rng).log()
        gap_BN = (weight_G + gumbel_BG).topk(n).indices
        x_BT = half + torch.randint(half, (rows, self.length), generator=rng)
        x_BT[:, : 2 * n : 2], x_BT[:, 1 : 2 * n : 2] = key_BN, half + value_BN
        at_BN = 2 * n + 2 * gap_BN
        y_BT = torch.full_like(x_BT, BLANK)
        return Batch(x_BT.scatter(1, at_BN, key_BN), y_BT.scatter(1, at_BN, 1 + value_BN))

    def baselines(self, split: str) -> Figures:
        classes = self.target.classes

        def seen(batch: Batch) -> torch.Tensor:
            value_BN = batch.x[:, 1 : 2 * self.pairs : 2] - self.vocabulary // 2
            choices_B1V = one_hot(1 + value_BN, classes).sum(1, keepdim=True) > 0
            return self.guess(batch, choices_B1V)

        nats = self.pairs * math.log(self.pairs) / self.length
        return {
            **self.memoryless(classes - 1, split),
            "any value seen": score(self, split, seen),
            "any value seen, in theory": {"accuracy": 1 / self.pairs, "nats": nats},
        }
