"""Judges all pairs of a board's rows, and its rows against the trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.leaderboard.verdicts.against_baselines import BaselineScale, judge_baselines
from rnnbench.leaderboard.verdicts.all_at_once import judge_all_at_once
from rnnbench.leaderboard.verdicts.by_tests import judge_pairs
from rnnbench.leaderboard.verdicts.equality import EqualWithin, equal_within
from rnnbench.leaderboard.verdicts.method import BoardMethod
from rnnbench.leaderboard.verdicts.pairs import NOTHING_JUDGED, BoardVerdicts, places_of
from rnnbench.stats import LEVEL, Method, estimate
from rnnbench.stats.intervals import centre
from rnnbench.stats.tests import MOST_SEEDS

Samples = Mapping[str, Sequence[float]]


def judge_samples(
    samples: Samples,
    baselines: Mapping[str, float],
    headline: Mapping[str, Any],
    method: BoardMethod,
    asked: EqualWithin | None = None,
    failures: Mapping[str, int] | None = None,
    look: float = LEVEL,
) -> BoardVerdicts:
    """Judge rows by the figures of their seeds.

    Args:
        samples: row -> a figure for each seed that came through; one at least.
        baselines: value of each trivial baseline.
        headline: of the board, see `Board.headline`.
        asked: the reader's own margin of equality.
        failures: row -> how many further seeds failed; none by default.
        look: see `BoardVerdicts.look`.
    """
    if not samples:
        return NOTHING_JUDGED
    margin = equal_within(headline, (v for sample in samples.values() for v in sample), asked)
    if method.test == "moderated":
        return judge_all_at_once(
            samples, baselines, headline, margin, failures or {}, method.of_samples, look
        )
    return _judge_by_tests(samples, baselines, headline, method.of_samples, margin)


def _judge_by_tests(
    samples: Samples,
    baselines: Mapping[str, float],
    headline: Mapping[str, Any],
    method: Method,
    margin: EqualWithin,
) -> BoardVerdicts:
    higher = bool(headline.get("higher_is_better"))
    sign = -1.0 if higher else 1.0
    order = sorted(samples, key=lambda name: (sign * centre(samples[name], method), name))
    samples = {name: samples[name] for name in order}
    pairs = judge_pairs(samples, higher, method, margin)
    places = places_of(order, pairs)
    several = [name for name in order if len(samples[name]) > 1]
    test = "Welch's t test" if method.test == "t" else "a permutation test"
    return BoardVerdicts(
        leader=(several or order)[0],
        method=f"{test}, Holm-adjusted",
        equal_within=margin,
        contenders=tuple(name for name in order if places[name][0] == 1),
        places=places,
        centres={name: estimate(samples[name], method) for name in order},
        pairs=pairs,
        baselines=judge_baselines(
            samples, baselines, margin, BaselineScale(higher, shared_spread=False), {}
        ),
        most_seeds=MOST_SEEDS,
        assumptions=("Failed seeds are left out: these tests have no place for them.",),
    )
