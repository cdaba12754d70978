"""Makes names of the site's files, from names that anybody may have chosen."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from urllib.parse import quote

PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.ASCII)  # on Windows


def file_name(name: str) -> str:
    """Return a stem that every system takes, the name itself where it is plain.

    Others are spelt without what is odd, and end in a hash, so that two never share one.
    """
    if PLAIN.fullmatch(name) and not RESERVED.fullmatch(name):
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"
    return f"{plain}.{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:10]}"


def task_page(task: str) -> str:
    return f"tasks/{file_name(task)}.html"


def sweep_page(sweep: str) -> str:
    return f"sweeps/{file_name(sweep)}.html"


def run_link(task: str, run_id: str | None = None) -> str:
    """Return the address of a run's page, or of a task's list of runs, from the site's root."""
    fragment = "" if run_id is None else f"/{quote(run_id, safe='.+-_')}"
    return f"run.html#{file_name(task)}{fragment}"


def unique(names: Iterable[str]) -> list[str]:
    """Return each name once, in order."""
    return list(dict.fromkeys(names))
