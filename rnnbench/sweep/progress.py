"""Counts, cell by cell, how a sweep goes while it runs, and what came of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from rnnbench.errors import OutageError
from rnnbench.results.selection import without_loss
from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.file.sweep import GridCell
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.ledger.spending import Account
from rnnbench.sweep.ledger.status import BusyWorker
from rnnbench.sweep.plan import CellPlan
from rnnbench.training.stopping import exit_code

RATE_WINDOW = 50  # trials over which the rate is taken


@dataclass(frozen=True)
class CellTally:
    """The numbers of trials and final runs of one cell, by their state.

    Attributes:
        cell: the cell; two cells can have the same name.
        study: its study, which is unique.
        trials: number of trials wanted; 0 where the cell is refused.
        finals: number of final runs wanted; 0 where the cell is refused.
        done, running, pruned, failed: numbers of trials of the search.
        finals_done, finals_running, finals_failed: numbers of final runs.
        best: the best value on validation; None where no trial is done.
        refused: why the combination cannot run; None: it can.
        problem: why there are no final runs; None where there are some.
        higher_is_better: whether `best` is to be large; None: an earlier version did not say.
        seeds: how far results have decided on the seeds of its task; "" where they do not.
    """

    cell: GridCell
    study: str
    trials: int = 0
    done: int = 0
    running: int = 0
    pruned: int = 0
    failed: int = 0
    finals: int = 0
    finals_done: int = 0
    finals_running: int = 0
    finals_failed: int = 0
    best: float | None = None
    refused: str | None = None
    problem: str | None = None
    higher_is_better: bool | None = None
    seeds: str = ""

    @property
    def name(self) -> str:
        return self.cell.title

    @property
    def left(self) -> int:
        """Return the number of trials and final runs that have not ended, and still can."""
        if self.refused:
            return 0
        left = self.trials - self.done - self.pruned - self.failed
        return left + (0 if self.problem else self.finals - self.finals_done - self.finals_failed)


@dataclass(frozen=True)
class FailedTrial:
    """A trial or final run that failed."""

    key: str
    status: str
    reason: str


@dataclass(frozen=True)
class Snapshot:
    """The state of the whole sweep at one moment.

    Attributes:
        seconds: since this driver began.
        per_minute: trials that ended a minute, of late; None before the second one.
        seconds_left: estimate of the seconds until the sweep is complete, from this rate.
        busy: workers with a trial.
        paused: whether no trial is started.
        outage: why hardly any trial is started, see `rnnbench.sweep.breaker.Breaker.as_dict`.
        account: what the sweep has taken, and may take.
    """

    cells: tuple[CellTally, ...]
    seconds: float = 0.0
    per_minute: float | None = None
    seconds_left: float | None = None
    busy: tuple[BusyWorker, ...] = ()
    paused: bool = False
    outage: Mapping[str, Any] = field(default_factory=dict)
    account: Account = field(default_factory=Account)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the database; workers are stored apart from them."""
        cells = []
        for tally in self.cells:
            own = {f.name: getattr(tally, f.name) for f in fields(tally) if f.name != "cell"}
            cell = {n: getattr(tally.cell, n) for n in ("task", "architecture", "tricks")}
            cells.append({**own, **cell})
        pace = {n: getattr(self, n) for n in ("seconds", "per_minute", "seconds_left")}
        taken = self.account.as_dict()
        return {"cells": cells, **pace, "outage": dict(self.outage), "taken": taken}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], busy: Sequence[BusyWorker], paused: bool) -> Snapshot:
        """Return the snapshot from which `as_dict` was taken."""
        cells = []
        for own in d["cells"]:
            counts = {k: v for k, v in own.items() if k not in ("task", "architecture", "tricks")}
            cell = GridCell(own["task"], own["architecture"], tuple(own["tricks"]))
            cells.append(CellTally(cell=cell, **counts))
        pace = {n: d[n] for n in ("seconds", "per_minute", "seconds_left")}
        outage = d.get("outage", {})  # earlier versions had none
        return cls(tuple(cells), **pace, busy=tuple(busy), paused=paused, outage=outage)

    def taken_by_cell(self) -> list[tuple[str, dict[str, float]]]:
        """Return what each cell has taken, by its name, in the order of the file."""
        amounts = dict(self.account.cells())
        return [(c.name, amounts[c.study]) for c in self.cells if c.study in amounts]

    def count(self, name: str) -> int:
        """Return the sum of one of the cells' numbers over all cells."""
        return sum(getattr(c, name) for c in self.cells)

    @property
    def refused(self) -> list[CellTally]:
        """Return the cells that cannot run."""
        return [c for c in self.cells if c.refused]


@dataclass(frozen=True)
class SweepOutcome:
    """The outcome of one start of a sweep.

    Attributes:
        sweep: its name.
        last: its state at the end.
        ran: number of jobs that this driver's workers ended.
        taken: number of trials whose run was finished already, so that none was started.
        lost_workers: number of workers that died with a job.
        signal: number of the signal that stopped it; 0 where it went to its end.
        failures: failed trials of the whole sweep, earlier starts included.
        remarks: what a reader must know of the search, as it was said at the start.
        outage: why it ended before its end, through no fault of its own; "": it did not.
        over: which limit of its budget ended it before its end; "": none did.
    """

    sweep: str
    last: Snapshot
    ran: int
    taken: int
    lost_workers: int
    signal: int = 0
    failures: tuple[FailedTrial, ...] = field(default=())
    remarks: tuple[str, ...] = ()
    outage: str = ""
    over: str = ""

    @property
    def refused(self) -> list[dict[str, Any]]:
        """Return the combinations that cannot run, as `report.page.page.write_page` takes them."""
        return [
            {
                "task": c.cell.task["name"],
                "architecture": c.cell.architecture["name"],
                "tricks": [t["name"] for t in c.cell.tricks],
                "reason": c.refused,
            }
            for c in self.last.refused
        ]

    @property
    def complete(self) -> bool:
        """Tell whether nothing of the sweep is left to do."""
        return self.last.count("left") == 0

    @property
    def exit_code(self) -> int:
        """Return the exit code of the command.

        It is `training.stopping.exit_code` where a signal stopped the sweep before its end, that of
        an outage where one did, 1 where a cell lacks final runs, and 0 otherwise.
        """
        if self.signal and not self.complete:
            return exit_code(self.signal)
        if self.outage:
            return OutageError.exit_code
        lacking = [c for c in self.last.cells if c.problem or c.finals_failed]
        return 1 if lacking or not self.complete else 0

    def summary(self) -> str:
        """Return the last line that the command prints."""
        last, ended = self.last, "complete" if self.complete else "stopped"
        parts = [
            f"{last.count('done')} trials done",
            f"{last.count('pruned')} pruned",
            f"{last.count('failed')} failed",
        ]
        if last.count("finals"):
            parts.append(f"{last.count('finals_done')} of {last.count('finals')} final runs done")
        if last.refused:
            parts.append(f"{len(last.refused)} of {len(last.cells)} cells refused")
        text = f"sweep {self.sweep} {ended}: {', '.join(parts)} ({self.ran} ran now)"
        if self.outage:
            text += f"\n  {self.outage}"
        if self.over and not self.complete:
            text += f"; {self.over}, and `rnnbench sweep extend {self.sweep}` gives it more"
        if not self.complete:
            text += "; nothing finished is lost: the same command goes on from here"
        return text


class Progress(Protocol):
    """Shows a user how a sweep goes. Calls are cheap, and come from the driver's thread."""

    def show(self, now: Snapshot) -> None:
        """Show the state of the sweep: called at its start, several times a second, at its end."""
        ...

    def note(self, text: str) -> None:
        """Print a line: on a refusal, a failure, a lost worker, a stop."""
        ...


class SilentProgress:
    """Shows nothing."""

    def show(self, now: Snapshot) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Pace:
    """The rate at which trials end, over the last `RATE_WINDOW` of them.

    Attributes:
        began: time when the driver began (`time.monotonic`).
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._ends: deque[float] = deque(maxlen=RATE_WINDOW)

    def note_end(self) -> None:
        """Note that a trial has ended now."""
        self._ends.append(time.monotonic())

    def per_second(self, now: float) -> float | None:
        """Return the number of trials that end a second; None before the second end."""
        if len(self._ends) < 2:
            return None
        return len(self._ends) / max(now - min(self._ends[0], now), 1e-3)


def take_snapshot(
    plans: Sequence[CellPlan],
    cells: Mapping[str, CellSearch],
    seeds: Sequence[int],
    *,
    pace: Pace,
    busy: Sequence[BusyWorker],
    paused: bool,
    outage: Mapping[str, Any],
    account: Account,
) -> Snapshot:
    """Return the state of a sweep now.

    Args:
        plans: all cells, refused ones too, in the order of the file.
        cells: those that are not refused, by study.
        seeds: seeds of the final runs.
    """
    tallies = tuple(tally(plan, cells.get(plan.study), seeds) for plan in plans)
    now = time.monotonic()
    rate = pace.per_second(now)
    left = sum(cell.left for cell in tallies)
    return Snapshot(
        tallies,
        now - pace.began,
        None if rate is None else rate * 60,
        None if rate is None else left / rate,
        tuple(busy),
        paused,
        outage,
        account,
    )


def tally(plan: CellPlan, search: CellSearch | None, seeds: Sequence[int]) -> CellTally:
    """Count the trials of a cell; `search` is None where it is refused."""
    if search is None:
        return CellTally(plan.cell, plan.study, refused=plan.refused)
    count, best = search.counts, search.best()
    value = None if best is None else best.value
    if value is not None:
        value = without_loss(value, higher_is_better=plan.higher_is_better)
    problem = None
    if seeds and search.lacks_best:
        problem = why_no_finals(search.search_rows(), constrained=bool(count["search", "done"]))
    return CellTally(
        cell=plan.cell,
        study=plan.study,
        trials=search.trials,
        done=count["search", "done"],
        running=count["search", "running"],
        pruned=count["search", "pruned"],
        failed=count["search", "failed"],
        finals=search.finals,
        finals_done=count["final", "done"],
        finals_running=count["final", "running"],
        finals_failed=count["final", "failed"],
        best=value,
        problem=problem,
        higher_is_better=plan.higher_is_better,
        seeds="" if search.rounds is None else search.rounds.told(),
    )


def why_no_finals(rows: Sequence[TrialRow], *, constrained: bool) -> str:
    """Say why the search of a cell has no configuration for final runs, given its rows.

    Args:
        constrained: whether a trial is done, and only the constraints keep it from being chosen.
    """
    statuses = [str(r.status) for r in rows]
    counts = ", ".join(f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses))
    what = "keeps the constraints" if constrained else "is done"
    return f"no trial {what} ({counts}), so there is no configuration to report"


def failures(cells: Sequence[CellSearch]) -> tuple[FailedTrial, ...]:
    """Return every failed trial and final run, cell by cell."""
    return tuple(
        FailedTrial(r.key, str(r.status), r.reason or "no reason was recorded")
        for cell in cells
        for r in cell.failed_rows
    )
