"""Says on which path and machine runs were made, and what their time is worth on that machine.

Seconds compare where code path and machine are alike. Where machines differ, the operations of
large products that a machine could have done in that time come nearer: a record keeps how many it
does in a second.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rnnbench.leaderboard.protocol_text import machine_in_words
from rnnbench.results.record import Record

NO_SCAN = "no scan"  # nothing recurrent ran, as in a transformer
MACHINE_TIME = "train_products"  # the cost of a row, beside those of `record.COSTS`


def paths_of(runs: Sequence[Record]) -> str:
    """Return the paths that the recurrences of some runs took, such as "fused" or "c, eager".

    "" where the records do not tell.
    """
    scans = [run.provenance.get("scan") for run in runs]
    known = [scan for scan in scans if isinstance(scan, dict)]
    if not known:
        return ""
    tiers = {str(cell.get("tier")) for scan in known for cell in scan.get("cells") or []}
    return ", ".join(sorted(tiers)) or NO_SCAN


def machines_of(runs: Sequence[Record]) -> tuple[str, ...]:
    """Return the machines that some runs computed on, several devices as "4 × NVIDIA H100"."""
    return tuple(sorted({_machine(run) for run in runs} - {""}))


def _machine(run: Record) -> str:
    name, devices = machine_in_words(run), run.provenance.get("devices") or 1
    return f"{devices} × {name}" if name and devices > 1 else name


def train_products(runs: Sequence[Record]) -> float | None:
    """Return the operations of products that their machines could have done while training.

    It is the mean over the runs; None where a record does not tell how fast its machine was.
    """
    products = []
    for run in runs:
        speed = run.provenance.get("product_speed")
        seconds = run.cost.get("device_seconds") or run.cost.get("train_seconds")
        if seconds is None or isinstance(speed, bool) or not isinstance(speed, (int, float)):
            return None
        products.append(seconds * speed)
    return math.fsum(products) / len(products) if products else None


def machine_marks(runs: Sequence[Record], of_board: Sequence[Record]) -> tuple[str, ...]:
    """Mark the runs of a row that were not made on the machine of most runs of its board."""
    counts = Counter(machine for run in of_board if (machine := _machine(run)))
    own = machines_of(runs)
    if len(counts) < 2 or not own:
        return ()
    usual = min(counts, key=lambda machine: (-counts[machine], machine))
    if own == (usual,):
        return ()
    return (f"ran on {' and on '.join(own)}; most runs here on {usual}: its times do not compare",)


def path_notes(by_row: Sequence[tuple[str, str]], timed: bool) -> list[str]:
    """Say where rows ran on unlike paths, if what is reached in a time decides their places.

    Args:
        by_row: (row, its paths), "" where these are not known.
        timed: the budget of the board is one of seconds.
    """
    rows_by_path: dict[str, list[str]] = {}
    for row, path in by_row:
        if path not in ("", NO_SCAN):
            rows_by_path.setdefault(path, []).append(row)
    if not timed or len(rows_by_path) < 2:
        return []
    told = "; ".join(f"{path}: {', '.join(rows)}" for path, rows in sorted(rows_by_path.items()))
    return [
        f"The budget is one of time, and the recurrences ran on unlike paths ({told}): a row on a "
        "slower path was trained for fewer steps."
    ]
