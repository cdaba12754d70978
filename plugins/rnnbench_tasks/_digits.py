"""Handwritten digits: what tasks share that read the same images in different layouts."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Source, Task
from rnnbench.data.batches import Items
from rnnbench.data.fetching.sources import fetch
from rnnbench.metrics import Accuracy

_FILE = "sklearn/datasets/data/digits.csv.gz"
_DIGITS = Source(
    name="digits",
    origin="package:scikit-learn",
    files={_FILE: "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"},
    licence="CC BY 4.0",
    citation="Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI",
)
_HELD_OUT = {"valid": 300, "test": 300}


class DigitImages(Task):
    """A task that names the digit of an 8 by 8 image, on one fixed split.

    Subclasses are dataclasses and write `source`, whose width divides the 64 pixels into steps;
    where its layout is a grid, batches say that it is 8 by 8.
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

    @property
    def target(self) -> Port:
        return Port(classes=10)

    def sources(self) -> tuple[Source, ...]:
        return (_DIGITS,)

    def data(self, split: str, seed: int) -> Data:
        image_N64, class_N = self._table
        index = self._index[split]
        x = image_N64[index].reshape(len(index), -1, self.source.width) / 16
        return Items(
            Batch(torch.from_numpy(x).float(), torch.from_numpy(class_N[index]), grid=self.grid)
        )

    @property
    def grid(self) -> tuple[int, ...] | None:
        """Return the extents of the grid that the steps of an image are, if they are one."""
        return (8, 8) if self.source.layout == "grid" else None

    def meter(self, split: str) -> Meter:
        return Accuracy()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the answer that is always the commonest class of the training part."""
        _, class_N = self._table
        majority = np.bincount(class_N[self._index["train"]], minlength=10).argmax()
        share = float((class_N[self._index[split]] == majority).mean())
        return {"majority class": {"accuracy": share}}

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (1797, 64), 0 to 16, and classes (1797,)."""
        with gzip.open(fetch(_DIGITS) / _FILE, "rt") as f:
            table = np.loadtxt(f, delimiter=",", dtype=np.int64)
        return table[:, :-1], table[:, -1]

    @cached_property
    def _index(self) -> dict[str, np.ndarray]:
        """Return the image numbers of each split: a fixed shuffle, with each class in
        proportion."""
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
