"""What a leaderboard says: plain frozen data, which the reports lay out and never compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from rnnbench.stats import Estimate


@dataclass(frozen=True)
class Margin:
    """How far a row is from the best trivial baseline, on test.

    Attributes:
        gain: in the headline's unit; positive is better than the baseline.
        percent: the gain in percent of the baseline's absolute value; None where that is 0.
        verdict: "unclear" where the mean is better and the 95% interval reaches the baseline.
    """

    baseline: str
    gain: float
    percent: float | None
    verdict: Literal["beats", "unclear", "does not beat"]


@dataclass(frozen=True)
class Failure:
    """Runs of a row that failed in one way, with the different reasons they gave."""

    status: str
    count: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """A validation: mean, least and greatest over the seeds."""

    step: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """A line of a board: an architecture with tricks in order, or a trivial baseline.

    Attributes:
        kind: "ranked" has test results; "untested" has none yet; "failed" has failures only.
        rank: shared by ties; None where `kind` is not "ranked".
        tied: other rows share the rank.
        test, valid: the headline over the seeds of the chosen configuration; for a baseline
            its value, without an interval.
        p: of the difference from the best row (see `stats.Placing`).
        metrics: the task's other metrics on test, and "loss".
        costs: means over the seeds, by the names of `record.COSTS`.
        runs, failed: of all configurations, search and test; interrupted runs not counted.
        final_runs, final_failed: of the chosen configuration on test.
        configurations: how many settings were tried, in search or test.
        total_seconds: spent on all runs of the row.
        config_id, settings: the chosen configuration.
        curve: validations of the chosen configuration that all its seeds reached.
        marks: what a reader must know beside the figures.
    """

    kind: Literal["ranked", "baseline", "untested", "failed"]
    name: str
    architecture: str | None = None
    tricks: tuple[str, ...] = ()
    rank: int | None = None
    tied: bool = False
    test: Estimate | None = None
    valid: Estimate | None = None
    p: float | None = None
    margin: Margin | None = None
    metrics: dict[str, Estimate] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    runs: int = 0
    failed: int = 0
    final_runs: int = 0
    final_failed: int = 0
    interrupted: int = 0
    failures: tuple[Failure, ...] = ()
    configurations: int = 0
    total_seconds: float = 0.0
    seeds: tuple[int, ...] = ()
    config_id: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    curve: tuple[Point, ...] = ()
    examples: tuple[dict[str, str], ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """Rows that may be compared: one task with its settings, data version and budget.

    Attributes:
        protocol: (label, text) pairs that say in words what was held equal.
        headline: name, unit, higher_is_better and help of the metric that ranks.
        metrics: the same for the task's other metrics, and for the loss.
        rows: ranked rows with the baselines where they fall, then untested, then failed ones.
        curve_metric: what `Row.curve` shows.
        notes: what limits the comparison.
        provenance: (label, distinct values) of the runs behind the rows.
    """

    task: str
    protocol_id: str
    protocol: tuple[tuple[str, str], ...]
    headline: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    rows: tuple[Row, ...]
    curve_metric: str
    notes: tuple[str, ...]
    provenance: tuple[tuple[str, tuple[str, ...]], ...]
