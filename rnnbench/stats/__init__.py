"""Computes what seeds, trials and tasks allow one to say: pure functions on numbers.

    verdicts           all rows of a board judged at once: better, equal, open; ranks; contenders
    spread             how much seeds vary, learnt from all rows
    critical_values    how far apart equal rows seem by chance
    adaptive_seeds     which rows get more seeds, and the level of a board that came about so
    intervals          a mean or a median over seeds with its 95% interval
    tests              Welch, paired t and permutation tests; Holm; effect sizes; seeds it takes
    tests_of_pairs     all pairs by a test of two, adjusted for all of them
    ranks_over_tasks   average ranks, Friedman's test, Nemenyi's critical difference
    normalised_scores  interquartile means, performance profiles, probability of improvement
    best_of_n          what the best of n trials is expected to be
    item_bootstrap     whether other items of the test split would say the same
    student_t          Student's t distribution

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
from rnnbench.stats.tests_of_pairs import pairwise
from rnnbench.stats.verdicts import (
    DEFAULT_MARGIN,
    EqualityMargin,
    Judgement,
    PairJudgement,
    Relation,
    judge_rows,
)

__all__ = [
    "ALPHA",
    "DEFAULT_MARGIN",
    "LEVEL",
    "Difference",
    "EqualityMargin",
    "Estimate",
    "Judgement",
    "Method",
    "PairJudgement",
    "Relation",
    "compare",
    "estimate",
    "hedges_g",
    "holm",
    "judge_rows",
    "least_p",
    "paired",
    "pairwise",
    "permuted",
    "seeds_needed",
    "sign_flipped",
    "superiority",
    "welch",
]
