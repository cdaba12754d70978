"""Makes one row of a leaderboard of its records: the configuration it shows, and its figures.

The interval beside a row's mean is that of `stats.intervals.estimate`, over the seeds of the
configuration; pages and tables only print it. Places come later, from `placing`.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from rnnbench.leaderboard.grouping import Group
from rnnbench.leaderboard.idle_notes import idle_marks
from rnnbench.leaderboard.limit_notes import length_marks
from rnnbench.leaderboard.machine_notes import (
    MACHINE_TIME,
    machines_of,
    paths_of,
    train_products,
)
from rnnbench.leaderboard.types import CurvePoint, Failure, Row
from rnnbench.leaderboard.verdicts.method import STANDARD, BoardMethod
from rnnbench.results.record import COSTS, FAILED, Record, Status
from rnnbench.results.sharing.origin import DIFFERS, UNVERIFIED, state_of
from rnnbench.spec.run_spec import RunSpec
from rnnbench.stats import Estimate, estimate

REASONS = 3  # of a row's failures of one kind that are told
CONFIGURATION = ("architecture", "tricks", "optimizer")  # what a row's settings tell of its spec


def make_row(
    group: Group,
    headline: dict[str, Any],
    curve_metric: str,
    method: BoardMethod = STANDARD,
) -> tuple[Row, list[Record]]:
    """Return a row without its rank, and the test runs that it reports, by seed."""
    records = group.records
    spec, name = records[0].spec, headline.get("name", "")
    configs: dict[RunSpec, list[Record]] = defaultdict(list)
    for record in records:
        configs[dataclasses.replace(record.spec, seed=0, test=True)].append(record)
    tested = {config: _finished_tests(runs) for config, runs in configs.items()}
    tested = {config: runs for config, runs in tested.items() if runs}
    failed = [r for r in records if r.status in FAILED]
    counted = [r for r in records if r.status is not Status.INTERRUPTED]
    common = Row(
        kind="failed",
        name=group.name,
        parts=group.parts,
        architecture=spec.architecture.name,
        tricks=tuple(t.name for t in spec.tricks),
        runs=len(counted),
        failed=len(failed),
        interrupted=len(records) - len(counted),
        failures=_count_failures(failed),
        configurations=len(configs),
        trials=_trial_values(configs.values()),
        pruned=sum(r.status is Status.PRUNED for r in records),
        total_seconds=math.fsum(r.cost.get("train_seconds") or 0.0 for r in records),
    )
    if not tested:
        done = [r for r in records if r.status is Status.DONE]
        on_test = [r for r in counted if r.spec.test]
        if failed and (not done or (on_test and all(r.status in FAILED for r in on_test))):
            tested_runs = len(on_test)
            return dataclasses.replace(common, final_runs=tested_runs, final_failed=tested_runs), []
        mark = "no finished run yet"
        if done:
            mark = f"no test result yet; validation is the best of {len(done)} done"
        best = _best_valid(done, headline)
        return dataclasses.replace(common, kind="untested", valid=best, marks=(mark,)), []
    config = _choose_configuration(tested)
    runs = tested[config]
    values = tuple(_finite_value(r, "test", name) for r in runs)
    test = estimate(values, method.of_samples)
    final = [r for r in configs[config] if r.spec.test and r.status is not Status.INTERRUPTED]
    row = dataclasses.replace(
        common,
        kind="ranked",
        test=test,
        valid=estimate([_finite_value(r, "valid", name) for r in runs]),
        metrics=_other_metrics(runs, name),
        costs=_mean_costs(runs),
        path=paths_of(runs),
        machines=machines_of(runs),
        final_runs=len(final),
        final_failed=sum(r.status in FAILED for r in final),
        seeds=tuple(r.spec.seed for r in runs),
        values=values,
        run_ids=tuple(r.run_id for r in runs),
        median=float(median(values)),
        config_id=config.config_id,
        settings={k: v for k, v in config.as_dict().items() if k in CONFIGURATION},
        curve=_common_curve(runs, curve_metric),
        examples=tuple(runs[0].examples),
    )
    marks = _write_marks(row, len(tested)) + idle_marks(runs) + length_marks(runs)
    return dataclasses.replace(row, marks=marks + _origin_marks(runs)), runs


def _trial_values(configs: Iterable[list[Record]]) -> tuple[float | None, ...]:
    """Return what each trial of the search reached on validation, in the order of their ends."""
    ended: list[tuple[str, str, float | None]] = []
    for runs in configs:
        search = [
            r for r in runs if not r.spec.test and r.study and r.status is not Status.INTERRUPTED
        ]
        if not search:
            continue
        values = [None if r.status in FAILED else r.selection.get("value") for r in search]
        known = [v for v in values if v is not None]
        mean = math.fsum(known) / len(known) if len(known) == len(values) else None
        ended.append((max(r.ended or "" for r in search), search[0].run_id, mean))
    return tuple(value for _, _, value in sorted(ended, key=lambda e: e[:2]))


def _finished_tests(runs: list[Record]) -> list[Record]:
    """Return the finished test runs, by seed."""
    done = [r for r in runs if r.spec.test and r.status is Status.DONE]
    return sorted(done, key=lambda r: r.spec.seed)


def _choose_configuration(tested: dict[RunSpec, list[Record]]) -> RunSpec:
    """Return the configuration to show: of those with most seeds, the best on validation.

    Of those whose selection metric is equal, or tells nothing, it is that of the lowest loss.
    """

    def preference(runs: list[Record]) -> tuple[int, float, float]:
        mean = math.fsum(r.selection["value"] for r in runs) / len(runs)
        if all(r.selection.get("fallback", {}).get("unmeasurable") for r in runs):
            mean = 0.0
        loss = math.fsum(_finite_value(r, "valid", "loss") for r in runs) / len(runs)
        return -len(runs), -mean if runs[0].selection["higher_is_better"] else mean, loss

    preferences = {config: preference(runs) for config, runs in tested.items()}
    first = min(preferences.values())
    return min((c for c in tested if preferences[c] == first), key=lambda c: c.canonical())


def _finite_value(record: Record, split: str, name: str) -> float:
    value = record.metrics[split][name]
    assert value is not None  # a done record's headline is finite, see `Record`
    return value


def _best_valid(done: list[Record], headline: dict[str, Any]) -> Estimate | None:
    values = [v for r in done if (v := r.value("valid")) is not None]
    if not values:
        return None
    return estimate([max(values) if headline.get("higher_is_better") else min(values)])


def _other_metrics(runs: list[Record], headline: str) -> dict[str, Estimate]:
    """Return the test metrics beside the headline, each over the seeds where it is finite."""
    names = dict.fromkeys([m["name"] for m in runs[0].metric_info] + ["loss"])
    samples = {
        name: [v for r in runs if (v := r.metrics["test"].get(name)) is not None]
        for name in names
        if name != headline
    }
    # What an evaluation that a trick changes says, apart from the plain one.
    for split in runs[0].metrics:
        trick = split.removeprefix("test with ")
        if trick != split:
            values = [r.metrics.get(split, {}).get(headline) for r in runs]
            samples[f"{headline} with {trick}"] = [v for v in values if v is not None]
    return {name: estimate(sample) for name, sample in samples.items() if sample}


def _mean_costs(runs: list[Record]) -> dict[str, float]:
    means = {c: _mean(r.cost.get(c) for r in runs) for c in COSTS}
    means[MACHINE_TIME] = train_products(runs)
    return {name: value for name, value in means.items() if value is not None}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def _write_marks(row: Row, tested: int) -> tuple[str, ...]:
    marks = []
    if row.test is not None and row.test.n == 1:
        marks.append("1 seed")
    if row.final_failed:
        marks.append(f"{row.final_failed} of {row.final_runs} seeds failed")
    if tested > 1:
        marks.append(f"1 of {tested} tested configurations")
    for name, estimate_of_metric in row.metrics.items():
        if estimate_of_metric.n < len(row.seeds):
            marks.append(f"{name} is finite for {estimate_of_metric.n} of {len(row.seeds)} seeds")
    return tuple(marks)


def _origin_marks(runs: list[Record]) -> tuple[str, ...]:
    """Say which results were made elsewhere, or were not confirmed."""
    states = Counter(state_of(r) for r in runs)
    words_by_state = {
        UNVERIFIED: "imported and not verified",
        DIFFERS: "not confirmed when verified",
    }
    return tuple(
        f"{states[state]} of {len(runs)} seeds {words}"
        for state, words in words_by_state.items()
        if states[state]
    )


def _count_failures(failed: list[Record]) -> tuple[Failure, ...]:
    by_status: dict[str, list[str]] = defaultdict(list)
    for record in failed:
        by_status[record.status.value].append(record.reason or "no reason recorded")
    failures = []
    for status, reasons in sorted(by_status.items()):
        common = sorted(Counter(reasons).items(), key=lambda item: (-item[1], item[0]))
        failures.append(Failure(status, len(reasons), tuple(text for text, _ in common[:REASONS])))
    return tuple(failures)


def _common_curve(runs: Sequence[Record], metric: str) -> tuple[CurvePoint, ...]:
    """Return the validations that all runs reached, with mean, least and greatest over the runs."""
    by_step: dict[int, list[float]] = defaultdict(list)
    for record in runs:
        for step, _seconds, values in record.curve:
            if values.get(metric) is not None:
                by_step[step].append(values[metric])
    return tuple(
        CurvePoint(step, math.fsum(values) / len(values), min(values), max(values))
        for step, values in sorted(by_step.items())
        if len(values) == len(runs)  # else a mean would be over those that lasted
    )


def curve_metric_of(records: list[Record], headline: str) -> str:
    """Return the metric that the curves of a board show: the headline where every point has it."""
    drawn = [r for r in records if r.curve and r.status is Status.DONE and r.spec.test]
    every = all(headline in point[2] for r in drawn for point in r.curve)
    return headline if drawn and every else "loss"
