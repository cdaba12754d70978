"""What a sweep tells while it runs, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.file.sweep import GridCell
from rnnbench.sweep.ledger.requests import Busy
from rnnbench.sweep.plan import CellPlan
from rnnbench.training.stopping import exit_code


@dataclass(frozen=True)
class CellTally:
    """The trials of one cell by how they stand.

    Attributes:
        trials, finals: wanted, none where the cell is refused. The other numbers count trials
            of the search, and those whose name begins with `finals_` final runs.
        cell: its name need not be unique, `study` is.
        best: the best value on validation, None where no trial is done.
        problem: why there are no final runs, where that is so.
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

    @property
    def name(self) -> str:
        return self.cell.name

    @property
    def left(self) -> int:
        """Trials and final runs that have not ended, and still can."""
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
    """The whole sweep at one moment.

    Attributes:
        per_minute: trials that this driver saw end, in the last minutes; None before the first.
        seconds_left: an estimate from it.
        busy: workers with a trial.
        paused: nothing is started.
    """

    cells: tuple[CellTally, ...]
    seconds: float = 0.0
    per_minute: float | None = None
    seconds_left: float | None = None
    busy: tuple[Busy, ...] = ()
    paused: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the database; those of workers are kept apart."""
        cells = []
        for tally in self.cells:
            own = {f.name: getattr(tally, f.name) for f in fields(tally) if f.name != "cell"}
            cell = {n: getattr(tally.cell, n) for n in ("task", "architecture", "tricks")}
            cells.append({**own, **cell})
        rest = {n: getattr(self, n) for n in ("seconds", "per_minute", "seconds_left")}
        return {"cells": cells, **rest}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], busy: Sequence[Busy], paused: bool) -> Snapshot:
        """Read what `as_dict` wrote."""
        cells = []
        for own in d["cells"]:
            rest = {k: v for k, v in own.items() if k not in ("task", "architecture", "tricks")}
            cell = GridCell(own["task"], own["architecture"], tuple(own["tricks"]))
            cells.append(CellTally(cell=cell, **rest))
        rest = {n: d[n] for n in ("seconds", "per_minute", "seconds_left")}
        return cls(tuple(cells), **rest, busy=tuple(busy), paused=paused)

    def count(self, name: str) -> int:
        """The sum of a number over all cells."""
        return sum(getattr(c, name) for c in self.cells)

    @property
    def refused(self) -> list[CellTally]:
        return [c for c in self.cells if c.refused]


@dataclass(frozen=True)
class SweepOutcome:
    """What a start of a sweep came to.

    Attributes:
        ran: jobs that this driver's workers ended.
        taken: trials whose run was finished already, so that none was started.
        lost_workers: workers that died with a job.
        signal: number of the signal that stopped it, 0 where it went to its end.
        failures: of the whole sweep, earlier starts included.
    """

    sweep: str
    last: Snapshot
    ran: int
    taken: int
    lost_workers: int
    signal: int = 0
    failures: tuple[FailedTrial, ...] = field(default=())

    @property
    def refused(self) -> list[dict[str, Any]]:
        """The combinations that cannot run, for `rnnbench.report.page.page.write_page`."""
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
        return self.last.count("left") == 0

    @property
    def exit_code(self) -> int:
        """As `training.stopping.exit_code` where a signal stopped it; 1 where a cell lacks final
        runs; 0 otherwise."""
        if self.signal:
            return exit_code(self.signal)
        lacking = [c for c in self.last.cells if c.problem or c.finals_failed]
        return 1 if lacking or not self.complete else 0

    def summary(self) -> str:
        """The last line."""
        s, ended = self.last, "complete" if self.complete else "stopped"
        parts = [
            f"{s.count('done')} trials done",
            f"{s.count('pruned')} pruned",
            f"{s.count('failed')} failed",
        ]
        if s.count("finals"):
            parts.append(f"{s.count('finals_done')} of {s.count('finals')} final runs done")
        if s.refused:
            parts.append(f"{len(s.refused)} of {len(s.cells)} cells refused")
        text = f"sweep {self.sweep} {ended}: {', '.join(parts)} ({self.ran} ran now)"
        if not self.complete:
            text += "; nothing finished is lost: the same command goes on from here"
        return text


class Progress(Protocol):
    """Is told how a sweep goes. Calls are cheap, and come from the driver's thread."""

    def show(self, now: Snapshot) -> None:
        """The sweep stands like this: at its start, several times a second, at its end."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line: a refusal, a failure, a lost worker, a stop."""
        ...


class Silent:
    """Tells nobody."""

    def show(self, now: Snapshot) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def tally(plan: CellPlan, run: CellSearch | None, seeds: Sequence[int]) -> CellTally:
    """Count a cell; `run` is None where it is refused."""
    if run is None:
        return CellTally(plan.cell, plan.study, refused=plan.refused)
    count, best = run.counts, run.best()
    problem = None
    if seeds and run.lacks_best:
        statuses = [str(r.status) for r in run.counted_rows()]
        counts = ", ".join(f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses))
        what = "keeps the constraints" if count["search", "done"] else "is done"
        problem = f"no trial {what} ({counts}), so there is no configuration to report"
    return CellTally(
        cell=plan.cell,
        study=plan.study,
        trials=run.trials,
        done=count["search", "done"],
        running=count["search", "running"],
        pruned=count["search", "pruned"],
        failed=count["search", "failed"],
        finals=run.finals,
        finals_done=count["final", "done"],
        finals_running=count["final", "running"],
        finals_failed=count["final", "failed"],
        best=None if best is None else best.value,
        problem=problem,
    )


def failures(runs: Sequence[CellSearch]) -> tuple[FailedTrial, ...]:
    """Every failed trial and final run, in order."""
    return tuple(
        FailedTrial(r.key, str(r.status), r.reason or "no reason was recorded")
        for run in runs
        for r in run.failed_rows
    )
