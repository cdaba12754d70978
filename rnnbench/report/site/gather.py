"""Reads what the site tells: boards, records, sweeps, published results."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rnnbench.leaderboard.boards import build, mark_absent, refused_now
from rnnbench.leaderboard.pairwise import ReadItems
from rnnbench.leaderboard.third_parties import mark_third_parties
from rnnbench.leaderboard.types import LEAST_TRIALS, Board, CellImportance
from rnnbench.registry.held_laws import verdicts_noted
from rnnbench.registry.published_results import LiteratureError, Published, published
from rnnbench.registry.registry import discover
from rnnbench.registry.schema_from_source import read_source
from rnnbench.report.site.sweeps import SweepView, read_sweeps
from rnnbench.results.item_scores import items_of
from rnnbench.results.record import Record
from rnnbench.results.run_folder import EXAMPLES, RECORD
from rnnbench.results.sql_index import result
from rnnbench.results.store import Store
from rnnbench.sweep.ledger import tables
from rnnbench.sweep.ledger.ledger import refusals
from rnnbench.sweep.ledger.tables import trial

LARGEST = 400_000  # bytes of an examples.json that is still read

Refused = Mapping[str, Any]


@dataclass(frozen=True)
class Gathered:
    """Everything that pages are made of.

    Attributes:
        records: those of the boards, each run once.
        examples: what a run kept to be looked at, by its id; () for most.
        literature: task -> published results, or what is wrong with their list.
        about: task -> what it is, in a sentence.
        items: reads what each item of a run's test split added to its headline.
        mattered: which searched settings mattered in the cells of a sweep, by its name; () where no
            cell has trials enough to tell.
    """

    boards: Sequence[Board]
    records: Sequence[Record]
    refused: Sequence[Refused] = ()
    sweeps: Sequence[SweepView] = ()
    literature: Mapping[str, tuple[Published, ...] | str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    examples: Callable[[str], Sequence[Mapping[str, Any]]] = lambda run_id: ()
    mattered: Callable[[str], Sequence[CellImportance]] = lambda sweep: ()
    items: ReadItems | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that get a page."""
        return sorted({b.task for b in self.boards} | {r.spec.task.name for r in self.records})

    def boards_of(self, task: str) -> list[Board]:
        return [board for board in self.boards if board.task == task]

    def records_of(self, task: str) -> list[Record]:
        return self._by_task.get(task, [])

    @functools.cached_property
    def _by_task(self) -> dict[str, list[Record]]:
        records_by_task: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            records_by_task[record.spec.task.name].append(record)
        return records_by_task

    def refused_of(self, task: str) -> list[Refused]:
        return [refusal for refusal in self.refused if refusal["task"] == task]


def gather(
    store: Store, task: str | None = None, boards: Sequence[Board] | None = None
) -> Gathered:
    """Read a store, or one task's part of it.

    Args:
        boards: of these records, where the caller has made them.
    """
    records = latest(store.records(task=task))
    if boards is None:
        installed = discover()[0]
        boards = mark_third_parties(build(records), records, installed, verdicts_noted())
        boards = mark_absent(boards, installed)
    names = sorted({board.task for board in boards})
    sweeps = read_sweeps(store.engine)
    if task is not None:
        sweeps = [s for s in sweeps if task in s.tasks]
    return Gathered(
        boards=boards,
        records=records,
        refused=refused_now(boards, refusals(store.engine)),
        sweeps=sweeps,
        literature={name: _read_published(name) for name in names},
        about={name: _first_line(name) for name in names},
        examples=lambda run_id: read_examples(store, run_id),
        mattered=lambda sweep: _important_settings(
            store, next(s for s in sweeps if s.name == sweep)
        ),
        items=items_of(store),
        damaged=dict(store.damaged),
    )


def latest(records: Iterable[Record]) -> list[Record]:
    """Return each run once, in its latest attempt."""
    records_by_id: dict[str, Record] = {}
    for record in records:
        old = records_by_id.get(record.run_id)
        if old is None or record.attempt >= old.attempt:
            records_by_id[record.run_id] = record
    return list(records_by_id.values())


def version(store: Store) -> str:
    """Return a text that changes whenever a page would: one look at the records and the ledger."""
    tables.create_sweep_tables(store.engine)
    if store.remote is not None:
        with contextlib.suppress(OSError):  # what this machine knows is shown
            store.remote.refresh(store.root / "runs")
    facts: list[Any] = [
        sorted(
            (folder.name, stat.st_mtime_ns, stat.st_size)
            for folder in (store.root / "runs").iterdir()
            if (stat := _stat(folder / RECORD)) is not None
        )
    ]
    with store.engine.connect() as connection:
        facts.append(connection.execute(sa.select(sa.func.count()).select_from(result)).scalar())
        t = trial.c
        query = sa.select(t.sweep, t.state, sa.func.count(), sa.func.sum(t.attempt))
        facts.append([list(r) for r in connection.execute(query.group_by(t.sweep, t.state))])
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:24]


def _stat(path: Path) -> Any:
    try:
        return path.stat()
    except OSError:
        return None


def read_examples(store: Store, run_id: str) -> Sequence[Mapping[str, Any]]:
    """Return what a run kept to be looked at; () where there is nothing that can be read."""
    path = store.root / "runs" / run_id / EXAMPLES
    try:
        if store.remote is not None:
            store.fetch(run_id, [EXAMPLES])
        if path.stat().st_size > LARGEST or path.resolve().parent.name != run_id:
            return ()
        examples = json.loads(path.read_text("utf-8"))["examples"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return [e for e in examples if isinstance(e, dict)] if isinstance(examples, list) else ()


def _important_settings(store: Store, sweep: SweepView) -> Sequence[CellImportance]:
    if max((cell.searched for cell in sweep.cells), default=0) < LEAST_TRIALS:
        return ()
    from rnnbench.sweep.search.importance import importances  # it brings Optuna, a second

    return importances(store.engine, sweep=sweep.name)


def _read_published(task: str) -> tuple[Published, ...] | str:
    try:
        return published(task)
    except LiteratureError as error:
        return str(error)


def _first_line(task: str) -> str:
    """Return the first line of a task's documentation; "" where only running it would tell."""
    entry = discover()[0]["tasks"].get(task)
    source = None if entry is None else read_source(entry)
    return "" if source is None else source.help


def by_configuration(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return the tested runs of each configuration, by seed."""
    runs_by_configuration: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.spec.test:
            runs_by_configuration[record.spec.config_id].append(record)
    return {
        key: sorted(runs, key=lambda r: r.spec.seed) for key, runs in runs_by_configuration.items()
    }
