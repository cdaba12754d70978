"""The convex hull of points, as positions of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.spatial import ConvexHull as Hull

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Prediction, Task, setting
from rnnbench.data import Generated, Items

_FIXED_SEEDS = {"valid": 2015_01, "test": 2015_02}  # the same items for every run


@dataclass(frozen=True)
class ConvexHull(Task):
    """Name the corners of the convex hull of some points, counter-clockwise.

    Points are uniform in the unit square, as many as are drawn from `points_min` … `points_max`.
    The target is the positions of the hull's corners, counted from 1, beginning with the corner
    that stands first in the input, then 0 for the end.

    "accuracy" is the share of outputs that are the same polygon, wherever they begin and whichever
    way round they go. "area" is what a polygon covers over the true hull's area, the mean over
    outputs that are simple polygons (no point twice, no sides that cross, three corners or more),
    0 where none is; "simple" is the share of these.
    Baselines: all points in the input's order, and all points by their angle about the mean.
    Solved: an accuracy of 0.85 and an area of 0.99 with five points. Training items are drawn afresh in every epoch;
    validation and test are fixed.

    Source: Vinyals, Fortunato & Jaitly (2015), arXiv:1506.03134, sections 3.1 and 4.2.
    """

    kind: ClassVar[Kind] = Kind.UNALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", higher_is_better=True, help="share of outputs that are the hull"),
        Metric("area", higher_is_better=True, help="covered share of the area, simple polygons"),
        Metric("simple", higher_is_better=True, help="share of outputs that are simple polygons"),
    )
    selection: ClassVar[str] = "loss"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 128,
        "optimizer.lr": 3e-3,
        "budget.steps": 4000,
        "budget.validate_every": 500,
    }
    eval_batch: ClassVar[int] = 256
    tiny: ClassVar[Mapping[str, Any]] = {"train_items": 64, "valid_items": 40, "test_items": 40}

    points_min: int = setting(5, "fewest points of an item", unit="points", low=3)
    points_max: int = setting(5, "most points of an item", unit="points", low=3)
    train_items: int = setting(100000, "items that count as an epoch", unit="items", low=1)
    valid_items: int = setting(1000, "items of the validation split", unit="items", low=1)
    test_items: int = setting(2000, "items of the test split", unit="items", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points_min > self.points_max:
            raise ValueError(
                f"{self.name}: points_min = {self.points_min} is above points_max = "
                f"{self.points_max}"
            )

    @property
    def source(self) -> Port:
        return Port(width=2)

    @property
    def target(self) -> Port:
        classes = self.points_max + 1
        return Port(classes=classes, layout="positions", start=0, stop=0, longest=classes)

    def data(self, split: str, seed: int) -> Data:
        if split == "train":
            return Generated(self.draw, self.train_items, seed)
        items = {"valid": self.valid_items, "test": self.test_items}[split]
        return Items(self.draw(items, torch.Generator().manual_seed(_FIXED_SEEDS[split])))

    def draw(self, rows: int, rng: torch.Generator) -> Batch:
        """Some items: x (rows, T, 2), y (rows, S) with x_len and y_len."""
        x_BT2 = torch.rand(rows, self.points_max, 2, generator=rng)
        x_len = torch.randint(self.points_min, self.points_max + 1, (rows,), generator=rng)
        y_BS = torch.zeros(rows, self.points_max + 1, dtype=torch.long)
        y_len = torch.empty(rows, dtype=torch.long)
        for row, n in enumerate(x_len.tolist()):
            corners = Hull(x_BT2[row, :n].double().numpy()).vertices  # counter-clockwise
            corners = np.roll(corners, -int(corners.argmin())) + 1
            y_BS[row, : len(corners)] = torch.from_numpy(corners)
            y_len[row] = len(corners) + 1
        there_BT = torch.arange(self.points_max) < x_len[:, None]
        return Batch(x_BT2 * there_BT[..., None], y_BS, x_len, y_len)

    def meter(self, split: str) -> Polygons:
        return Polygons()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """All points, in two orders."""
        meters = {"input order": self.meter(split), "by angle": self.meter(split)}
        data = self.data(split, 0)
        for key in data.order(1024, None):
            batch = data.batch(key, None)
            for points, corners in _rows(batch, batch.y.tolist()):
                x, y = (points - points.mean(0)).T
                meters["input order"].add(points, corners, list(range(len(points))))
                meters["by angle"].add(points, corners, np.arctan2(y, x).argsort().tolist())
        return {name: meter.compute() for name, meter in meters.items()}

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """The first eight items with the polygons that were put out."""
        if prediction.decoded is None:
            return []
        rows = zip(
            _rows(batch, batch.y.tolist()), _rows(batch, prediction.decoded.tolist()), strict=True
        )
        return [
            {
                "points": " ".join(f"({x:.2f}, {y:.2f})" for x, y in points),
                "target": " ".join(str(c + 1) for c in corners),
                "prediction": " ".join(str(c + 1) for c in guess),
            }
            for (points, corners), (_, guess) in list(rows)[:8]
        ]


class Polygons(Meter):
    """ "accuracy", "area" and "simple" of decoded polygons."""

    decodes = True

    def __init__(self) -> None:
        self.count = self.right = self.simple = 0
        self.covered = 0.0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        if prediction.decoded is None:
            raise ValueError("polygons are judged as decoded, and got no decoded output")
        pairs = zip(
            _rows(batch, batch.y.tolist()), _rows(batch, prediction.decoded.tolist()), strict=True
        )
        for (points, corners), (_, guess) in pairs:
            self.add(points, corners, guess)

    def add(self, points: np.ndarray, corners: list[int], guess: list[int]) -> None:
        """Count one output: positions from 0 of its corners."""
        self.count += 1
        self.right += same_polygon(corners, guess)
        if is_simple(points, guess):
            self.simple += 1
            self.covered += abs(area(points[guess])) / abs(area(points[corners]))

    def compute(self) -> dict[str, float]:
        if not self.count:
            raise RuntimeError("Polygons saw no output: the split was empty")
        return {
            "accuracy": self.right / self.count,
            "area": self.covered / self.simple if self.simple else 0.0,
            "simple": self.simple / self.count,
        }


def _rows(batch: Batch, tokens: Sequence[Sequence[int]]) -> list[tuple[np.ndarray, list[int]]]:
    """Each row's points, and the positions from 0 that its tokens name up to the end."""
    lengths = [batch.x.shape[1]] * len(batch.x) if batch.x_len is None else batch.x_len.tolist()
    found = []
    for x, n, row in zip(batch.x.double().cpu().numpy(), lengths, tokens, strict=True):
        named = row[: row.index(0)] if 0 in row else row
        found.append((x[:n], [t - 1 for t in named]))
    return found


def same_polygon(corners: Sequence[int], guess: Sequence[int]) -> bool:
    """The same cycle of corners, from any of them and either way round."""
    if len(corners) != len(guess) or set(corners) != set(guess):
        return False
    twice = [*corners, *corners]
    turns = [twice[i : i + len(corners)] for i in range(len(corners))]
    return list(guess) in turns or list(guess)[::-1] in turns


def area(corners_N2: np.ndarray) -> float:
    """Of a polygon: positive counter-clockwise (the shoelace formula)."""
    x, y = corners_N2.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def is_simple(points: np.ndarray, guess: Sequence[int]) -> bool:
    """Three corners or more, all there and different, and no two sides cross."""
    n = len(guess)
    if n < 3 or len(set(guess)) < n or max(guess) >= len(points):
        return False
    begin, end = points[list(guess)], np.roll(points[list(guess)], -1, 0)
    # Sides i and j cross where each one's ends lie on either side of the other.
    side = _side(begin[:, None], end[:, None], begin[None]) * _side(
        begin[:, None], end[:, None], end[None]
    )
    crosses = (side < 0) & (side.T < 0)
    apart = np.abs(np.arange(n)[:, None] - np.arange(n)[None])
    return not bool((crosses & (apart > 1) & (apart < n - 1)).any())


def _side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
    """On which side of the line from a to b a point p lies."""
    return (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        p[..., 0] - a[..., 0]
    )
