"""Computes what seeds, trials and tasks allow one to say: pure functions on numbers.

    intervals   a mean or a median over seeds with its 95% interval
    differences Welch, paired t and permutation tests; Holm; effect sizes; how many seeds it takes
    tiers       samples parted into tiers of ties
    ranking     average ranks over tasks, Friedman's test, Nemenyi's critical difference
    pooling     interquartile means, performance profiles, probability of improvement
    trials      what the best of n trials is expected to be

Samples are finite figures of one metric, one a seed.
"""

from rnnbench.stats.intervals import LEVEL, Estimate, Method, estimate
from rnnbench.stats.tests import (
    ALPHA,
    Difference,
    compare,
    hedges_g,
    holm,
    least_p,
    paired,
    permuted,
    seeds_needed,
    sign_flipped,
    superiority,
    welch,
)
from rnnbench.stats.tiers import Placing, pairwise, tiers

__all__ = [
    "ALPHA",
    "LEVEL",
    "Difference",
    "Estimate",
    "Method",
    "Placing",
    "compare",
    "estimate",
    "hedges_g",
    "holm",
    "least_p",
    "paired",
    "pairwise",
    "permuted",
    "seeds_needed",
    "sign_flipped",
    "superiority",
    "tiers",
    "welch",
]
