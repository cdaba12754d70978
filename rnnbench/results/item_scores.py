"""Figures of single items beside a record, and what they say of two rows. No torch here.

Seeds tell whether training again would come out the same way; items tell whether other sentences,
or other series, would. A run on test keeps in `items.json` what each item added to the headline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.stats.intervals import LEVEL, SEED

ITEMS = "items.json"
RESAMPLES = 1_000
AT_ONCE = 4_000_000  # numbers of a part of the resampling, so that memory stays small


@dataclass(frozen=True)
class ItemTable:
    """What each item of the test split added to the headline of one run.

    Attributes:
        form, scale: see `rnnbench.contract.Items`.
        values_NC: figures of the items.
    """

    metric: str
    unit: str
    form: str
    scale: float
    values_NC: np.ndarray


@dataclass(frozen=True)
class ItemTest:
    """A paired bootstrap over items: would other items from the same source say the same?

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


def read_items(path: Path) -> ItemTable | None:
    """The items beside a record; None where there are none.

    Raises:
        ValueError: the file is damaged; the message names it.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _table(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error


def _table(d: Mapping[str, Any]) -> ItemTable:
    values = np.array(d["values"], dtype=float)
    if values.ndim != 2 or d["form"] not in _FORMS:
        raise ValueError("it holds no table of figures")
    return ItemTable(d["metric"], d["unit"], d["form"], float(d["scale"]), values)


def compare_items(
    first: Sequence[ItemTable], second: Sequence[ItemTable], higher_is_better: bool
) -> ItemTest | None:
    """The paired bootstrap of two rows, each the mean over its seeds; None: not the same items."""
    tables = [*first, *second]
    if not first or not second or len({(t.form, t.unit, t.values_NC.shape) for t in tables}) > 1:
        return None
    count = len(tables[0].values_NC)
    if count < 2:
        return None
    sign = 1.0 if higher_is_better else -1.0

    def difference(weights_RN: np.ndarray) -> np.ndarray:
        one, two = (
            np.mean([_metric(t, weights_RN) for t in side], axis=0) for side in (first, second)
        )
        return sign * (one - two)

    rng = np.random.default_rng(SEED)
    part = max(1, AT_ONCE // count)
    drawn = np.concatenate(
        [
            difference(rng.multinomial(count, np.full(count, 1 / count), min(part, RESAMPLES - i)))
            for i in range(0, RESAMPLES, part)
        ]
    )
    observed = float(difference(np.ones((1, count)))[0])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # One is added to either count, since a share of no resample is not a probability of 0.
    below, above = (int((side).sum()) for side in (drawn <= 0, drawn >= 0))
    p = min(1.0, 2 * (1 + min(below, above)) / (1 + RESAMPLES))
    return ItemTest(tables[0].unit, count, observed, float(low), float(high), p)


def _metric(table: ItemTable, weights_RN: np.ndarray) -> np.ndarray:
    """(R,): the metric of each resample, an item counting as often as it was drawn."""
    return _FORMS[table.form](weights_RN @ table.values_NC, table.scale)


def _ratio(sums_RC: np.ndarray, scale: float) -> np.ndarray:
    return np.asarray(scale * sums_RC[:, 0] / np.maximum(sums_RC[:, 1], 1e-300))


def bleu(sums_RC: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """(R,): BLEU of summed statistics, as sacreBLEU's with its exponential smoothing.

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


_FORMS = {"ratio": _ratio, "bleu": bleu}
