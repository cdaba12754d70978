"""Handwritten digits, read pixel by pixel or row by row."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Source, Task, setting
from rnnbench.data import Items, fetch
from rnnbench.nn.meters import Accuracy

_FILE = "sklearn/datasets/data/digits.csv.gz"
_DIGITS = Source(
    name="digits",
    origin="package:scikit-learn",
    files={_FILE: "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"},
    licence="CC BY 4.0",
    citation="Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI",
)
_HELD_OUT = {"valid": 300, "test": 300}


@dataclass(frozen=True)
class Digits(Task):
    """Name the digit whose 8 by 8 image is read as a sequence.

    1,797 images with pixels from 0 to 16, scaled to [0, 1], read in row-major order: 64 steps of
    one pixel, or 8 steps of a row. A fixed split, drawn once and stratified by class: 1,197 for
    training, 300 for validation, 300 for test.
    Trivial baseline: the commonest class of the training part, about 10% right.

    Source: Alpaydin & Kaynak (1998), UCI; images as sequences of pixels as in Le, Jaitly &
    Hinton (2015), arXiv:1504.00941, section 4.2, there with 784 of them.
    """

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "share", higher_is_better=True, help="images named rightly"),
    )
    selection: ClassVar[str] = "loss"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 3e-3,
        "budget.steps": 1000,
        "budget.validate_every": 100,
    }
    eval_batch: ClassVar[int] = 300

    step: Literal["pixel", "row"] = setting("pixel", "what is read at one time step")

    @property
    def source(self) -> Port:
        return Port(width=1 if self.step == "pixel" else 8)

    @property
    def target(self) -> Port:
        return Port(classes=10)

    def sources(self) -> tuple[Source, ...]:
        return (_DIGITS,)

    def data(self, split: str, seed: int) -> Data:
        image_N64, class_N = self._table
        index = self._index[split]
        x = image_N64[index].reshape(len(index), -1, self.source.width) / 16
        return Items(Batch(torch.from_numpy(x).float(), torch.from_numpy(class_N[index])))

    def meter(self, split: str) -> Meter:
        return Accuracy()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Always the commonest class of the training part."""
        _, class_N = self._table
        majority = np.bincount(class_N[self._index["train"]], minlength=10).argmax()
        share = float((class_N[self._index[split]] == majority).mean())
        return {"majority class": {"accuracy": share}}

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (1797, 64), 0 to 16, and classes (1797,)."""
        with gzip.open(fetch(_DIGITS) / _FILE, "rt") as f:
            table = np.loadtxt(f, delimiter=",", dtype=np.int64)
        return table[:, :-1], table[:, -1]

    @cached_property
    def _index(self) -> dict[str, np.ndarray]:
        """Image numbers of each split: a fixed shuffle, each class dealt out in proportion."""
        _, class_N = self._table
        # RandomState, because NumPy promises that its streams never change.
        shuffled = np.random.RandomState(0).permutation(len(class_N))
        # Ranking each image by its place within its class, as a share of the class, makes every
        # stretch of the ranking hold the classes in proportion.
        place = np.empty(len(class_N))
        for c in range(10):
            members = shuffled[class_N[shuffled] == c]
            place[members] = (np.arange(len(members)) + 0.5) / len(members)
        ranked = shuffled[np.argsort(place[shuffled], kind="stable")]
        test, valid = _HELD_OUT["test"], _HELD_OUT["valid"]
        return {
            "test": np.sort(ranked[:test]),
            "valid": np.sort(ranked[test : test + valid]),
            "train": np.sort(ranked[test + valid :]),
        }
