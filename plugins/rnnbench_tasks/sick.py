"""How near two sentences are in meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from rnnbench.contract import Batch, Meter, Metric, Port, Source
from rnnbench.data.tasks.labelled_text import Item, LabelledText
from rnnbench.metrics import Relatedness

_SICK = Source(
    name="sick",
    origin="https://zenodo.org/record/2787612/files/SICK.zip",
    files={"SICK.txt": "1539c2d059809b5bd40694e26d8121cc85b6b496f91c7b40f2fc83bbd7dcd957"},
    sha256="da272af924399fc2de4889ed55383e38822c10d16c4a949a89d597d09a0b7912",
    size=217_584,
    licence="CC BY-NC-SA 3.0",
    citation="Marelli et al. (2014), A SICK cure for the evaluation of compositional models, LREC",
)
_SETS = {"TRAIN": "train", "TRIAL": "valid", "TEST": "test"}


@dataclass(frozen=True)
class Sick(LabelledText):
    """Say how related two sentences are in meaning, from 1 to 5.

    The file's own splits: 4,439 pairs for training, 495 for validation (its trial set), 4,906 for
    test. The two sentences are read as one sequence, with a token that is no word between them.
    The value is learnt by squared error as it is; mse is on the scale of 1 to 5.
    Baseline: the mean of training, whose correlations are 0, since it does not vary.

    Source: Marelli et al. (2014), SemEval-2014 task 1, for data and figures; Tai, Socher & Manning
    (2015), arXiv:1503.00075, for recurrent networks on it.
    """

    name: ClassVar[str] = "sick"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "", help="mean squared error on the scale of 1 to 5"),
        Metric("pearson", "r", higher_is_better=True, help="linear correlation"),
        Metric("spearman", "rho", higher_is_better=True, help="correlation of ranks"),
    )
    selection: ClassVar[str] = "mse"
    declares: ClassVar[Mapping[str, str]] = {
        **LabelledText.declares,
        "splits_are_apart": "its sentences were made from few by rules, and split as published",
    }

    labels: ClassVar[tuple[str, ...]] = ()  # type: ignore[assignment]

    @property
    def target(self) -> Port:
        return Port(width=1)

    def sources(self) -> tuple[Source, ...]:
        return (_SICK,)

    def meter(self, split: str) -> Meter:
        return Relatedness()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the answer that is always the mean of training."""
        mean, y_N1 = self.answers("train").double().mean(), self.answers(split)
        meter = Relatedness()
        meter.guesses, meter.values = [float(mean)] * len(y_N1), y_N1.flatten().tolist()
        return {"mean": meter.compute()}

    def ask(self, text: str) -> tuple[Batch, Any]:
        """Read two sentences on two lines."""
        sentences = [line.split() for line in text.splitlines() if line.strip()]
        if len(sentences) != 2:
            raise ValueError(f"sick reads two sentences on two lines; got {len(sentences)}")
        words = [*sentences[0], None, *sentences[1]]
        x = torch.tensor([self.encode(words)])
        return Batch(x, torch.zeros(1, 1)), lambda y: f"{float(y):.2f}"

    def corpus(self, *folders: Path) -> Mapping[str, Sequence[Item]]:
        splits: dict[str, list[Item]] = {split: [] for split in _SETS.values()}
        header, *lines = (folders[0] / "SICK.txt").read_text("utf-8").splitlines()
        names = header.split("\t")
        for line in lines:
            row = dict(zip(names, line.split("\t"), strict=True))
            words = [*row["sentence_A"].split(), None, *row["sentence_B"].split()]
            split = _SETS[row["SemEval_set"].strip()]
            splits[split].append(Item(words, float(row["relatedness_score"])))
        return splits
