"""Recall: aligned tasks that ask at some steps for what was read, and for nothing elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Batch, Kind, Meter, Metric, Prediction
from rnnbench.data.tasks.synthetic import Figures, Synthetic, score
from rnnbench.metrics import Accuracy

__all__ = ["BLANK", "Recall", "Recalled"]

BLANK = 0  # the target where nothing is asked for


class Recalled(Meter):
    """Measures "accuracy" of the steps that ask for something, and "nats", the loss of all."""

    def __init__(self) -> None:
        self.asked = Accuracy()
        self.nats, self.steps = 0.0, 0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        asked = prediction.mask & (batch.y != BLANK)
        self.asked.update(batch, prediction._replace(mask=asked))
        counted = prediction.nll.cpu()[prediction.mask.cpu()]
        self.nats += float(counted.double().sum())
        self.steps += len(counted)

    def compute(self) -> dict[str, float]:
        return {**self.asked.compute(), "nats": self.nats / self.steps}


@dataclass(frozen=True)
class Recall(Synthetic):
    """Base of tasks whose target is blank but for some steps.

    Subclasses write `draw`, the ports, and what a model without memory would be torn between.
    """

    ACCURACY: ClassVar[Metric] = Metric(
        "accuracy", "share", higher_is_better=True, help="tokens recalled rightly where asked for"
    )
    NATS: ClassVar[Metric] = Metric("nats", "nats", help="cross-entropy, the mean over all steps")

    kind: ClassVar[Kind] = Kind.ALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY, NATS)
    eval_batch: ClassVar[int] = 250

    @property
    def asked(self) -> int:
        """Return how many steps of a sequence ask for something."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Return how many steps a sequence has."""
        raise NotImplementedError

    def meter(self, split: str) -> Meter:
        return Recalled()

    def guess(self, batch: Batch, choices: Tensor) -> Tensor:
        """Return (B, T, V) log-probabilities: blank where nothing is asked for, else any choice.

        Args:
            choices: (V,) or (B, 1, V), True for the classes that are as likely as each other.
        """
        blank_V = torch.arange(self.target.classes) == BLANK
        allowed = torch.where((batch.y == BLANK)[..., None], blank_V, choices).float()
        return (allowed / allowed.sum(-1, keepdim=True)).log()

    def memoryless(self, answers: int, split: str) -> Figures:
        """Score knowing when something is asked for, and then guessing among `answers` classes.

        In theory: ln(answers) nats at each asked step and none elsewhere; measured on the split.
        """
        among_V = torch.arange(self.target.classes)
        among_V = (among_V > BLANK) & (among_V <= answers)
        nats = float(torch.tensor(answers).double().log()) * self.asked / self.steps
        return {
            "memoryless": score(self, split, lambda b: self.guess(b, among_V)),
            "memoryless, in theory": {"accuracy": 1 / answers, "nats": nats},
        }

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight sequences: what was asked for, and what was said at those steps."""

        def text(row: Any) -> str:
            return " ".join(map(str, row.tolist()))

        rows = zip(batch.x[:8], batch.y[:8], prediction.out[:8].argmax(-1), strict=True)
        return [
            {"source": text(x), "target": text(y[y != BLANK]), "prediction": text(said[y != BLANK])}
            for x, y, said in rows
        ]
