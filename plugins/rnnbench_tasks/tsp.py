"""The planar travelling salesman problem, as positions of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnbench.contract import Meter, Metric, setting
from rnnbench.data.tasks.synthetic import Figures
from rnnbench_tasks._pointers import Outputs, Pointers

_AT_ONCE = 256  # items whose tours are worked out together


@dataclass(frozen=True)
class TSP(Pointers):
    """Name the cities of a plane in the order of the shortest tour through all of them.

    Cities are uniform in the unit square, as many as are drawn from `points_min` … `points_max`,
    10 at most. The target is an optimal tour, worked out when an item is drawn by the dynamic
    programme of Bellman, Held and Karp: the positions of the cities, counted from 1, begun at the
    first city of the input and in the direction whose second city stands earlier in the input,
    then 0 for the end.

    Decoding offers cities that are left only, so that outputs are tours. "ratio" is the mean over
    items of the tour's length over the optimum's, "length" the mean length, as in the paper's
    table 2; "valid" the share of outputs that are tours. In one that is none (cut short, say)
    cities that it names again are passed over, and those that it leaves out come last, in the
    input's order.
    Variant: the paper has n = 5 and 10 with optimal tours (mean lengths 2.12 and 2.87), 5 to 20
    together, and larger ones with tours of approximate algorithms.
    Baselines: the input's order, and always the nearest city that is left.
    Solved: a ratio of at most 1.01: the paper's network has mean lengths of 2.12 with five cities
    and 2.88 with ten, within 0.4% of the optimum.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Vinyals, Fortunato & Jaitly (2015), arXiv:1506.03134, sections 3.3 and 4.4; the optimal
    tours: Held & Karp (1962), J. SIAM 10(1).
    """

    name: ClassVar[str] = "tsp"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("ratio", "of the optimum", help="mean length of a tour over that of the shortest"),
        Metric("length", "sides of the square", help="mean length of a tour"),
        Metric("valid", "share", higher_is_better=True, help="outputs that are tours unmended"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 128,
        "optimizer.lr": 3e-3,
        "budget.steps": 4000,
        "budget.validate_every": 500,
    }
    width: ClassVar[int] = 2
    distinct: ClassVar[bool] = True

    points_min: int = setting(5, "fewest cities of an item", unit="cities", low=3, high=10)
    points_max: int = setting(5, "most cities of an item", unit="cities", low=3, high=10)

    def answers(self, elements: list[np.ndarray]) -> list[list[int]]:
        tour_of: list[list[int]] = [[] for _ in elements]
        for n in {len(cities) for cities in elements}:
            places = [i for i, cities in enumerate(elements) if len(cities) == n]
            for begin in range(0, len(places), _AT_ONCE):
                chosen = places[begin : begin + _AT_ONCE]
                tours = shortest_tours(np.stack([elements[i] for i in chosen]))
                for i, tour in zip(chosen, tours.tolist(), strict=True):
                    tour_of[i] = tour
        return tour_of

    def meter(self, split: str) -> Meter:
        return Tours()

    def baselines(self, split: str) -> Figures:
        rules = {"input order": lambda cities: range(len(cities)), "nearest city": nearest_first}
        return self.compare(split, rules)


class Tours(Outputs):
    """Measures "ratio", "length" and "valid"; see `TSP`."""

    def __init__(self) -> None:
        self.count = self.valid = 0
        self.ratios = self.lengths = 0.0

    def add(self, elements: np.ndarray, answer: list[int], guess: list[int]) -> None:
        length = tour_length(elements, mended(guess, len(elements)))
        self.count += 1
        self.valid += sorted(guess) == list(range(len(elements)))
        self.lengths += length
        self.ratios += length / tour_length(elements, answer)

    def compute(self) -> dict[str, float]:
        if not self.count:
            raise RuntimeError("Tours saw no output: the split was empty")
        sums = {"ratio": self.ratios, "length": self.lengths, "valid": self.valid}
        return {name: total / self.count for name, total in sums.items()}


def mended(guess: Sequence[int], cities: int) -> list[int]:
    """Return the tour that an output stands for: each city once, those left out at the end."""
    there = (city for city in (*guess, *range(cities)) if city < cities)
    return list(dict.fromkeys(there))


def tour_length(cities_N2: np.ndarray, tour: Sequence[int]) -> float:
    """Return the length of the closed tour."""
    way = cities_N2[list(tour)]
    return float(np.linalg.norm(way - np.roll(way, -1, 0), axis=1).sum())


def nearest_first(cities_N2: np.ndarray) -> list[int]:
    """Return the tour that goes from the first city always to the nearest one that is left."""
    tour, unvisited = [0], set(range(1, len(cities_N2)))
    while unvisited:
        here = cities_N2[tour[-1]]
        tour.append(min(unvisited, key=lambda c: float(np.linalg.norm(cities_N2[c] - here))))
        unvisited.remove(tour[-1])
    return tour


def shortest_tours(cities_BN2: np.ndarray) -> np.ndarray:
    """Return (B, N) optimal tours from city 0.

    They go in the direction whose second city has the lower number.

    With S a set of cities other than 0 and j in S,
    cost(S, j) = min over k in S \\ {j} of cost(S \\ {j}, k) + d(k, j),   cost({j}, j) = d(0, j):
    the shortest way from 0 through S that ends in j. O(2^N N²) for each item.
    """
    rows, n = cities_BN2.shape[:2]
    d_NNB = np.linalg.norm(cities_BN2[:, :, None] - cities_BN2[:, None], axis=-1).transpose(1, 2, 0)
    m = n - 1  # city j + 1 is bit j of a set
    cost_SMB = np.full((2**m, m, rows), np.inf)
    before_SMB = np.zeros((2**m, m, rows), np.int8)
    for j in range(m):
        cost_SMB[1 << j, j] = d_NNB[0, j + 1]
    sets = np.arange(2**m)
    sizes = sum((sets >> j) & 1 for j in range(m))
    for size in range(2, m + 1):
        for j in range(m):
            with_j = sets[(sizes == size) & ((sets >> j) & 1 == 1)]
            via = cost_SMB[with_j ^ (1 << j)] + d_NNB[1:, j + 1]
            before_SMB[with_j, j] = via.argmin(1)
            cost_SMB[with_j, j] = via.min(1)
    tours_BN = np.zeros((rows, n), np.int64)
    row_B, left_B = np.arange(rows), np.full(rows, 2**m - 1)
    at_B = (cost_SMB[-1] + d_NNB[0, 1:]).argmin(0)
    for place in range(m, 0, -1):
        tours_BN[:, place] = at_B + 1
        before_B = before_SMB[left_B, at_B, row_B].astype(np.int64)
        left_B, at_B = left_B ^ (1 << at_B), before_B
    backwards = tours_BN[:, 1] > tours_BN[:, -1]
    tours_BN[backwards, 1:] = tours_BN[backwards, :0:-1]
    return tours_BN
