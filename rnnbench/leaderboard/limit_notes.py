"""Says what limits a run's figures: a selection metric that told nothing, outputs cut off."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rnnbench.results.record import Record, Status
from rnnbench.results.selection import SO

REASONS = 2  # why a metric told nothing, at most
SHARE = 0.01  # of outputs or targets, above which it is said


def fallback_notes(records: Sequence[Record]) -> list[str]:
    """Say where the loss chose checkpoints and configurations, since the metric told nothing."""
    done = [r for r in records if r.status is Status.DONE]
    blind = [r for r in done if r.selection.get("fallback")]
    if not blind:
        return []
    metric = blind[0].selection["metric"]
    reasons = sorted({r.selection["fallback"]["note"].removesuffix(SO) for r in blind})
    ranked = metric == blind[0].headline["name"]
    rank = f" A rank by {metric} says little of these runs." if ranked else ""
    shown = "; ".join(reasons[:REASONS]) + ("; …" if len(reasons) > REASONS else "")
    return [
        f"In {len(blind)} of {len(done)} runs {metric} told nothing on validation ({shown}), so "
        f"the loss chose checkpoint and configuration.{rank}"
    ]


def length_marks(runs: Sequence[Record], split: str = "test") -> tuple[str, ...]:
    """Say which share of some runs' outputs reached the limit, where it is above 1%."""
    share = _mean_share(runs, split, "reached")
    if share <= SHARE:
        return ()
    return (f"{_percent(share)} of its outputs on {split} reached {_limit(runs)} and were cut off",)


def length_notes(runs: Sequence[Record], split: str = "test") -> list[str]:
    """Say which share of targets is longer than an output may be, where it is above 1%."""
    share = _mean_share(runs, split, "longer_targets")
    if share <= SHARE:
        return []
    return [
        f"{_percent(share)} of the targets on {split} are longer than {_limit(runs)}, so no "
        "output can equal them."
    ]


def _mean_share(runs: Sequence[Record], split: str, name: str) -> float:
    found = [r.provenance.get("decoding", {}).get(split, {}).get(name) for r in runs]
    shares = [s for s in found if s is not None]
    return math.fsum(shares) / len(shares) if shares else 0.0


def _limit(runs: Sequence[Record]) -> str:
    """Say where outputs end, and by which setting."""
    told = next(d for r in runs if (d := r.provenance.get("decoding")))
    if told["max_length"] is None:
        return "the length of the targets"
    setting = f" (task.{told['setting']})" if told["setting"] else ""
    return f"the limit of {told['max_length']:,} tokens{setting}"


def _percent(share: float) -> str:
    return "all" if share == 1 else f"{100 * share:.3g}%"
