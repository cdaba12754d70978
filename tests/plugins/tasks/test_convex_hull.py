"""The convex hull task: targets by brute force, and what its meter calls right."""

import itertools

import numpy as np
import pytest
import torch

from rnnbench_tasks.convex_hull import ConvexHull, area, is_simple, same_polygon


def on_hull(points, i, j):
    """Every other point lies to the left of the line from i to j."""
    a, b = points[i], points[j]
    return all(
        (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) > 0
        for k, p in enumerate(points)
        if k not in (i, j)
    )


def test_targets_are_hulls_counter_clockwise_from_the_first_corner():
    task = ConvexHull(points_min=3, points_max=9)
    batch = task.draw(50, torch.Generator().manual_seed(0))
    assert set(batch.x_len.tolist()) == set(range(3, 10))
    for x, y, n, m in zip(
        batch.x.tolist(), batch.y.tolist(), batch.x_len, batch.y_len, strict=True
    ):
        points, corners = x[:n], [c - 1 for c in y[: m - 1]]
        edges = {(i, j) for i, j in itertools.permutations(range(n), 2) if on_hull(points, i, j)}
        assert set(zip(corners, corners[1:] + corners[:1], strict=True)) == edges
        assert corners[0] == min(corners)
        assert set(y[m - 1 :]) == {0}
        assert all(p == [0, 0] for p in x[n:])


def test_a_polygon_is_the_same_from_any_corner_and_either_way_round():
    assert same_polygon([1, 2, 3, 4], [3, 4, 1, 2])
    assert same_polygon([1, 2, 3, 4], [2, 1, 4, 3])
    assert not same_polygon([1, 2, 3, 4], [1, 3, 2, 4])
    assert not same_polygon([1, 2, 3], [1, 2, 3, 4])
    assert not same_polygon([1, 2, 3], [1, 2, 2])


SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0.4, 0.5]])


@pytest.mark.parametrize(
    ("guess", "simple"),
    [
        ([0, 1, 2, 3], True),
        ([0, 1, 2, 4, 3], True),
        ([0, 2, 1, 3], False),  # its sides cross
        ([0, 1], False),
        ([0, 1, 1, 2], False),
        ([0, 1, 7], False),  # no such point
        ([], False),
    ],
)
def test_what_is_a_simple_polygon(guess, simple):
    assert is_simple(SQUARE, guess) == simple


def test_area_is_the_shoelace_formula():
    assert area(SQUARE[[0, 1, 2, 3]]) == 1
    assert area(SQUARE[[3, 2, 1, 0]]) == -1
    assert area(SQUARE[[0, 1, 4]]) == 0.25


def test_area_is_the_mean_over_simple_polygons_only():
    meter = ConvexHull().meter("test")
    for guess in ([0, 1, 2, 3], [0, 1, 2], [0, 2, 1, 3]):
        meter.add(SQUARE, [0, 1, 2, 3], guess)
    assert meter.compute() == pytest.approx({"accuracy": 1 / 3, "area": 0.75, "simple": 2 / 3})


def test_the_bounds_of_the_number_of_points_agree():
    with pytest.raises(ValueError, match="points_min"):
        ConvexHull(points_min=9, points_max=5)
