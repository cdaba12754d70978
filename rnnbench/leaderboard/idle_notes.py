"""Says which tricks changed nothing in some runs, and which figures leave something out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rnnbench.leaderboard.types import Row
from rnnbench.results.record import Record


def idle_tricks(record: Record) -> list[str]:
    """Return what the tricks of a run say that never acted in it; [] of older records."""
    return [str(text) for text in record.provenance.get("idle", [])]


def metric_notes(records: Sequence[Record]) -> list[str]:
    """Return what the meters of some runs say beside their figures, each text once."""
    texts = [str(t) for r in records for t in r.provenance.get("metric_notes", [])]
    return list(dict.fromkeys(texts))


def idle_marks(runs: Sequence[Record]) -> tuple[str, ...]:
    """Say of the runs of a row in how many of them a trick never acted."""
    counts = Counter(text.partition(":")[0] for run in runs for text in idle_tricks(run))
    return tuple(f"{text} in {n} of {len(runs)} seeds" for text, n in counts.items())


def equal_marks(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """Say where a row with tricks equals one with fewer of them, seed by seed, to the last digit.

    The loss has to agree too: two accuracies of a few hundred items are easily the same.
    """
    for other in rows:
        fewer = set(other.tricks) < set(row.tricks) and other.architecture == row.architecture
        same = (other.seeds, other.values) == (row.seeds, row.values) != ((), ())
        losses = [r.metrics["loss"].mean if "loss" in r.metrics else None for r in (row, other)]
        if fewer and same and losses[0] == losses[1]:
            idle = ", ".join(t for t in row.tricks if t not in other.tricks)
            return (f"equal to {other.name} to the last digit: {idle} changed nothing",)
    return ()
