"""Marks results that were not made here, and whether they were checked. No torch.

It stands in a record's provenance under "origin": an import writes it over whatever the bundle
said of itself, so a stranger cannot vouch for his own numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rnnbench.results.record import Record

UNVERIFIED, VERIFIED, DIFFERS = "unverified", "verified", "differs"
STATES = (UNVERIFIED, VERIFIED, DIFFERS)
ORIGIN, CHECKED = "origin", "verified"


def now() -> str:
    """Return the time, UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def imported(record: Record, digest: str) -> None:
    """Mark a record as a stranger's, and drop what it says of having been checked.

    Args:
        digest: sha256 of the bundle.
    """
    record.provenance.pop(CHECKED, None)
    record.provenance[ORIGIN] = {"imported": now(), "bundle_sha256": digest}
    record.attempt = 0  # whatever is run here takes its place


def is_imported(record: Record) -> bool:
    """Tell whether a record came from elsewhere."""
    return isinstance(record.provenance.get(ORIGIN), dict)


def stamp(record: Record, state: str, how: str, differences: list[str]) -> None:
    """Write down what a verification found.

    Args:
        how: "evaluated again" or "trained again".
        differences: a sentence each; empty where verified.
    """
    record.provenance[CHECKED] = {
        "state": state, "how": how, "at": now(), "differences": differences,
    }  # fmt: skip


def state_of(record: Record) -> str | None:
    """Return one of `STATES`; None for a result that was made here and not checked."""
    check: Any = record.provenance.get(CHECKED)
    state = check.get("state") if isinstance(check, dict) else None
    if state in (VERIFIED, DIFFERS):
        return str(state)
    return UNVERIFIED if is_imported(record) else None


def stands_in(record: Record) -> bool:
    """Tell whether the record may take the place of a run: a stranger's only once verified."""
    return not is_imported(record) or state_of(record) == VERIFIED
