"""Says how the seeds of a board were chosen, and how strictly it is judged for that.

Runs that a sweep takes over from an earlier one keep the record that they have. Those of listed
seeds say nothing of a plan, and rightly so: nobody chose them by their results. One run that was
added by results is enough for the stricter level of its plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.results.record import Record
from rnnbench.stats.adaptive_seeds import board_level

SEED_PLAN = "seed_plan"  # in a record's provenance: how seeds were added by looking at results


def look_level(used: Sequence[Record], rows: int) -> float:
    """Return the level at which a board of these runs is to be judged."""
    return board_level((_plan(record) for record in used), rows)


def seed_notes(used: Sequence[Record]) -> list[str]:
    """Return notes on seeds that results decided on; none where there are none."""
    plans = [plan for record in used if (plan := _plan(record))]
    if not plans:
        return []
    least, most = min(p["at_least"] for p in plans), max(p["at_most"] for p in plans)
    note = f"Results decided on seeds, {least} to {most} of a row: who may be the best has more."
    if listed := len(used) - len(plans):
        note += (
            f" {listed} of the {len(used)} runs are of seeds that were listed beforehand; they "
            "count alike."
        )
    return [note]


def _plan(record: Record) -> Mapping[str, Any] | None:
    return record.provenance.get(SEED_PLAN)
