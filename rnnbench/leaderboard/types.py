"""Defines what a leaderboard holds: plain frozen data, which reports lay out and never compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from rnnbench.leaderboard.verdicts.method import STANDARD, BoardMethod
from rnnbench.leaderboard.verdicts.pairs import NOTHING_JUDGED, BoardVerdicts, Relation
from rnnbench.stats import Estimate

Stack = tuple[str, ...]  # tricks in folding order, as the board calls them
Verdict = Literal["helps", "hurts", "equal", "open", "failed", "refused", "missing"]


@dataclass(frozen=True)
class Margin:
    """The distance of a row from the best trivial baseline, on test.

    Attributes:
        gain: in the headline's unit; positive is better than the baseline.
        percent: the gain in percent of the baseline's absolute value; None where that is 0.
        verdict: as the board judges the row against the baseline.
    """

    baseline: str
    gain: float
    percent: float | None
    verdict: Relation


@dataclass(frozen=True)
class Failure:
    """Runs of a row that failed in one way, with the different reasons they gave."""

    status: str
    count: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class CurvePoint:
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
        rank, worst_rank: the places that the row may have, at the board's level (see
            `Board.verdicts`); None where `kind` is not "ranked".
        contender: it may be the best.
        parts: what the board calls the architecture, then each trick; `name` joins them. A part is
            the plugin's name, with its version or settings where the board has several.
        test, valid: the headline over the seeds of the chosen configuration; for a baseline
            its value, without an interval.
        centre: what is compared and shown, with its interval: `test`, or on the log scale the
            geometric mean; None where there is no test result.
        p: of the difference from the board's leader; None of that row itself.
        metrics: the task's other metrics on test, and "loss".
        costs: means over the seeds, by the names of `record.COSTS`; and, where all of them tell it,
            "train_products": the operations that large products would have done in the time of
            training, on the machine that it took.
        path: the code that ran its recurrences: "fused", "c", "eager", "no scan" ...; "" unknown.
        machines: what its runs computed on.
        runs, failed: of all configurations, search and test; interrupted runs not counted.
        final_runs, final_failed: of the chosen configuration on test.
        configurations: how many settings were tried, in search or test.
        total_seconds: spent on all runs of the row.
        seeds, values: of the chosen configuration, each seed with its headline on test.
        run_ids: of these runs.
        median: of `values`.
        pruned: trials of the search that were stopped early; they count with what they reached.
        trials: what each trial of the search reached on validation, by the metric that chooses
            (`Board.selection`), in the order in which they ended; None: it failed.
        config_id, settings: the chosen configuration.
        curve: validations of the chosen configuration that all its seeds reached.
        marks: what a reader must know beside the figures.
    """

    kind: Literal["ranked", "baseline", "untested", "failed"]
    name: str
    parts: tuple[str, ...] = ()
    architecture: str | None = None
    tricks: tuple[str, ...] = ()
    rank: int | None = None
    worst_rank: int | None = None
    contender: bool = False
    test: Estimate | None = None
    centre: Estimate | None = None
    valid: Estimate | None = None
    p: float | None = None
    margin: Margin | None = None
    metrics: dict[str, Estimate] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    path: str = ""
    machines: tuple[str, ...] = ()
    runs: int = 0
    failed: int = 0
    final_runs: int = 0
    final_failed: int = 0
    interrupted: int = 0
    failures: tuple[Failure, ...] = ()
    configurations: int = 0
    total_seconds: float = 0.0
    seeds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    run_ids: tuple[str, ...] = ()
    median: float | None = None
    trials: tuple[float | None, ...] = ()
    pruned: int = 0
    config_id: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    examples: tuple[dict[str, str], ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """Rows that may be compared: one task with its settings, data version and budget.

    Attributes:
        protocol: (label, text) pairs that say in words what was held equal.
        headline: name, unit, higher_is_better and help of the metric that ranks.
        metrics: the same for the task's other metrics, and for the loss.
        rows: ranked rows by their centres, with the baselines where they fall, then untested, then
            failed ones.
        verdicts: on every pair of ranked rows, and on each of them against each baseline.
        curve_metric: what `Row.curve` shows.
        notes: what limits the comparison.
        provenance: (label, distinct values) of the runs behind the rows.
        selection: metric and higher_is_better of what chooses on validation; {} where no run got
            so far.
        data_set: what its data are called: the label that they were given, or the file that is
            read; "" where the task has data of its own.
        data_card: of a user's own data, what their task tells of them (`contract.data_card`).
        method: how its intervals and verdicts came about.
        data: version of the task's data; "" where the task makes them.
        task_settings: of the task, by name.
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
    verdicts: BoardVerdicts = NOTHING_JUDGED
    selection: dict[str, Any] = field(default_factory=dict)
    data_set: str = ""
    data_card: dict[str, Any] = field(default_factory=dict)
    method: BoardMethod = STANDARD
    data: str = ""
    task_settings: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name of its data with that of its task, or of its task alone."""
        return f"{self.data_set} ({self.task})" if self.data_set else self.task

    @property
    def higher_is_better(self) -> bool:
        return bool(self.headline.get("higher_is_better"))

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows with test results, the best first."""
        return tuple(row for row in self.rows if row.kind == "ranked")


@dataclass(frozen=True)
class Effect:
    """The effect of the tricks of a comparison on one architecture.

    Attributes:
        verdict: the board's on the two rows: "helps" where the row with the tricks is better,
            "hurts" where it is worse, "equal", or "open". "failed": one side has failures only.
            "refused": the combination cannot be run. "missing": a side was not run or not tested
            yet, or has no seed in common with the other.
        reason: why there is no difference, "" where there is one.
        difference: in the headline's unit, over `seeds`; positive helps. Without an interval where
            there is one seed.
        percent: the difference in percent of the mean without the trick; None where a figure of
            that side is not positive.
        with_mean, without_mean: the headline on test of either side over `seeds`.
        p: of the board's verdict; None from one seed.
        seeds: those that both sides finished.
        marks: failures and seeds that the difference leaves out.
    """

    architecture: str
    verdict: Verdict
    reason: str = ""
    difference: Estimate | None = None
    percent: float | None = None
    with_mean: float | None = None
    without_mean: float | None = None
    p: float | None = None
    seeds: tuple[int, ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Tricks against the same architecture without them.

    Attributes:
        name: of the tricks that are added, with what they stand beside where that is more than
            the bare cell.
        stack: the tricks of the side with them.
        without: the tricks of the other side.
        effects: one for each of the attribution's architectures.
    """

    name: str
    stack: Stack
    without: Stack
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Attribution:
    """The effects of tricks on cells, on one board.

    Attributes:
        bare: tricks that every run of the board has, and so the bare cell too.
        architectures: those that were run, or refused, with a trick that the bare cell lacks.
        comparisons: against the bare cell, then within stacks; empty where there are none.
        notes: what limits the comparison.
    """

    task: str
    protocol_id: str
    protocol: tuple[tuple[str, str], ...]
    headline: dict[str, Any]
    bare: Stack
    architectures: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def telling(self) -> bool:
        """True where some comparison says more than that one of its sides is missing."""
        return any(e.verdict != "missing" for c in self.comparisons for e in c.effects)


LEAST_TRIALS = 10
"""Finished trials of a cell from which it can be told which setting mattered: from fewer, shares
are those of chance."""


@dataclass(frozen=True)
class CellImportance:
    """The share that each searched setting of a sweep's cell had in what validation said.

    Attributes:
        trials: finished ones, which the shares rest on.
        shares: (setting, share), the largest first; they sum to 1. () where it cannot be said.
        note: why, or what limits it.
    """

    sweep: str
    study: str
    task: str
    architecture: str
    tricks: Stack
    trials: int
    shares: tuple[tuple[str, float], ...]
    note: str = ""
