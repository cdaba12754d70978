"""Ruling a sweep from another terminal: status, pause, stop, retry, extend, logs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console

from rnnbench.report.terminal.sweep_progress import line, table, workers
from rnnbench.results.database import reader
from rnnbench.results.record import Status
from rnnbench.results.run_folder import LOG
from rnnbench.results.store import Store
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.process_identity import describe, is_dead
from rnnbench.sweep.ledger.requests import Order, SweepRequests, sweep_order
from rnnbench.sweep.ledger.tables import Now, sweep_driver
from rnnbench.sweep.progress import Snapshot

WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class SweepHandle:
    """A sweep as it is seen from another process."""

    name: str
    store: Store
    orders: SweepRequests
    ledger: Ledger

    def holder(self) -> str | None:
        """The identity of the driver, None where nobody runs the sweep."""
        d = sweep_driver.c
        query = sa.select(d.owner, d.lease_until > Now()).where(d.sweep == self.name)
        with reader(self.store.engine).begin() as connection:
            found = connection.execute(query).first()
        return found[0] if found is not None and found[1] and not is_dead(found[0]) else None

    def snapshot(self) -> Snapshot:
        order = self.orders.read()
        busy = self.orders.busy() if self.holder() else []
        told = order.pace or {"cells": [], "seconds": 0.0, "per_minute": None, "seconds_left": None}
        return Snapshot.from_dict(told, busy, order.paused)

    def state(self, now: Snapshot, order: Order) -> str:
        """One word or two: running, paused, stopping, complete, waiting."""
        if self.holder():
            return "stopping" if order.stopping else "paused" if order.paused else "running"
        return "complete" if now.cells and not now.count("left") else "waiting for a driver"


@contextmanager
def ruled(name: str, root: Path | str, database: str | None) -> Iterator[SweepHandle]:
    """A sweep that was started under this root.

    Raises:
        UnknownSweepError: there is none of this name.
    """
    with closing(Store(root, database)) as store:
        orders = SweepRequests(store.engine, name)
        orders.read()
        yield SweepHandle(name, store, orders, Ledger(store.engine, name, "nobody:0:0"))


def show_status(
    name: str | None, root: Path | str, database: str | None, as_json: bool, watch: bool
) -> None:
    """Print how one sweep goes, or all in a line each."""
    if name is None:
        _list(root, database, as_json)
        return
    console = Console()
    with ruled(name, root, database) as sweep:
        while True:
            now, order, holder = sweep.snapshot(), sweep.orders.read(), sweep.holder()
            failed = [r for r in sweep.ledger.rows() if r.state == "failed"]
            if as_json:
                print(json.dumps(_as_dict(sweep, now, order, holder, failed), indent=1))
            else:
                if watch and console.is_terminal:
                    console.clear()
                who = f", run by {describe(holder)}" if holder else ""
                console.print(f"{name}: {sweep.state(now, order)}{who}", markup=False)
                console.print(table(now))
                if now.busy:
                    console.print(workers(now))
                for row in failed:
                    text = f"{row.status}: {row.key}: {row.reason}"
                    console.print(text, markup=False, highlight=False, soft_wrap=True)
                console.print(line(now), markup=False, highlight=False, soft_wrap=True)
                if not holder and now.count("left"):
                    console.print(f"Go on: rnnbench sweep resume {name}", markup=False)
            if not watch or holder is None:
                return
            time.sleep(WATCH_SECONDS)


def _as_dict(
    sweep: SweepHandle, now: Snapshot, order: Order, holder: str | None, failed: Sequence[TrialRow]
) -> dict[str, Any]:
    told = now.as_dict()
    busy = [
        {"trial": b.trial, "node": b.node, "memory_bytes": b.memory, "gpus": dict(b.gpus),
         "seconds_since_heard": b.ago}
        for b in now.busy
    ]  # fmt: skip
    failures = [{"trial": r.key, "status": r.status, "reason": r.reason} for r in failed]
    state = sweep.state(now, order)
    driver = describe(holder) if holder else None
    return {"sweep": sweep.name, "state": state, "driver": driver, **told, "workers": busy,
            "failures": failures}  # fmt: skip


def _list(root: Path | str, database: str | None, as_json: bool) -> None:
    with closing(Store(root, database)) as store:
        SweepRequests(store.engine, "")  # makes its tables where they are missing
        Ledger(store.engine, "", "nobody:0:0")
        query = sa.select(sweep_order.c.sweep).order_by(sweep_order.c.sweep)
        with reader(store.engine).begin() as connection:
            names = list(connection.execute(query).scalars())
        found = []
        for name in names:
            sweep = SweepHandle(
                name, store, SweepRequests(store.engine, name), Ledger(store.engine, name, "")
            )
            now, order = sweep.snapshot(), sweep.orders.read()
            found.append({"sweep": name, "state": sweep.state(now, order), "now": line(now)})
    if as_json:
        print(json.dumps(found, indent=1))
    elif not found:
        print(f"no sweep was started in {root}")
    else:
        for one in found:
            print(f"{one['sweep']}: {one['state']}: {one['now']}")


def pause_sweep(name: str, root: Path | str, database: str | None) -> None:
    """Have nothing more started, now and by later drivers, until it is resumed."""
    with ruled(name, root, database) as sweep:
        sweep.orders.give(paused=True)
        running = "what runs goes on to its end" if sweep.holder() else "nobody runs it now"
        print(f"{name} is paused: {running}. Go on: rnnbench sweep resume {name}")


def stop_sweep(name: str, root: Path | str, database: str | None) -> int:
    """Ask the driver to end, and wait until it has."""
    with ruled(name, root, database) as sweep:
        holder = sweep.holder()
        if holder is None:
            print(f"{name} is not running")
            return 0
        sweep.orders.give(stopping=True)
        print(f"asked {describe(holder)} to stop", flush=True)
        while sweep.holder() == holder:
            time.sleep(0.2)
        print(f"{name} has stopped. Go on: rnnbench sweep resume {name}")
        return 0


def retry_trials(name: str, trials: Sequence[str], root: Path | str, database: str | None) -> None:
    """Plan failed trials again."""
    with ruled(name, root, database) as sweep:
        keys = sweep.orders.retry(sweep.ledger, trials)
        for key in keys:
            print(f"waits to be run again: {key}")
        if not keys:
            print("no trial failed in a way that could end differently")
        elif sweep.holder() is None:
            print(f"Nobody runs {name} now: rnnbench sweep resume {name}")


def extend_sweep(
    name: str, trials: int | None, seeds: Sequence[int], root: Path | str, database: str | None
) -> None:
    """Ask for more trials or seeds than the file does.

    Raises:
        ValueError: neither is given, or a seed chose the configurations.
    """
    if trials is None and not seeds:
        raise ValueError("extend by what? give --trials N, --seed S, or both")
    with ruled(name, root, database) as sweep:
        order = sweep.orders.read()
        from rnnbench.sweep.file.sweep import parse_sweep

        file = parse_sweep(order.text, order.file)
        chose = {file.search.seed, *getattr(file.search, "seeds", ())}
        if file.search.trials != 0 and (taken := chose & set(seeds)):
            raise ValueError(
                f"seed {min(taken)} is a seed of the search: a configuration must be reported on "
                "seeds that did not choose it"
            )
        order = sweep.orders.extend(trials, seeds)
        parts = []
        if order.trials is not None:
            parts.append(f"{order.trials} trials of each cell")
        if order.seeds:
            parts.append(f"final seeds {', '.join(map(str, order.seeds))} beside the file's")
        print(f"{name} is asked for {' and '.join(parts)}")
        if sweep.holder() is None:
            print(f"Nobody runs it now: rnnbench sweep resume {name}")


def show_logs(name: str, trial: str | None, root: Path | str, database: str | None) -> None:
    """Print the log of a trial, or the names of all.

    Raises:
        ValueError: there is no such trial, or it has not been started.
    """
    with ruled(name, root, database) as sweep:
        rows = {r.key: r for r in sweep.ledger.rows()}
        if trial is None:
            for row in rows.values():
                status = row.status if row.ended else row.state
                reason = f": {row.reason}" if row.reason and status != Status.DONE else ""
                print(f"{row.key}  {status}{reason}")
            return
        found = rows.get(trial) or rows.get(f"{name}/{trial}")
        if found is None:
            raise ValueError(f"{trial} is no trial of {name}; `rnnbench sweep logs {name}` lists")
        log = sweep.store.run_dir(found.run_id) / LOG if found.run_id else None
        if log is None or not log.exists():
            raise ValueError(f"{found.key} has no log: no worker has started it ({found.state})")
        sys.stdout.write(log.read_text(errors="replace"))
