"""Judges all rows of a board at once: which are better, which equal, and what is open.

One analysis answers every question of a board, so that no two answers contradict each other: the
verdict of a pair, the rank that a row may have, and the rows that may be the best.

- A row is better than another where their difference is shown: of all pairs of the board the chance
  that any is told apart wrongly is at most 5%. The limit is that of the range of all rows.
- Two rows are equal where their difference is shown to be less than a margin that matters.
- All else is open, with the number of seeds that would settle it.
- Contenders hold the best row with 95%. That a row is not the best takes less evidence than saying
  which row is better, so a row may be out of the race while its pairs are open. Where one row alone
  is left, it is better than all.

Variances are those of `rnnbench.stats.spread`. Sources: Tukey (1953), Kramer (1956, Biometrics 12)
for all pairs; Hsu (1981), Annals of Statistics 9, for the best; Schuirmann (1987), J.
Pharmacokinetics and Biopharmaceutics 15, for equality by two one-sided tests, here with the
simultaneous interval; Lachin (1999), Controlled Clinical Trials 20, for worst ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnbench.stats.comparisons import Comparisons, compare_rows
from rnnbench.stats.figure_scale import Scale, choose_scale
from rnnbench.stats.intervals import LEVEL, finite
from rnnbench.stats.spread import Spread

Relation = Literal["better", "worse", "equal", "open"]
MOST_SEEDS = 200  # that `seeds_needed` looks for; a question that takes more stays open


@dataclass(frozen=True)
class EqualityMargin:
    """Says how much of a difference does not matter.

    Attributes:
        amount: in the metric's unit, or a share of the best row's figure (0.01 is 1%).
        relative: whether it is a share. On the log scale a share is one of either row's figure.
    """

    amount: float
    relative: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amount) and self.amount > 0):
            raise ValueError(f"a margin is a number above 0, got {self.amount!r}")


DEFAULT_MARGIN = EqualityMargin(0.01, relative=True)
"""One percent of the best row's figure: less than that is hardly a reason to take another model,
and on most boards a few more seeds can show it. A task that knows better says so in its unit."""


@dataclass(frozen=True)
class PairJudgement:
    """The verdict on two rows, first against second.

    Attributes:
        relation: "better" says that the first is.
        difference: first minus second in the metric's unit; on the log scale first / second. None
            where no seed of a row came through.
        low, high: simultaneous interval of the difference (or ratio); infinite where unknown. It
            holds the truth of all pairs at once with 95%.
        p: adjusted for all pairs; below 1 - level where a row is better, and nowhere else.
        within_margin: the interval lies within the margin, even where one row is shown to be
            better: the difference is there and does not matter.
        seeds_needed: seeds of each of the two rows that would settle it, were means and spread to
            stay as they are; None where it is settled, or would take more than 200.
        more_seeds: how many more these are, for the row that has fewest.
        by_failures: what tells the two apart is how often their seeds fail.
    """

    relation: Relation
    difference: float | None
    low: float
    high: float
    p: float
    within_margin: bool
    seeds_needed: int | None = None
    more_seeds: int | None = None
    by_failures: bool = False


@dataclass(frozen=True, eq=False)
class Judgement:
    """Everything that may be said of a board's rows; rows are named by their place in the input.

    Attributes:
        order: rows from the best centre to the worst; behind them those that are shown to fail
            more, and those of which no seed came through.
        centres: mean of a row in the metric's unit, or its geometric mean on the log scale; of
            seeds that came through. None where none did.
        ranks: (best, worst) rank that each row may have.
        contenders: rows that hold the best with 95%, the best centre first.
        scale, scale_reason: whether logarithms were compared, and why.
        margin: in the metric's unit, or as a ratio above 1 on the log scale; None where none was
            given.
        deviation: of one seed of a row of this board, on the scale (of logarithms on the log
            scale); None where no row has two seeds.
        prior_df: degrees of freedom that each row is lent by the others; infinite where rows vary
            equally.
        level: of all intervals.
        assumptions: what was taken for granted, in sentences.
    """

    order: tuple[int, ...]
    centres: tuple[float | None, ...]
    ranks: tuple[tuple[int, int], ...]
    contenders: tuple[int, ...]
    scale: Scale
    scale_reason: str
    margin: float | None
    deviation: float | None
    prior_df: float
    level: float
    assumptions: tuple[str, ...]
    higher_is_better: bool
    comparisons: Comparisons
    margin_of_scores: float | None
    unit: float = 1.0  # of what is compared on the linear scale, in the metric's unit

    def relation(self, first: int, second: int) -> Relation:
        """Return what is known of two rows; "better" says that the first is."""
        if first == second:
            return "equal"
        if self.comparisons.better_KK[first, second]:
            return "better"
        if self.comparisons.better_KK[second, first]:
            return "worse"
        return "equal" if self.within_margin(first, second) else "open"

    def within_margin(self, first: int, second: int) -> bool:
        """Tell whether two rows are shown to differ by less than the margin."""
        return _within(self.comparisons.low_KK, self.margin_of_scores, first, second)

    def pair(self, first: int, second: int) -> PairJudgement:
        """Return the verdict on two rows with its figures."""
        relation = self.relation(first, second)
        known = self.comparisons
        difference = float(known.means[first] - known.means[second])
        low, high = float(known.low_KK[first, second]), -float(known.low_KK[second, first])
        if not self.higher_is_better:
            difference, low, high = -difference, -high, -low
        if self.scale == "log":
            difference, low, high = (_exp(x) for x in (difference, low, high))
        else:
            difference, low, high = (self.unit * x for x in (difference, low, high))
        needed = self._seeds_needed(first, second) if relation == "open" else None
        fewest = int(min(known.figures[first], known.figures[second]))
        by_failures = known.by_failures_KK[first, second] or known.by_failures_KK[second, first]
        return PairJudgement(
            relation=relation,
            difference=None if math.isnan(difference) else difference + 0.0,
            low=low + 0.0,
            high=high + 0.0,
            p=known.p(first, second),
            within_margin=self.within_margin(first, second),
            seeds_needed=needed,
            more_seeds=None if needed is None else needed - fewest,
            by_failures=bool(by_failures),
        )

    def _seeds_needed(self, i: int, j: int) -> int | None:
        """Return with how many seeds each this difference would be shown, or lie in the margin."""
        known, spread = self.comparisons, self.comparisons.spread
        if known.held_back(i, j):
            return None  # as long as it fails so often
        difference = abs(float(known.means[i] - known.means[j]))
        target = max(difference, (self.margin_of_scores or 0.0) - difference)
        variance = float(spread.variances[i] + spread.variances[j])
        if not (math.isfinite(variance) and math.isfinite(target) and target > 0):
            return None

        def enough(n: int) -> bool:
            limit = known.limits.pairs_at(spread.prior_df + n - 1)
            return limit * math.sqrt(variance / n) < target

        low, high = int(min(known.figures[i], known.figures[j])), MOST_SEEDS
        if low >= high or not enough(high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high


def judge_rows(
    samples: Sequence[Sequence[float] | np.ndarray],
    higher_is_better: bool,
    *,
    margin: EqualityMargin | None = DEFAULT_MARGIN,
    scale: Literal["auto", "linear", "log"] = "auto",
    failures: Sequence[int] | None = None,
    level: float = LEVEL,
) -> Judgement:
    """Judge all rows of a board at once.

    Args:
        samples: the figures of each row, one for each seed that came through; numbers of seeds may
            differ, and may be 1. A row whose seeds all failed has none.
        margin: how much does not matter; None: rows are equal only where no seed varies.
        scale: "auto" takes logarithms where seeds vary in proportion to the figures.
        failures: how many further seeds of each row failed or diverged. They rank behind all
            figures: more of them speak against a row, and never for it.
        level: of all intervals and verdicts. Of a board whose seeds were added by looking at
            results, pass what `rnnbench.stats.adaptive_seeds` says.
    Raises:
        ValueError: a figure is not finite, a row has neither figures nor failures, or logarithms
            are asked for of figures that are not above 0.
    """
    failed = np.zeros(len(samples), dtype=int) if failures is None else np.asarray(failures, int)
    if len(failed) != len(samples) or (failed < 0).any():
        raise ValueError("failures are one number a row, none below 0")
    values = [
        np.empty(0) if not len(s) and f else finite(s) for s, f in zip(samples, failed, strict=True)
    ]
    reason, unit = "asked for", _unit(values)
    in_units = [v / unit for v in values]
    if scale == "auto":
        scale, reason = choose_scale(in_units)
    elif scale == "log" and any((v <= 0).any() for v in values):
        raise ValueError("logarithms take figures above 0")
    sign = 1.0 if higher_is_better else -1.0
    scores = [sign * v for v in (map(np.log, values) if scale == "log" else in_units)]
    known = compare_rows(scores, failed, 1 - level)
    means = [None if math.isnan(m) else sign * float(m) for m in known.means]
    order = known.order
    margin_of_scores = _of_scores(margin, scale, [m for m in means if m is not None], sign, unit)
    beaten = known.beaten.copy()
    for i in np.flatnonzero(known.beaten & ~known.better_KK.any(0)):
        # It is not the best by less than what matters: it stays among those that may be.
        beaten[i] = not any(
            _within(known.low_KK, margin_of_scores, int(i), int(j))
            for j in np.flatnonzero(~known.beaten)
        )
    spread = known.spread
    return Judgement(
        order=order,
        centres=tuple(
            m if m is None else math.exp(m) if scale == "log" else unit * m for m in means
        ),
        ranks=_ranks(known.better_KK, beaten, order),
        contenders=tuple(i for i in order if not beaten[i]),
        scale=scale,
        scale_reason=reason,
        margin=None
        if margin_of_scores is None
        else _exp(margin_of_scores)
        if scale == "log"
        else unit * margin_of_scores,
        deviation=math.sqrt(spread.prior_variance) * (1.0 if scale == "log" else unit)
        if spread.df.any()
        else None,
        prior_df=spread.prior_df,
        level=level,
        assumptions=tuple(_assumptions(spread, scale, failed)),
        higher_is_better=higher_is_better,
        comparisons=known,
        margin_of_scores=margin_of_scores,
        unit=unit,
    )


def _unit(values: Sequence[np.ndarray]) -> float:
    """Return 1, or for figures whose squares are beyond what floats hold their largest size."""
    largest = max((float(np.abs(v).max()) for v in values if len(v)), default=0.0)
    if largest == 0 or 1e-100 < largest < 1e100:
        return 1.0
    return math.ldexp(1.0, math.frexp(largest)[1] - 1)


def _ranks(
    better_KK: np.ndarray, beaten: np.ndarray, order: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Return the best and worst rank that each row may have."""
    best = np.ones(len(order), dtype=int)
    for i in order:  # those that are better come first
        ahead = better_KK[:, i]
        best[i] = max([1 + int(ahead.sum()), 1 + int(beaten[i]), *(1 + best[ahead])])
    worst = len(order) - better_KK.sum(1)
    return tuple((int(b), int(w)) for b, w in zip(best, worst, strict=True))


def _within(low_KK: np.ndarray, margin: float | None, i: int, j: int) -> bool:
    if low_KK[i, j] == low_KK[j, i] == 0:  # nothing varies, and they are the same
        return True
    return margin is not None and bool(min(low_KK[i, j], low_KK[j, i]) > -margin)


def _of_scores(
    margin: EqualityMargin | None, scale: Scale, means: Sequence[float], sign: float, unit: float
) -> float | None:
    """Return the margin on the scale that is compared; None where there is none."""
    if margin is None or not means:
        return None
    best = max(means, key=lambda m: sign * m)
    if scale == "log":
        share = margin.amount if margin.relative else margin.amount / math.exp(best)
        return math.log1p(share)
    size = margin.amount * abs(best) if margin.relative else margin.amount / unit
    return size or None


def _assumptions(spread: Spread, scale: Scale, failed: np.ndarray) -> list[str]:
    """Say what the verdicts take for granted."""
    what = "logarithms of the figures" if scale == "log" else "figures"
    said = [f"Means of the {what} over seeds are close to normal, and seeds are independent."]
    if not spread.df.any():
        return [*said, "No row has two seeds: nothing is known of how much they vary."]
    if math.isinf(spread.prior_df):
        said.append("Seeds vary equally in all rows.")
    elif spread.prior_df > 0:
        said.append(
            "How much seeds vary is drawn alike for all rows: beside its own seeds each row is "
            f"lent {spread.prior_df:g} degrees of freedom by the others."
        )
    else:
        said.append("No seed makes a difference: figures are taken for exact.")
    if failed.any():
        said.append("Seeds that failed rank behind every figure.")
    return said


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
