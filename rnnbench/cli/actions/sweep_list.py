"""Does `rnnbench sweep list`: shows every sweep of a database, and who started it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from rnnbench.cli.actions.sweep_control import SweepHandle, sweeps_of
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.report.terminal.sweep_progress import duration, line
from rnnbench.results.store import Store, folder_of
from rnnbench.sweep.ledger.process_identity import describe
from rnnbench.sweep.progress import Snapshot

COLUMNS = ("sweep", "state", "done", "failed", "workers", "left", "started", "by")


def list_sweeps(root: Path | str, database: str | None, as_json: bool) -> None:
    """Print a line for each sweep, those that run first; write nothing."""
    if database is None and not (folder_of(root) / "results.db").exists():
        sweeps = []
    else:
        with closing(Store(root, database)) as store:
            sweeps = [_describe(sweep) for sweep in sweeps_of(store)]
    sweeps.sort(key=lambda s: (s["driver"] is None, s["sweep"]))
    if as_json:
        print(json.dumps(sweeps, indent=1))
    elif not sweeps:
        print(f"no sweep was started in {root}")
    else:
        plain_console().print(_table(sweeps))


def _describe(sweep: SweepHandle) -> dict[str, Any]:
    now, request, holder = sweep.snapshot(), sweep.requests.read(), sweep.holder()
    ended, wanted = progress_of(now)
    return {
        "sweep": sweep.name,
        "state": sweep.state(now, request),
        "driver": describe(holder) if holder else None,
        "started": request.started.get("at"),
        "by": request.started.get("by"),
        "file": request.file,
        "ended": ended,
        "wanted": wanted,
        "failed": now.count("failed") + now.count("finals_failed"),
        "workers": len(now.busy),
        "nodes": len({b.node for b in now.busy}),
        "seconds_left": now.seconds_left,
        "now": line(now),
    }


def progress_of(now: Snapshot) -> tuple[int, int]:
    """Return how many trials and final runs have ended, and how many are wanted."""
    ended = sum(
        now.count(name) for name in ("done", "pruned", "failed", "finals_done", "finals_failed")
    )
    return ended, ended + now.count("left")


def _table(sweeps: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        number = name in ("done", "failed", "workers", "left")
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for s in sweeps:
        nodes = f" on {s['nodes']} nodes" if s["nodes"] > 1 else ""
        left = s["seconds_left"] if s["driver"] else None
        started = datetime.fromisoformat(s["started"]).astimezone() if s["started"] else None
        cells = (
            s["sweep"],
            s["state"],
            f"{s['ended']} of {s['wanted']}",
            str(s["failed"] or ""),
            f"{s['workers']}{nodes}" if s["workers"] else "",
            duration(left) if left else "",
            f"{started:%Y-%m-%d %H:%M}" if started else "",
            s["by"] or "",
        )
        table.add_row(*map(Text, cells))
    return table
