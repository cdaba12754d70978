"""Makes boards of records: a pure function, which needs neither torch nor the plugins.

How a row comes about. Runs of one protocol (task with its settings, data version, budget) make
a board, and those of one architecture with the same tricks in the same order make a row of it
(`rnnbench.leaderboard.grouping` says where a sweep tells them apart by their settings too). Of the
configurations that have met the test split the row shows one: that with the most seeds, and of
these the one with the best mean selection value on validation; test results choose nothing. Rows
are ordered by their centres, and what may be said of any two of them, and so which places a row may
have, is judged once for the board (`rnnbench.leaderboard.verdicts`).
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rnnbench.leaderboard.data_cards import card_of
from rnnbench.leaderboard.grouping import group
from rnnbench.leaderboard.idle_notes import equal_marks, metric_notes
from rnnbench.leaderboard.limit_notes import fallback_notes, length_notes
from rnnbench.leaderboard.machine_notes import machine_marks, path_notes
from rnnbench.leaderboard.placing import place_rows
from rnnbench.leaderboard.protocol_text import (
    machine_in_words,
    protocol_in_words,
    provenance_in_words,
)
from rnnbench.leaderboard.row import curve_metric_of, make_row
from rnnbench.leaderboard.types import Board, Row
from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.leaderboard.verdicts.method import STANDARD, BoardMethod
from rnnbench.leaderboard.verdicts.seed_notes import look_level, seed_notes
from rnnbench.results.labels import label_in
from rnnbench.results.record import Record, Status
from rnnbench.spec.data_set import file_that_is_read
from rnnbench.spec.run_spec import RunSpec
from rnnbench.stats import ALPHA, Estimate, least_p, seeds_needed

SELECTED = ("metric", "higher_is_better")  # what a board tells of a selection
LOSS = {"name": "loss", "unit": "", "higher_is_better": False, "help": "as trained on"}


def build(
    records: Iterable[Record],
    task: str | None = None,
    method: BoardMethod = STANDARD,
    margin: EqualWithin | None = None,
) -> list[Board]:
    """Return the boards of all records, or of one task's, sorted by task and protocol.

    The order of the records makes no difference. Of several records of one run the latest
    attempt counts.

    Args:
        method: of intervals and tests.
        margin: within which rows are equal; None: the task's, or what is usual for its metric.
    """
    protocols: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in _latest_attempts(r for r in records if task is None or r.spec.task.name == task):
        # What `RunSpec.protocol_id` is made of; comparing it is quicker than hashing text.
        protocols[record.spec.task, record.spec.data, record.spec.budget].append(record)
    boards: list[Board] = []
    for runs in protocols.values():
        measures = sorted({_measure_of(r) for r in runs} - {()}) or [()]
        for measure in measures:
            # Runs that ended before their metrics were known go to the first board.
            measures_here = {measure, ()} if measure == measures[0] else {measure}
            members = [r for r in runs if _measure_of(r) in measures_here]
            boards.append(_make_board(members, len(measures) > 1, method, margin))
    boards.sort(key=lambda b: (b.task, b.data_set, b.protocol, b.protocol_id))
    return boards


def mark_absent(boards: Iterable[Board], installed: Mapping[str, Collection[str]]) -> list[Board]:
    """Return the boards, marking plugins that are not installed here.

    Results outlive their plugins: they stay readable, and cannot be added to.

    Args:
        installed: names of the plugins of each kind ("architectures", "tasks", "tricks").
    """
    return [_mark_absent(board, installed) for board in boards]


def _mark_absent(board: Board, installed: Mapping[str, Collection[str]]) -> Board:
    rows = []
    for row in board.rows:
        names = [row.architecture] if row.architecture else []
        absent = [n for n in names if n not in installed["architectures"]]
        absent += [n for n in row.tricks if n not in installed["tricks"]]
        marks = (f"not installed here: {', '.join(absent)}",) if absent else ()
        rows.append(dataclasses.replace(row, marks=row.marks + marks))
    notes = board.notes
    if board.task not in installed["tasks"]:
        notes += (f"The task {board.task} is not installed here.",)
    return dataclasses.replace(board, rows=tuple(rows), notes=notes)


def refused_now(
    boards: Iterable[Board], refused: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return refusals on the boards' tasks, once each, but none of combinations that ran since."""
    run = {(b.task, r.architecture, r.tricks) for b in boards for r in b.rows}
    tasks = {board.task for board in boards}
    refusals: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for refusal in refused:
        key = refusal["task"], refusal["architecture"], tuple(refusal["tricks"])
        if refusal["task"] in tasks and key not in run:
            refusals[key] = refusal
    return list(refusals.values())


def _latest_attempts(records: Iterable[Record]) -> Iterable[Record]:
    """Return the latest attempt of each run; of one attempt, the record that is done."""
    latest: dict[RunSpec, Record] = {}
    for new in records:
        old = latest.get(new.spec)
        if old is None or _attempt_order(new) > _attempt_order(old):
            latest[new.spec] = new
    return latest.values()


def _attempt_order(record: Record) -> tuple[int, bool, str]:
    return record.attempt, record.status is Status.DONE, record.ended or ""


def _measure_of(record: Record) -> tuple[Any, ...]:
    """Return what a figure is, and what chose it; rows may be compared only where these agree."""
    if not record.metric_info or record.selection.get("value") is None:
        return ()  # it ended before that was known
    headline, selection = record.headline, record.selection
    return (
        headline["name"],
        headline.get("unit", ""),
        bool(headline.get("higher_is_better")),
        selection.get("metric", ""),
        bool(selection.get("higher_is_better")),
    )


def _make_board(
    records: list[Record], divided: bool, method: BoardMethod, margin: EqualWithin | None
) -> Board:
    spec = records[0].spec
    fullest = max(
        records, key=lambda r: (len(r.metric_info), bool(r.selection), repr(r.metric_info))
    )
    headline = fullest.headline | _margin_told(records)
    name, higher = headline.get("name", ""), bool(headline.get("higher_is_better"))
    notes = []
    if divided:
        notes.append(
            "Runs of this protocol report different headline or selection metrics, which are not "
            "comparable: each has a board of its own. Raise the task's version to tell them apart."
        )
    baselines, more_notes = _baseline_values(records, name)
    curve_metric = curve_metric_of(records, name)
    made = [make_row(row_group, headline, curve_metric, method) for row_group in group(records)]
    used = [record for _, chosen in made for record in chosen]
    unplaced = [
        dataclasses.replace(row, marks=row.marks + machine_marks(chosen, used))
        for row, chosen in made
        if row.kind == "ranked"
    ]
    look = look_level(used, len(unplaced))
    rows, verdicts = place_rows(unplaced, baselines, headline, method, margin, look)
    rows = [dataclasses.replace(r, marks=r.marks + equal_marks(r, rows)) for r in rows]
    timed = spec.budget.seconds is not None
    more_notes += [*_unequal_notes(rows, used), *seed_notes(used), *_powerless_notes(rows, method)]
    more_notes += path_notes([(row.name, row.path) for row in rows], timed)
    more_notes += [*fallback_notes(records), *length_notes(used), *metric_notes(used)]
    for baseline, value in baselines.items():
        worse = (
            i for i, r in enumerate(rows) if r.centre and _is_better(value, r.centre.mean, higher)
        )
        only = Estimate(value, 0)
        rows.insert(next(worse, len(rows)), Row("baseline", baseline, test=only, centre=only))
    rows += [row for row, _ in made if row.kind == "untested"]
    rows += [row for row, _ in made if row.kind == "failed"]
    return Board(
        task=spec.task.name,
        protocol_id=spec.protocol_id,
        protocol=protocol_in_words(spec, headline, fullest.selection),
        headline=headline,
        metrics=(*fullest.metric_info[1:], *([] if name == "loss" else [LOSS])),
        rows=tuple(rows),
        curve_metric=curve_metric,
        notes=(*notes, *more_notes),
        verdicts=verdicts,
        provenance=provenance_in_words(used or records),
        selection={k: fullest.selection[k] for k in SELECTED if k in fullest.selection},
        method=method,
        data=spec.data,
        task_settings=dict(spec.task.settings),
        data_set=_data_set_of(records),
        data_card=card_of(records),
    )


def _data_set_of(records: list[Record]) -> str:
    """Return the label that the latest run with one has, else the name of the file that is read."""
    labelled = [r for r in records if label_in(r)]
    if labelled:
        return label_in(max(labelled, key=lambda r: (r.ended or "", r.run_id)))
    return file_that_is_read(dict(records[0].spec.task.settings))


def _margin_told(records: list[Record]) -> dict[str, float]:
    """Return the margin that the task gave its headline last; {} where no run knows of one."""
    told = [r for r in records if r.headline.get("margin") is not None]
    last = max(told, key=lambda r: (r.ended or "", r.run_id), default=None)
    return {} if last is None else {"margin": last.headline["margin"]}


def _baseline_values(records: list[Record], headline: str) -> tuple[dict[str, float], list[str]]:
    """Return each baseline's headline on test, and notes on what is odd about them."""
    values: dict[str, set[float]] = defaultdict(set)
    without: set[str] = set()
    for record in records:
        for name, figures in record.baselines.get("test", {}).items():
            if figures.get(headline) is None:
                without.add(name)
            else:
                values[name].add(figures[headline])  # type: ignore[arg-type]
    notes = [
        f"The baseline {name} has no {headline}, so it is not shown."
        for name in sorted(without - set(values))
    ]
    for name, figures_of_name in sorted(values.items()):
        if max(figures_of_name) - min(figures_of_name) > 1e-6 * max(
            abs(v) for v in figures_of_name
        ):  # float32 sums
            shown = ", ".join(f"{v:.6g}" for v in sorted(figures_of_name))
            notes.append(f"Runs disagree about the baseline {name} ({shown}): its mean is shown.")
    means = {
        name: math.fsum(figures_of_name) / len(figures_of_name)
        for name, figures_of_name in sorted(values.items())
    }
    return means, notes


def _unequal_notes(rows: list[Row], used: list[Record]) -> list[str]:
    """Return notes on what was not held equal between ranked rows."""
    notes = []
    tried = {row.configurations for row in rows}
    if len(tried) > 1:
        notes.append(
            f"Rows were tuned unequally: between {min(tried)} and {max(tried)} configurations "
            "were tried for a row."
        )
    if len({row.test.n for row in rows if row.test}) > 1:
        notes.append("Rows have different numbers of seeds.")
    if len({machine_in_words(r) for r in used}) > 1:
        notes.append("Runs were made on different machines: their seconds do not compare.")
    return notes


def _powerless_notes(rows: list[Row], method: BoardMethod) -> list[str]:
    """Say where the test could not have told the best from others, whatever the figures are."""
    several = [row.test.n for row in rows if row.test and row.test.n > 1]
    if method.test != "permutation" or len(several) < 2:
        return []
    comparisons = len(several) * (len(several) - 1) // 2
    least = comparisons * least_p(several[0], min(several))
    if least < ALPHA:
        return []
    needed = seeds_needed(comparisons)
    take = f"take {needed} seeds a row" if needed else "compare fewer rows"
    return [
        f"{min(several)} seeds cannot tell these {len(several)} rows apart by a permutation test: "
        f"the least p it can reach is {min(1.0, least):.2g}. What is open stays open: {take}."
    ]


def _is_better(a: float, b: float, higher: bool) -> bool:
    return a > b if higher else a < b
