"""Says what limits a run's figures: a selection metric that told nothing, outputs cut off."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rnnbench.results.record import Record, Status
from rnnbench.results.selection import SO

RUNS = 5  # that are named
REASONS = 2  # why a metric told nothing, at most
SHARE = 0.01  # of outputs or targets, above which it is said


def fallback_notes(records: Sequence[Record]) -> list[str]:
    """Say where the loss chose checkpoints and configurations, since the metric told nothing."""
    done = [r for r in records if r.status is Status.DONE]
    blind = [r for r in done if r.selection.get("fallback")]
    notes = _first_kept_notes(done)
    if not blind:
        return notes
    metric = blind[0].selection["metric"]
    reasons = sorted({r.selection["fallback"]["note"].removesuffix(SO) for r in blind})
    ranked = metric == blind[0].headline["name"]
    rank = f" A rank by {metric} says little of these runs." if ranked else ""
    shown = "; ".join(reasons[:REASONS]) + ("; …" if len(reasons) > REASONS else "")
    return [
        f"In {len(blind)} of {len(done)} runs {metric} told nothing on validation ({shown}), so "
        f"the loss chose checkpoint and configuration.{rank}",
        *notes,
    ]


def _first_kept_notes(done: Sequence[Record]) -> list[str]:
    """Name runs of earlier versions that kept the first of equal validations."""
    early = sorted(r.run_id for r in done if not r.selection.get("fallback") and _kept_first(r))
    if not early:
        return []
    return [
        "Made by an earlier rnnbench, which kept the first validation where the selection metric "
        "never moved, though the loss was lower later: "
        f"{', '.join(early[:RUNS])}{', …' if len(early) > RUNS else ''}. Remove these folders from "
        "runs/ to run them again."
    ]


def _kept_first(record: Record) -> bool:
    """Tell whether a run kept its first validation for want of a metric that moves."""
    metric = record.selection["metric"]
    figures = [values for _, _, values in record.curve]
    values = [f.get(metric) for f in figures]
    losses = [math.inf if f.get("loss") is None else f["loss"] for f in figures]
    if metric == "loss" or len(values) < 2 or None in values or len(set(values)) > 1:
        return False
    return record.selection["step"] == record.curve[0][0] and min(losses) < losses[0]


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
