"""A paired bootstrap over items: would other sentences, or other series, say the same of two rows?

Seeds tell whether training again would come out the same way; items tell whether the test split
would. Pure functions on tables of figures, one row for each item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnbench.stats.intervals import LEVEL, SEED

RESAMPLES = 1_000
AT_ONCE = 4_000_000  # numbers of a part of the resampling, so that memory stays small


@dataclass(frozen=True)
class ItemTable:
    """The figures that each item of the test split added to the headline of one run.

    Attributes:
        form, scale: see `rnnbench.contract.ItemScores`.
        values_NC: the C figures of each of the N items.
    """

    metric: str
    unit: str
    form: str
    scale: float
    values_NC: np.ndarray


@dataclass(frozen=True)
class ItemTest:
    """The result of a paired bootstrap over items: would other items of the same source agree?

    Attributes:
        unit: what an item is.
        n: number of items.
        difference: of the headline, mean over seeds, turned so that positive is better.
        low, high: its 95% interval over items.
        p: two-sided, unadjusted: twice the share of resamples on the other side of 0.
    Source: Koehn (2004), EMNLP, section 4, for BLEU.
    """

    unit: str
    n: int
    difference: float
    low: float
    high: float
    p: float


def compare_items(
    first: Sequence[ItemTable], second: Sequence[ItemTable], higher_is_better: bool
) -> ItemTest | None:
    """Compare two rows by a paired bootstrap over their items; each row is the mean of its seeds.

    Returns:
        None where the rows were not measured on the same items, or on fewer than two.
    """
    tables = [*first, *second]
    if not first or not second or len({(t.form, t.unit, t.values_NC.shape) for t in tables}) > 1:
        return None
    count = len(tables[0].values_NC)
    if count < 2:
        return None
    sign = 1.0 if higher_is_better else -1.0

    def difference(weights_RN: np.ndarray) -> np.ndarray:
        first_R, second_R = (
            np.mean([_metric_of_resamples(t, weights_RN) for t in side], axis=0)
            for side in (first, second)
        )
        return sign * (first_R - second_R)

    rng = np.random.default_rng(SEED)
    part = max(1, AT_ONCE // count)
    differences_R = np.concatenate(
        [
            difference(rng.multinomial(count, np.full(count, 1 / count), min(part, RESAMPLES - i)))
            for i in range(0, RESAMPLES, part)
        ]
    )
    observed = float(difference(np.ones((1, count)))[0])
    low, high = np.quantile(differences_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # One is added to either count, since a share of no resample is not a probability of 0.
    below, above = (int(side.sum()) for side in (differences_R <= 0, differences_R >= 0))
    p = min(1.0, 2 * (1 + min(below, above)) / (1 + RESAMPLES))
    return ItemTest(tables[0].unit, count, observed, float(low), float(high), p)


def _metric_of_resamples(table: ItemTable, weights_RN: np.ndarray) -> np.ndarray:
    """Return (R,): the metric of each resample; an item counts as often as it was drawn."""
    return FORMS[table.form](weights_RN @ table.values_NC, table.scale)


def _ratio(sums_RC: np.ndarray, scale: float) -> np.ndarray:
    return np.asarray(scale * sums_RC[:, 0] / np.maximum(sums_RC[:, 1], 1e-300))


def bleu(sums_RC: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Return (R,): BLEU of summed statistics, with the exponential smoothing of sacreBLEU.

    Source: Papineni et al. (2002), section 2.3; smoothing: Chen & Cherry (2014), method 3, as in
    sacreBLEU.
    """
    guess, reference = sums_RC[:, 0], sums_RC[:, 1]
    matches, chances = sums_RC[:, 2:6], sums_RC[:, 6:10]
    # The k-th order without a match counts 1 / 2^k of a match.
    empty = (matches == 0) & (chances > 0)
    smoothed = np.where(empty, 0.5 ** np.cumsum(empty, 1), matches)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(smoothed / np.maximum(chances, 1)).mean(1)
        brevity = np.where(guess < reference, np.exp(1 - reference / np.maximum(guess, 1)), 1.0)
    nothing = (chances == 0).any(1) | (matches == 0).all(1)
    return np.asarray(np.where(nothing, 0.0, 100 * scale * brevity * np.exp(logs)))


FORMS = {"ratio": _ratio, "bleu": bleu}
"""How the summed figures of items become the metric, by the name of `ItemTable.form`."""
