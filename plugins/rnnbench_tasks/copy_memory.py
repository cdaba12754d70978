"""The copying memory problem: recall ten symbols after a long time of nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from rnnbench.contract import Batch, Metric, Port, setting
from rnnbench.data.tasks.synthetic import Figures
from rnnbench_tasks._recall import BLANK, Recall


@dataclass(frozen=True)
class CopyMemory(Recall):
    """Recall ten random symbols, in order, T steps after they were read.

    The input is `symbols` tokens drawn uniformly from `alphabet` of them, T - 1 blanks, a
    delimiter, and `symbols` blanks: T + 2 · `symbols` steps. The target is blank until the
    delimiter has been read, the last `symbols` steps then ask for the first ones.
    Tokens: 0 is blank, 1 … `alphabet` are the symbols, `alphabet` + 1 is the delimiter.

    Variant: that of Arjovsky et al., with 10 symbols of 8 and T = 100, 200, 300, 500; the
    delimiter stands once. With `delimiter=through` it stands at all of the last symbols + 1 steps,
    as in Bai et al. (2018), arXiv:1803.01271, so that nothing has to be counted while recalling.
    Trivial baseline: blanks and then any symbol, symbols · ln(alphabet) / (T + 2 · symbols) nats a
    step, 10 ln 8 / (T + 20) with the paper's numbers, and 1 / alphabet of the symbols right.
    Solved: an accuracy of at least 0.99. The papers show curves of the loss that leave the baseline
    for 0 and name no threshold; this one is this benchmark's.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Arjovsky, Shah & Bengio (2016), Unitary evolution recurrent neural networks,
    arXiv:1511.06464, section 4.1, after Hochreiter & Schmidhuber (1997).
    """

    metrics: ClassVar[tuple[Metric, ...]] = (Recall.NATS, Recall.ACCURACY)
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 1e-3,
        "budget.steps": 4000,
        "budget.validate_every": 400,
    }
    held_out_seeds: ClassVar[Mapping[str, int]] = {"valid": 2016_01, "test": 2016_02}
    tiny: ClassVar[Mapping[str, Any]] = {"delay": 6, "train_items": 300, "valid_items": 50}

    delay: int = setting(100, "steps from the last symbol to the delimiter (T)", unit="steps",
                         low=1)  # fmt: skip
    symbols: int = setting(10, "symbols to be recalled", low=1)
    alphabet: int = setting(8, "different symbols", low=2)
    delimiter: Literal["once", "through"] = setting("once", "at one step, or while recalling too")

    @property
    def source(self) -> Port:
        return Port(classes=self.alphabet + 2)

    @property
    def target(self) -> Port:
        return Port(classes=self.alphabet + 1)

    @property
    def asked(self) -> int:
        return self.symbols

    @property
    def steps(self) -> int:
        return self.delay + 2 * self.symbols

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x and y, both (rows, delay + 2 · symbols)."""
        n = self.symbols
        s_BN = torch.randint(1, self.alphabet + 1, (rows, n), generator=rng)
        x_BT = torch.full((rows, self.steps), BLANK)
        y_BT = x_BT.clone()
        x_BT[:, :n], y_BT[:, -n:] = s_BN, s_BN
        x_BT[:, -n - 1 : None if self.delimiter == "through" else -n] = self.alphabet + 1
        return Batch(x_BT, y_BT)

    def baselines(self, split: str) -> Figures:
        return self.memoryless(self.alphabet, split)
