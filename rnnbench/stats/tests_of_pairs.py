"""Tests all pairs of samples by a test of two, with p values adjusted for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from rnnbench.stats.intervals import STANDARD, Method, finite
from rnnbench.stats.student_t import two_sided
from rnnbench.stats.tests import holm, permutation_p


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
