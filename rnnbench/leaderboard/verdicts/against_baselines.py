"""Sets rows against trivial baselines, which have one value and no seeds.

By Student's t of the row's seeds, adjusted for the number of rows. The spread is the row's own, or
learnt from all rows of the board. Failed seeds count as the worst figure that there is: a row that
is better only without them is not shown to be better.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.leaderboard.verdicts.pairs import ONE_SEED, Relation, RowPair
from rnnbench.stats import ALPHA, Estimate, holm, paired
from rnnbench.stats.spread import Spread, moderate
from rnnbench.stats.student_t import quantile, two_sided

CERTAIN = 1e6  # degrees of freedom that are as good as infinite


@dataclasses.dataclass(frozen=True)
class BaselineScale:
    """How rows are set against baselines.

    Attributes:
        log: logarithms are compared, where the baseline has one.
        shared_spread: the spread is learnt from all rows.
    """

    higher_is_better: bool
    log: bool = False
    shared_spread: bool = True


def judge_baselines(
    samples: Mapping[str, Sequence[float]],
    baselines: Mapping[str, float],
    margin: EqualWithin,
    scale: BaselineScale,
    failures: Mapping[str, int],
) -> tuple[RowPair, ...]:
    """Judge each row against each baseline."""
    return tuple(
        pair
        for name, value in baselines.items()
        for pair in _judge_baseline(samples, name, value, margin, scale, failures)
    )


def _judge_baseline(
    samples: Mapping[str, Sequence[float]],
    baseline: str,
    value: float,
    margin: EqualWithin,
    scale: BaselineScale,
    failures: Mapping[str, int],
) -> list[RowPair]:
    log = scale.log and value > 0
    sign = 1.0 if scale.higher_is_better else -1.0
    # Of gains more is better, and the baseline is at 0.
    gains = {
        row: sign * (np.log(np.array(s) / value) if log else np.array(s) - value)
        for row, s in samples.items()
    }
    spread = moderate(list(gains.values())) if scale.shared_spread else _own(gains)
    known = [row for row, df in zip(gains, spread.df, strict=True) if df > 0]
    errors = {
        row: math.sqrt(float(variance) / len(gain))
        for (row, gain), variance in zip(gains.items(), spread.variances, strict=True)
    }
    dfs = {
        row: min(CERTAIN, 1 / (1 / float(df) + 1 / spread.common_df))
        for row, df in zip(gains, spread.df, strict=True)
        if df > 0
    }
    raw = [_p_of(float(gains[row].mean()), errors[row], dfs[row]) for row in known]
    adjusted = dict(zip(known, holm(raw), strict=True))
    within = margin.around(value)
    if log:
        within = math.log1p(margin.size if margin.relative else margin.size / value)
    worst = min((float(gain.min()) for gain in gains.values()), default=0.0)
    pairs = []
    for row, gain in gains.items():
        mean, n = float(gain.mean()), len(gain)
        plain = Estimate(sign * (_centre(samples[row], log) - value), n)
        if row not in adjusted:
            note = ONE_SEED.format(row)
            pairs.append(RowPair(row, baseline, "open", plain, note=note))
            continue
        half = float(quantile(1 - ALPHA / 2 / len(known), dfs[row])) * errors[row]
        low, high = mean - half, mean + half
        in_margin = -within <= low and high <= within
        relation: Relation = "equal" if in_margin else "open"
        if adjusted[row] < ALPHA:
            relation = "better" if mean > 0 else "worse"
        note, failed = "", failures.get(row, 0)
        if failed and relation in ("better", "equal") and not _survives(gain, failed, worst):
            relation, note = "open", f"{failed} of {failed + n} seeds of {row} failed"
        difference, ratio = Estimate(plain.mean, n, None, low, high), None
        if log:
            ends = sorted((math.exp(sign * low), math.exp(sign * high)))
            difference = plain
            ratio = Estimate(math.exp(sign * mean), n, None, *ends)
        pairs.append(
            RowPair(
                row, baseline, relation, difference, ratio, adjusted[row],
                within_margin=in_margin, note=note,
            )
        )  # fmt: skip
    return pairs


def _own(gains: Mapping[str, np.ndarray]) -> Spread:
    """Return each row's own spread."""
    variances = [float(np.var(g, ddof=1)) if np.ptp(g) else 0.0 if len(g) > 1 else math.inf
                 for g in gains.values()]  # fmt: skip
    df = np.array([len(g) - 1.0 for g in gains.values()])
    return Spread(np.array(variances), df, math.inf, 0.0, 0.0)


def _p_of(mean: float, error: float, df: float) -> float:
    if error == 0:
        return float(mean == 0)
    return float(two_sided(mean / error, df))


def _survives(gain: np.ndarray, failed: int, worst: float) -> bool:
    """Tell whether a row is better than the baseline with its failed seeds at the worst figure."""
    completed = [*map(float, gain), *[min(worst, 0.0)] * failed]
    test = paired(completed, [0.0] * len(completed))
    return test.difference > 0 and test.p < ALPHA


def _centre(sample: Sequence[float], log: bool) -> float:
    if log:
        return math.exp(math.fsum(map(math.log, sample)) / len(sample))
    return math.fsum(sample) / len(sample)
