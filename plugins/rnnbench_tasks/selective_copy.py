"""Selective copying: recall the tokens among the noise, wherever they stood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract import Batch, Port, setting
from rnnbench.data.tasks.synthetic import Figures
from rnnbench_tasks._recall import BLANK, Recall


@dataclass(frozen=True)
class SelectiveCopy(Recall):
    """Recall in order some tokens that stood at random places among noise.

    `tokens` data tokens stand at places drawn without replacement from `noise` + `tokens` steps,
    the others of which are the noise token; then come `tokens` markers, at which the data tokens
    are asked for one after the other. A fixed convolution that solves copy-memory fails: what to
    keep depends on what is read.
    Input tokens: 0 is noise, 1 … `vocabulary` - 2 are data, `vocabulary` - 1 is the marker.

    Variant: the paper has 16 data tokens, 4096 noise tokens and a vocabulary of 16, noise and
    marker among them (`noise=4096`). There the loss is over the markers alone; here every step
    counts, with blank as the target before the markers, as in copy-memory, so that a
    loss is smaller by about tokens / (noise + 2 · tokens). Accuracy is over the markers, as there.
    Trivial baseline: any data token, an accuracy of 1 / (vocabulary - 2), and tokens ·
    ln(vocabulary - 2) / (noise + 2 · tokens) nats a step.
    Solved: an accuracy of at least 0.97; of the paper's table 1 these are the models with a
    selective state (97.0 to 99.8), and the others stay below 0.6.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Gu & Dao (2023), Mamba, arXiv:2312.00752, section 4.1.1.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 1e-3,
        "budget.steps": 4000,
        "budget.validate_every": 400,
    }
    held_out_seeds: ClassVar[Mapping[str, int]] = {"valid": 2023_03, "test": 2023_04}
    tiny: ClassVar[Mapping[str, Any]] = {"noise": 10, "tokens": 8, "train_items": 300}

    noise: int = setting(100, "noise tokens among the data", unit="steps", low=0)
    tokens: int = setting(16, "data tokens, which are to be recalled", low=1)
    vocabulary: int = setting(16, "input tokens, noise and marker included", low=4)

    @property
    def source(self) -> Port:
        return Port(classes=self.vocabulary)

    @property
    def target(self) -> Port:
        return Port(classes=self.vocabulary - 1)

    @property
    def asked(self) -> int:
        return self.tokens

    @property
    def steps(self) -> int:
        return self.noise + 2 * self.tokens

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x and y, both (rows, noise + 2 · tokens)."""
        n, read = self.tokens, self.noise + self.tokens
        data_BN = torch.randint(1, self.vocabulary - 1, (rows, n), generator=rng)
        at_BN = torch.rand(rows, read, generator=rng).argsort(1)[:, :n].sort(1).values
        x_BT = torch.full((rows, self.steps), BLANK)
        y_BT = x_BT.clone()
        x_BT.scatter_(1, at_BN, data_BN)
        x_BT[:, read:], y_BT[:, read:] = self.vocabulary - 1, data_BN
        return Batch(x_BT, y_BT)

    def baselines(self, split: str) -> Figures:
        return self.memoryless(self.vocabulary - 2, split)
