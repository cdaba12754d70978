"""Judges all rows of a board at once, with a spread that is learnt from all of them.

`rnnbench.stats.judge_rows` judges them; here its answer is put into the words of a board.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.leaderboard.verdicts.against_baselines import BaselineScale, judge_baselines
from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.leaderboard.verdicts.pairs import ONE_SEED, BoardVerdicts, RowPair
from rnnbench.stats import (
    LEVEL,
    EqualityMargin,
    Estimate,
    Judgement,
    Method,
    estimate,
    judge_rows,
)
from rnnbench.stats.verdicts import MOST_SEEDS

METHOD = "a spread learnt from all rows, and the range of all rows"


def judge_all_at_once(
    samples: Mapping[str, Sequence[float]],
    baselines: Mapping[str, float],
    headline: Mapping[str, Any],
    margin: EqualWithin,
    failures: Mapping[str, int],
    method: Method,
    look: float = LEVEL,
) -> BoardVerdicts:
    """Judge rows by the figures of their seeds; see `of_board.judge_samples`."""
    higher = bool(headline.get("higher_is_better"))
    names = sorted(samples)
    judged = judge_rows(
        [samples[name] for name in names],
        higher,
        margin=EqualityMargin(margin.size, margin.relative) if margin.size else None,
        scale=headline.get("scale", "auto"),
        failures=[failures.get(name, 0) for name in names],
        level=look,
    )
    order = [names[i] for i in judged.order]
    place = {name: i for i, name in enumerate(names)}
    several = [name for name in order if len(samples[name]) > 1]
    pairs = [
        _as_row_pair(judged, names, place[row], place[other], samples, failures, higher)
        for i, row in enumerate(order)
        for other in order[i + 1 :]
    ]
    in_order = {name: samples[name] for name in order}
    return BoardVerdicts(
        look=judged.level,
        leader=_leader([names[i] for i in judged.contenders], several, order),
        method=METHOD,
        scale=judged.scale,
        scale_reason=judged.scale_reason,
        equal_within=margin,
        contenders=tuple(names[i] for i in judged.contenders),
        places={name: judged.ranks[place[name]] for name in order},
        centres={name: _centre(samples[name], judged.scale, method) for name in order},
        pairs=tuple(pairs),
        baselines=judge_baselines(
            in_order, baselines, margin, BaselineScale(higher, judged.scale == "log"), failures
        ),
        most_seeds=MOST_SEEDS,
        assumptions=judged.assumptions,
    )


def _leader(contenders: Sequence[str], several: Sequence[str], order: Sequence[str]) -> str:
    """Return the first row that may be the best and has several seeds, or the next best thing."""
    both = [name for name in several if name in contenders]
    return (both or several or order)[0]


def _centre(sample: Sequence[float], scale: str, method: Method) -> Estimate:
    """Return what is compared of a row, with its own interval."""
    if scale != "log":
        return estimate(sample, method)
    logs = estimate([math.log(v) for v in sample], method)
    ends = (None if v is None else math.exp(v) for v in (logs.low, logs.high))
    return Estimate(math.exp(logs.mean), logs.n, None, *ends)


def _as_row_pair(
    judged: Judgement,
    names: Sequence[str],
    i: int,
    j: int,
    samples: Mapping[str, Sequence[float]],
    failures: Mapping[str, int],
    higher: bool,
) -> RowPair:
    """Return a verdict in the words of a board, turned so that positive is better."""
    found, row, other = judged.pair(i, j), names[i], names[j]
    seeds = min(len(samples[row]), len(samples[other]))
    sign = 1.0 if higher else -1.0
    known = math.isfinite(found.low) and math.isfinite(found.high)
    first, second = judged.centres[i], judged.centres[j]
    assert first is not None  # a ranked row has a seed that came through
    assert second is not None
    difference, ratio = Estimate(sign * (first - second), seeds), None
    ends = (found.low, found.high) if known else (None, None)
    if judged.scale == "log":
        ratio = Estimate(first / second, seeds, None, *ends)
    elif known:
        low, high = sorted((sign * found.low, sign * found.high))
        difference = Estimate(difference.mean, seeds, None, low, high)
    note = ""
    failed = " and ".join(
        f"{failures[name]} of {failures[name] + len(samples[name])} seeds of {name} failed"
        for name in (row, other)
        if failures.get(name)
    )
    alone = [name for name in (row, other) if len(samples[name]) < 2]
    if found.by_failures:
        note = f"by how often seeds fail: {failed}"
    elif found.relation == "open" and judged.comparisons.held_back(i, j):
        note = f"{failed}, and these rank behind every figure"
    elif found.relation == "open" and not known and alone:
        note = ONE_SEED.format(" and of ".join(alone))
    return RowPair(
        row,
        other,
        found.relation,
        difference,
        ratio,
        p=found.p if known or found.by_failures else None,
        within_margin=found.within_margin,
        more_seeds=found.more_seeds,
        note=note,
    )
