"""Pointer tasks: orders, shortest tours against brute force, and what meters call right."""

import itertools
import math

import numpy as np
import pytest
import torch
from laws.synthetic_laws import broken_laws, whole
from support.learning import figures_after

from rnnbench.contract import Batch, Prediction
from rnnbench_architectures.pointer_network import PointerNetwork
from rnnbench_tasks.convex_hull import ConvexHull
from rnnbench_tasks.sort import Sort
from rnnbench_tasks.tsp import TSP, mended, nearest_first, shortest_tours, tour_length

FEW = {"train_items": 64, "valid_items": 40, "test_items": 40}


def rows(batch):
    """Elements, positions from 1, and what follows them, of each row."""
    parts = zip(batch.x.tolist(), batch.y.tolist(), batch.x_len, batch.y_len, strict=True)
    return [(x[:n], y[: m - 1], y[m - 1 :]) for x, y, n, m in parts]


def length_of(points, tour):
    return sum(math.dist(points[a], points[b]) for a, b in itertools.pairwise([*tour, tour[0]]))


def test_sort_names_the_least_number_first():
    batch = Sort(points_min=3, points_max=8).draw(100, torch.Generator().manual_seed(0))
    for numbers, positions, rest in rows(batch):
        assert sorted(positions) == list(range(1, len(numbers) + 1))
        in_order = [numbers[p - 1][0] for p in positions]
        assert in_order == sorted(n for (n,) in numbers)
        assert set(rest) == {0}
    assert {len(numbers) for numbers, _, _ in rows(batch)} == set(range(3, 9))


def test_sort_counts_whole_items_and_numbers_in_place():
    meter = Sort().meter("test")
    numbers = np.zeros((4, 1))
    for guess in ([2, 0, 3, 1], [2, 0, 1, 3], [2], []):
        meter.add(numbers, [2, 0, 3, 1], guess)
    assert meter.compute() == {"accuracy": 1 / 4, "in_place": (4 + 2 + 1) / 16}


def test_the_inputs_order_is_the_right_one_once_in_a_factorial():
    found = Sort(points_min=3, points_max=3, test_items=20_000).baselines("test")["input order"]
    assert found["accuracy"] == pytest.approx(1 / 6, rel=0.1)
    assert found["in_place"] == pytest.approx(1 / 3, rel=0.05)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
def test_a_shortest_tour_is_the_shortest_of_all(n):
    cities = np.random.RandomState(n).rand(20, n, 2)
    for points, tour in zip(cities, shortest_tours(cities).tolist(), strict=True):
        lengths = {t: length_of(points, (0, *t)) for t in itertools.permutations(range(1, n))}
        best = min(lengths.values())
        assert sorted(tour) == list(range(n))
        assert length_of(points, tour) == pytest.approx(best, rel=1e-12)
        assert tour[0] == 0
        assert n == 3 or tour[1] < tour[-1]
        assert tour_length(points, tour) == pytest.approx(best)


def test_tours_of_other_sizes_beside_each_other_are_each_the_shortest():
    batch = TSP(points_min=3, points_max=6).draw(60, torch.Generator().manual_seed(1))
    sizes = set()
    for points, positions, rest in rows(batch):
        sizes.add(len(points))
        tour = [p - 1 for p in positions]
        others = itertools.permutations(range(1, len(points)))
        assert length_of(points, tour) == pytest.approx(
            min(length_of(points, (0, *t)) for t in others)
        )
        assert set(rest) == {0}
    assert sizes == {3, 4, 5, 6}


def test_the_mean_optimum_is_that_of_the_paper():
    """Vinyals et al. (2015), table 2: 2.12 with five cities, 2.87 with ten."""
    for n, published in ((5, 2.12), (10, 2.87)):
        batch = whole(TSP(points_min=n, points_max=n), "test")
        lengths = [length_of(x, [p - 1 for p in y]) for x, y, _ in rows(batch)]
        error = np.std(lengths) / len(lengths) ** 0.5
        assert np.mean(lengths) == pytest.approx(published, abs=3 * error + 0.005)


def test_no_tour_of_ten_is_mended_by_exchanging_two_cities():
    cities = np.random.RandomState(0).rand(30, 10, 2)
    for points, tour in zip(cities, shortest_tours(cities).tolist(), strict=True):
        best = length_of(points, tour)
        for i, j in itertools.combinations(range(10), 2):
            other = tour.copy()
            other[i], other[j] = other[j], other[i]
            assert length_of(points, other) >= best - 1e-12
            turned = [*tour[:i], *tour[i : j + 1][::-1], *tour[j + 1 :]]
            assert length_of(points, turned) >= best - 1e-12


@pytest.mark.parametrize(
    ("guess", "tour"),
    [
        ([2, 0, 1, 3], [2, 0, 1, 3]),
        ([2, 2, 0, 2], [2, 0, 1, 3]),
        ([3, 7], [3, 0, 1, 2]),  # city 7 is not there
        ([], [0, 1, 2, 3]),
    ],
)
def test_an_output_that_is_no_tour_is_mended_to_one(guess, tour):
    assert mended(guess, 4) == tour


SQUARE = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
DIAGONALS = 2 + 2 * math.sqrt(2)


def test_tours_are_judged_by_length_as_mended_and_by_validity_as_they_stand():
    meter = TSP().meter("test")
    for guess in ([0, 1, 2, 3], [2, 1, 0, 3], [0, 2, 1, 3], [0, 2, 2]):
        meter.add(SQUARE, [0, 1, 2, 3], guess)
    crossed = DIAGONALS
    assert meter.compute() == pytest.approx(
        {"ratio": (2 + 2 * crossed / 4) / 4, "length": (8 + 2 * crossed) / 4, "valid": 3 / 4}
    )


def test_a_meter_reads_positions_up_to_the_end_of_each_row():
    x = torch.tensor(np.stack([SQUARE, SQUARE])).float()
    x[1, 3] = 0
    y = torch.tensor([[1, 2, 3, 4, 0], [1, 2, 3, 0, 0]])
    batch = Batch(x, y, torch.tensor([4, 3]), torch.tensor([5, 4]))
    said = torch.tensor([[1, 3, 2, 4, 0], [2, 1, 3, 0, 4]])
    meter = TSP(points_min=3).meter("test")
    meter.update(batch, Prediction(y, y > 0, y, said))
    figures = meter.compute()
    assert figures["valid"] == 1
    assert figures["ratio"] == pytest.approx((DIAGONALS / 4 + 1) / 2)
    with pytest.raises(ValueError, match="as decoded"):
        meter.update(batch, Prediction(y, y > 0, y, None))


def test_the_nearest_city_comes_next():
    cities = np.array([[0.0, 0], [0.9, 0], [0.3, 0], [0.5, 0]])
    assert nearest_first(cities) == [0, 2, 3, 1]


def test_baselines_of_tsp_are_valid_and_no_shorter_than_the_optimum():
    found = TSP(points_min=7, points_max=7, test_items=200).baselines("test")
    assert found["input order"]["valid"] == found["nearest city"]["valid"] == 1
    assert 1 < found["nearest city"]["ratio"] < found["input order"]["ratio"]


@pytest.mark.parametrize("kind", [Sort, TSP, ConvexHull])
def test_fewer_points_than_the_fewest_are_refused(kind):
    with pytest.raises(ValueError, match="points_min = 9 is above"):
        kind(points_min=9, points_max=5)


def test_more_than_ten_cities_are_refused():
    with pytest.raises(ValueError, match="points_max"):
        TSP(points_max=11)


@pytest.mark.parametrize(
    "task",
    [Sort(points_max=9, **FEW), TSP(points_min=3, points_max=6, **FEW), TSP(**FEW)],
    ids=lambda task: task.name,
)
def test_the_laws_hold_away_from_the_defaults(task):
    assert broken_laws(task) == {}


def test_examples_show_points_and_positions():
    task = Sort(points_min=3, points_max=3, **FEW)
    batch = whole(task, "valid")
    shown = task.show(batch, Prediction(batch.y, batch.y > 0, batch.y, batch.y))
    assert len(shown) == 8
    assert all(s["target"] == s["prediction"] and s["points"].count("(") == 3 for s in shown)


def test_a_small_pointer_network_sorts_what_the_inputs_order_does_not():
    task = Sort(points_min=4, points_max=4, **FEW)
    figures, _ = figures_after(task, PointerNetwork(hidden=32), steps=300, rate=1e-2, batch=32)
    assert figures["accuracy"] > 0.5 > task.baselines("test")["input order"]["accuracy"]


@pytest.mark.slow
def test_a_small_pointer_network_finds_shorter_tours_than_the_inputs_order():
    task = TSP(valid_items=100, test_items=500)
    figures, _ = figures_after(task, PointerNetwork(hidden=64), steps=3000, rate=3e-3, batch=64)
    trivial = task.baselines("test")["input order"]["ratio"]
    print(figures, trivial)
    assert figures["ratio"] < 1 + 0.7 * (trivial - 1)
