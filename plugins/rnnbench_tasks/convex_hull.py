"""The convex hull of points, as positions of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.spatial import ConvexHull as ScipyHull

from rnnbench.contract import Metric
from rnnbench_tasks._pointers import Outputs, Pointers


@dataclass(frozen=True)
class ConvexHull(Pointers):
    """Name the corners of the convex hull of some points, counter-clockwise.

    Points are uniform in the unit square, as many as are drawn from `points_min` … `points_max`.
    The target is the positions of the hull's corners, counted from 1, beginning with the corner
    that stands first in the input, then 0 for the end.

    "accuracy" is the share of outputs that are the same polygon, wherever they begin and whichever
    way round they go. "area" is what a polygon covers over the true hull's area, the mean over
    outputs that are simple polygons (no point twice, no sides that cross, three corners or more),
    0 where none is; "simple" is the share of these.
    Baselines: all points in the input's order, and all points by their angle about the mean.
    Solved: an accuracy of 0.85 and an area of 0.99 with five points. Training items are drawn
    afresh in every epoch; validation and test are fixed.

    Source: Vinyals, Fortunato & Jaitly (2015), arXiv:1506.03134, sections 3.1 and 4.2.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", higher_is_better=True, help="share of outputs that are the hull"),
        Metric("area", higher_is_better=True, help="covered share of the area, simple polygons"),
        Metric("simple", higher_is_better=True, help="share of outputs that are simple polygons"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 128,
        "optimizer.lr": 3e-3,
        "budget.steps": 4000,
        "budget.validate_every": 500,
    }
    width: ClassVar[int] = 2

    def answers(self, elements: list[np.ndarray]) -> list[list[int]]:
        hulls = [ScipyHull(points).vertices for points in elements]  # counter-clockwise
        return [np.roll(corners, -int(corners.argmin())).tolist() for corners in hulls]

    def meter(self, split: str) -> Polygons:
        return Polygons()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score naming all points, in two orders."""

        def by_angle(points: np.ndarray) -> list[int]:
            x, y = (points - points.mean(0)).T
            return list(np.arctan2(y, x).argsort())

        return self.compare(
            split, {"input order": lambda points: range(len(points)), "by angle": by_angle}
        )


class Polygons(Outputs):
    """Measures "accuracy", "area" and "simple" of decoded polygons."""

    def __init__(self) -> None:
        self.count = self.right = self.simple = 0
        self.covered = 0.0

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


def same_polygon(corners: Sequence[int], guess: Sequence[int]) -> bool:
    """Tell whether two cycles of corners are the same, from any corner and either way round."""
    if len(corners) != len(guess) or set(corners) != set(guess):
        return False
    twice = [*corners, *corners]
    turns = [twice[i : i + len(corners)] for i in range(len(corners))]
    return list(guess) in turns or list(guess)[::-1] in turns


def area(corners_N2: np.ndarray) -> float:
    """Return the area of a polygon: positive counter-clockwise (the shoelace formula)."""
    x, y = corners_N2.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def is_simple(points: np.ndarray, guess: Sequence[int]) -> bool:
    """Tell whether three corners or more are there, all different, and no two sides cross."""
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
    """Tell on which side of the line from a to b a point p lies."""
    return (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        p[..., 0] - a[..., 0]
    )
