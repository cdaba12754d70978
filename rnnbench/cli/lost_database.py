"""Says in words that the results database cannot be used: a full disk, a server that is away.

Nothing is imported for this: what raised such an error has imported its library.
"""

from __future__ import annotations

import sys

from rnnbench.errors import causes

OURS = ("no such table", "no such column", "syntax error", 'near "')  # said of a wrong statement
CAUSES = (
    (("disk is full", "disk full", "no space", "quota"), "its disk is full: make room"),
    (
        ("readonly", "read-only", "unable to open", "permission"),
        "it cannot be written there: see to the permissions of its folder",
    ),
    (("locked",), "another process holds it: wait for that one, or stop it"),
    (("disk i/o",), "its disk fails, or is full: make room, or give another --out"),
    (
        ("not a database", "malformed"),
        "its file is damaged: move it away, and `rnnbench index` enters all runs in a new one; "
        "a sweep that is started again takes over what is finished",
    ),
)
AWAY = "see that its server runs and can be reached, or give another address by RNNBENCH_DATABASE"


def lost_database(error: BaseException) -> str | None:
    """Return what to tell where an error comes of a database that cannot be used; else None."""
    for cause in causes(error, contexts=True):
        if not _is_of_database(cause):
            continue
        said = str(getattr(cause, "orig", None) or cause).strip().split("\n")[0]
        lower = said.lower()
        if any(text in lower for text in OURS):
            return None
        advice = next((a for texts, a in CAUSES if any(t in lower for t in texts)), AWAY)
        return (
            f"the results database refused ({said}): {advice}.\n"
            "  What was committed is safe, and finished runs are on disk: then the same command "
            "goes on from here."
        )
    return None


def _is_of_database(error: BaseException) -> bool:
    """Tell whether a database could not do what it was asked, for a reason of its own."""
    alchemy, lite = sys.modules.get("sqlalchemy.exc"), sys.modules.get("sqlite3")
    if alchemy is not None:
        lost = (alchemy.OperationalError, alchemy.InterfaceError, alchemy.TimeoutError)
        if isinstance(error, lost) or type(error) is alchemy.DatabaseError:
            return True
    return lite is not None and (
        isinstance(error, lite.OperationalError) or type(error) is lite.DatabaseError
    )
