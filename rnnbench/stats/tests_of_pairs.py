"""Parts samples into tiers of ties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnbench.stats.intervals import STANDARD, Method, centre, finite
from rnnbench.stats.student_t import two_sided
from rnnbench.stats.tests import ALPHA, holm, permutation_p


@dataclass(frozen=True)
class Placing:
    """The place of a sample among others.

    Attributes:
        tier: 0 for those that tie with the best, 1 for those that tie with the best of the
            rest, and so on.
        p: of the difference from the best of all, Holm-adjusted over all pairs; None for the best
            itself and for single seeds.
    """

    tier: int
    p: float | None = None


def tiers(
    samples: Sequence[Sequence[float]], higher_is_better: bool, method: Method = STANDARD
) -> list[Placing]:
    """Part samples into tiers of ties.

    The best centre leads, and in the order of centres a tier ends before the first sample that is
    worse than its leader with p < 0.05 by the method's test, Holm-adjusted over all pairs: the
    figures chose the leader, so all pairs were looked at. So a noisy sample cannot stand above one
    with a better mean for being noisy; its `p` still says where it cannot be told from the best. A
    sample of one seed cannot be told apart at all: it stands in the tier of its neighbour, the next
    better sample of several seeds (or where there is none, the next worse).

    Raises:
        ValueError: a sample is empty or not finite.
    """
    means = [centre(sample, method) for sample in samples]
    order = sorted(range(len(samples)), key=lambda i: -means[i] if higher_is_better else means[i])
    several = [i for i in order if len(samples[i]) > 1]
    p_values = pairwise([samples[i] for i in several], method)
    placed: dict[int, Placing] = {}
    leader = tier = 0
    for place, i in enumerate(several):
        if place and p_values[leader, place] < ALPHA:
            leader, tier = place, tier + 1
        placed[i] = Placing(tier, float(p_values[0, place]) if place else None)
    current = placed[several[0]] if several else Placing(0)
    for i in order:
        current = placed.get(i, Placing(current.tier))
        placed[i] = current
    return [placed[i] for i in range(len(samples))]


def pairwise(samples: Sequence[Sequence[float]], method: Method = STANDARD) -> np.ndarray:
    """Return (N, N): the p of each pair, Holm-adjusted over all pairs; 1 of a sample with itself.

    Raises:
        ValueError: a sample has fewer than two values, or one that is not finite.
    """
    values = [finite(sample) for sample in samples]
    if any(len(v) < 2 for v in values):
        raise ValueError("a test needs two seeds or more on either side")
    rows, columns = np.triu_indices(len(values), 1)
    table = np.ones((len(values), len(values)))
    if not len(rows):
        return table
    raw = (_welch_pairs if method.test == "t" else _permute_pairs)(values, rows, columns, method)
    table[rows, columns] = table[columns, rows] = holm([float(p) for p in raw])
    return table


def _welch_pairs(values: list[np.ndarray], a: np.ndarray, b: np.ndarray, _: Method) -> np.ndarray:
    """Run `tests.welch` on many pairs at once."""
    n = np.array([len(v) for v in values], dtype=float)
    same = np.array([np.ptp(v) == 0 for v in values])  # else rounding leaves them a variance
    mean = np.array([v[0] if s else v.mean() for v, s in zip(values, same, strict=True)])
    error = np.where(same, 0.0, [np.var(v, ddof=1) / len(v) for v in values])
    difference, both_errors = np.abs(mean[a] - mean[b]), error[a] + error[b]
    certain = both_errors == 0
    safe = np.where(certain, 1.0, both_errors)
    df = 1 / np.where(
        certain,
        1.0,
        (error[a] / safe) ** 2 / (n[a] - 1) + (error[b] / safe) ** 2 / (n[b] - 1),
    )
    p = two_sided(difference / np.sqrt(safe), df)
    return np.where(certain, (difference == 0).astype(float), p)


def _permute_pairs(
    values: list[np.ndarray], a: np.ndarray, b: np.ndarray, method: Method
) -> np.ndarray:
    """Run `tests.permuted` on many pairs, those of equal sizes at once."""
    p_values = np.empty(len(a))
    sizes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for pair, (i, j) in enumerate(zip(a, b, strict=True)):
        sizes[len(values[i]), len(values[j])].append(pair)
    for pairs in sizes.values():
        first, second = (np.stack([values[side[k]] for k in pairs]) for side in (a, b))
        p_values[pairs] = permutation_p(first, second, "independent", method)
    return p_values
