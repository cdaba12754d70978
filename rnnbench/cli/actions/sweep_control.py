"""Controls a sweep from another terminal: status, pause, stop, retry, extend, logs."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rnnbench.errors import UserError
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.report.terminal.sweep_progress import (
    describe_outage,
    line,
    seed_lines,
    table,
    workers,
)
from rnnbench.results.database import reader
from rnnbench.results.record import Status
from rnnbench.results.run_folder import LOG
from rnnbench.results.store import Store
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.process_identity import describe, is_dead, is_here, stopped
from rnnbench.sweep.ledger.requests import SweepRequest, SweepRequests, sweep_order
from rnnbench.sweep.ledger.status import SweepStatus
from rnnbench.sweep.ledger.tables import Now, sweep_driver
from rnnbench.sweep.progress import Snapshot
from rnnbench.sweep.recount import recounted

WATCH_SECONDS = 1.0
NOBODY = "nobody:0:0"  # the identity of a process that drives no sweep


class TrialLogError(UserError, ValueError):
    """There is no such trial, or it has no log yet."""


@dataclass(frozen=True)
class SweepHandle:
    """A sweep, seen and controlled from a process that does not drive it."""

    name: str
    store: Store
    requests: SweepRequests
    ledger: Ledger

    def holder(self) -> str | None:
        """Return the identity of the driver; None where nobody runs the sweep."""
        d = sweep_driver.c
        query = sa.select(d.owner, d.lease_until > Now()).where(d.sweep == self.name)
        with reader(self.store.engine).begin() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        owner, has_lease = row
        # A driver of this host whose lease is over is stopped, and may go on.
        return owner if (has_lease or is_here(owner)) and not is_dead(owner) else None

    def snapshot(self) -> Snapshot:
        """Return the state of the sweep: its cells as a driver saw them, counted by the ledger."""
        request, driven = self.requests.read(), self.holder() is not None
        status = SweepStatus(self.store.engine, self.name)
        busy = status.busy_workers() if driven else []
        nothing = {"cells": [], "seconds": 0.0, "per_minute": None, "seconds_left": None}
        written = Snapshot.from_dict(request.pace or nothing, busy, request.paused)
        if not driven:
            written = dataclasses.replace(written, outage={})
        return recounted(written, request, self.ledger, driven=driven)

    def state(self, now: Snapshot, request: SweepRequest) -> str:
        """Return the state in a few words: running, paused, stopping, complete, waiting."""
        if holder := self.holder():
            if what_next := stopped(holder):
                return f"its driver is stopped: {what_next}"
            if now.outage and not (request.stopping or request.paused):
                return f"hardly any trial is placed: {now.outage['what']}"
            return "stopping" if request.stopping else "paused" if request.paused else "running"
        if now.cells and not now.count("left"):
            return "complete"
        return now.account.over() or "waiting for a driver"


@contextmanager
def open_sweep(name: str, root: Path | str, database: str | None) -> Iterator[SweepHandle]:
    """Open a sweep that was started under this root, and close its store at the end of `with`.

    Raises:
        UnknownSweepError: there is none of this name.
    """
    with closing(Store(root, database)) as store:
        requests = SweepRequests(store.engine, name)
        requests.read()
        yield SweepHandle(name, store, requests, Ledger(store.engine, name, NOBODY))


def sweeps_of(store: Store) -> Iterator[SweepHandle]:
    """Yield every sweep that was started in a store, by name."""
    SweepRequests(store.engine, "")  # makes its tables where they are missing
    Ledger(store.engine, "", NOBODY)
    query = sa.select(sweep_order.c.sweep).order_by(sweep_order.c.sweep)
    with reader(store.engine).begin() as connection:
        names = list(connection.execute(query).scalars())
    for name in names:
        requests = SweepRequests(store.engine, name)
        yield SweepHandle(name, store, requests, Ledger(store.engine, name, NOBODY))


def resume_command(name: str, root: Path | str, database: str | None) -> str:
    """Return what to type for a sweep to go on, wherever its results are."""
    words = ["rnnbench", "sweep", "resume", name]
    if str(root) not in ("rnnbench-results", os.environ.get("RNNBENCH_RESULTS")):
        words += ["--out", str(root)]
    if database and database != os.environ.get("RNNBENCH_DATABASE"):
        words += [
            "--database",
            database if "@" not in database else "URL",
        ]  # it may hold a password
    return shlex.join(words)


def show_status(
    name: str | None, root: Path | str, database: str | None, as_json: bool, watch: bool
) -> None:
    """Print how one sweep goes, or, without a name, how each goes in a line."""
    if name is None:
        _list_sweeps(root, database, as_json)
        return
    console = plain_console()
    with open_sweep(name, root, database) as sweep:
        while True:
            now, request, holder = sweep.snapshot(), sweep.requests.read(), sweep.holder()
            failed = [r for r in sweep.ledger.rows() if r.state == "failed"]
            if as_json:
                print(json.dumps(_as_dict(sweep, now, request, holder, failed), indent=1))
            else:
                if watch and console.is_terminal:
                    console.clear()
                who = f", run by {describe(holder)}" if holder else ""
                if by := request.started.get("by"):
                    who += f", started by {by} at {request.started['at']}"
                console.print(f"{name}: {sweep.state(now, request)}{who}", soft_wrap=True)
                console.print(table(now))
                if now.busy:
                    console.print(workers(now))
                for row in failed:
                    text = f"{row.status}: {row.key}: {row.reason}"
                    console.print(text, soft_wrap=True)
                for text in seed_lines(now):
                    console.print(text, soft_wrap=True)
                console.print(line(now), soft_wrap=True)
                if taken := now.account.line():
                    console.print(taken, soft_wrap=True)
                if holder and now.outage:
                    for text in describe_outage(now.outage):
                        console.print(text, soft_wrap=True)
                    print(f"Place all at once: {resume_command(name, root, database)}")
                if not holder and now.count("left"):
                    if now.account.over():
                        print(f"Give it more: rnnbench sweep extend {name} (--help), and then")
                    print(f"Go on: {resume_command(name, root, database)}")
            if not watch or holder is None:
                return
            time.sleep(WATCH_SECONDS)


def _as_dict(
    sweep: SweepHandle,
    now: Snapshot,
    request: SweepRequest,
    holder: str | None,
    failed: Sequence[TrialRow],
) -> dict[str, Any]:
    busy = [
        {"trial": b.trial, "node": b.node, "memory_bytes": b.memory, "gpus": dict(b.gpus),
         "seconds_since_heard": b.silent_seconds}
        for b in now.busy
    ]  # fmt: skip
    failures = [{"trial": r.key, "status": r.status, "reason": r.reason} for r in failed]
    state = sweep.state(now, request)
    driver = describe(holder) if holder else None
    started = {name: request.started.get(name) for name in ("by", "at")}
    return {"sweep": sweep.name, "state": state, "driver": driver, "started": started,
            **now.as_dict(),
            "workers": busy, "failures": failures}  # fmt: skip


def _list_sweeps(root: Path | str, database: str | None, as_json: bool) -> None:
    with closing(Store(root, database)) as store:
        sweeps = []
        for sweep in sweeps_of(store):
            now, request = sweep.snapshot(), sweep.requests.read()
            sweeps.append(
                {"sweep": sweep.name, "state": sweep.state(now, request), "now": line(now)}
            )
    if as_json:
        print(json.dumps(sweeps, indent=1))
    elif not sweeps:
        print(f"no sweep was started in {root}")
    else:
        for summary in sweeps:
            print(f"{summary['sweep']}: {summary['state']}: {summary['now']}")


def pause_sweep(name: str, root: Path | str, database: str | None) -> None:
    """Ask that no trial is started, by this driver or a later one, until the sweep is resumed."""
    with open_sweep(name, root, database) as sweep:
        sweep.requests.change(paused=True)
        running = "what runs goes on to its end" if sweep.holder() else "nobody runs it now"
        print(f"{name} is paused: {running}. Go on: {resume_command(name, root, database)}")


def stop_sweep(name: str, root: Path | str, database: str | None) -> int:
    """Ask the driver to end, wait until it has, and return the exit code."""
    with open_sweep(name, root, database) as sweep:
        holder = sweep.holder()
        if holder is None:
            print(f"{name} is not running")
            return 0
        sweep.requests.change(stopping=True)
        print(f"asked {describe(holder)} to stop", flush=True)
        while sweep.holder() == holder:
            time.sleep(0.2)
        if sweep.state(sweep.snapshot(), sweep.requests.read()) == "complete":
            print(f"{name} is complete: it ended before it could stop")
        else:
            print(f"{name} has stopped. Go on: {resume_command(name, root, database)}")
        return 0


def retry_trials(name: str, trials: Sequence[str], root: Path | str, database: str | None) -> None:
    """Plan failed trials again: those named, or all whose end may differ."""
    with open_sweep(name, root, database) as sweep:
        keys = sweep.requests.retry(sweep.ledger, trials)
        for key in keys:
            print(f"waits to be run again: {key}")
        if not keys:
            print("no trial failed in a way that could end differently")
        elif sweep.holder() is None:
            print(f"Nobody runs {name} now: {resume_command(name, root, database)}")


def show_logs(name: str, trial: str | None, root: Path | str, database: str | None) -> None:
    """Print the log of a trial, or, without a trial, the names of all.

    Raises:
        TrialLogError: there is no such trial, or it has not been started.
    """
    with open_sweep(name, root, database) as sweep:
        rows = {r.key: r for r in sweep.ledger.rows()}
        if trial is None:
            for row in rows.values():
                status = row.status if row.ended else row.state
                reason = f": {row.reason}" if row.reason and status != Status.DONE else ""
                print(f"{row.key}  {status}{reason}")
            return
        key = trial if trial in rows else f"{name}/{trial}"
        if key not in rows:
            raise TrialLogError(
                f"{trial} is no trial of {name}; `rnnbench sweep logs {name}` lists"
            )
        row = rows[key]
        log = sweep.store.run_dir(row.run_id) / LOG if row.run_id else None
        if log is None or not log.exists():
            raise TrialLogError(f"{row.key} has no log: no worker has started it ({row.state})")
        sys.stdout.write(log.read_text(errors="replace"))
