"""Dimensions and the points that depend on their number alone."""

import math

import pytest

from rnnbench.sweep.search.dimensions import dimension, grid_point, grid_size, sobol_point

LR = dimension("lr", {"low": 1e-4, "high": 1e-1, "log": True}, float, None)
WIDTH = dimension("width", {"low": 8, "high": 32, "step": 8}, int, None)
ACTIVATION = dimension("activation", {"choices": ["tanh", "relu"]}, str, None)


def test_whole_numbers_for_a_float_field_are_a_continuous_range():
    rate = dimension("rate", {"low": 0, "high": 1}, float, None)
    assert rate.kind == "float"
    assert rate.values() is None


def test_auto_takes_the_recommended_range():
    assert dimension("lr", "auto", float, (1e-4, 1e-1, "log")) == LR
    assert dimension("activation", "auto", str, ("tanh", "relu")) == ACTIVATION
    steps = dimension("steps", "auto", int | None, (5, 20))
    assert (steps.kind, steps.low, steps.high) == ("int", 5, 20)


def test_the_grid_visits_every_point_once_in_a_seeded_order():
    space = [WIDTH, ACTIVATION]
    points = [tuple(grid_point(space, i, seed=3).values()) for i in range(grid_size(space))]
    assert len(points) == len(set(points)) == 8
    assert set(points) == {(w, a) for w in (8, 16, 24, 32) for a in ("tanh", "relu")}
    assert points != sorted(points)
    other = [tuple(grid_point(space, i, seed=4).values()) for i in range(8)]
    assert points != other


def test_a_continuous_range_makes_no_grid():
    with pytest.raises(ValueError, match="lr with a step"):
        grid_size([WIDTH, LR])


def test_sobol_points_fill_the_space_evenly_and_depend_on_their_number_alone():
    space = [LR, WIDTH, ACTIVATION]
    points = [sobol_point(space, i, seed=1) for i in range(16)]
    assert points[5] == sobol_point(space, 5, seed=1)
    halves = [math.log10(p["lr"]) < -2.5 for p in points]
    assert sum(halves) == 8
    assert sorted(p["width"] for p in points) == sorted([8, 16, 24, 32] * 4)


@pytest.mark.parametrize("unit", [0.0, 0.5, 1 - 1e-12])
def test_values_stay_within_their_bounds(unit):
    count = dimension("count", {"low": 1, "high": 100, "log": True}, int, None)
    assert 1 <= count.at(unit) <= 100
    assert isinstance(count.at(unit), int)
    assert 1e-4 <= LR.at(unit) <= 1e-1
    assert WIDTH.at(unit) in (8, 16, 24, 32)
    assert ACTIVATION.at(unit) in ("tanh", "relu")
