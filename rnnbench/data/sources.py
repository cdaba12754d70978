"""Where a task's raw data are: found, fetched once, checked. No torch here.

A source is looked for in `$RNNBENCH_DATA/<name>` first, then in the user's cache folder. What is
found in neither is fetched, into `$RNNBENCH_DATA` where that may be written to, else into the
user's cache. So `$RNNBENCH_DATA` may be a read-only mirror that holds some of the sets.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rnnbench.data import origins, store
from rnnbench.data.store import DataError, Say, folder, roots

if TYPE_CHECKING:
    from rnnbench.contract import Source

__all__ = ["Status", "data_version", "fetch", "folder", "roots", "status", "to_stderr", "verify"]


@dataclass(frozen=True)
class Status:
    """Where a source stands.

    Attributes:
        state: "present", "missing" (fetched at first use) or "damaged" (fetched again then).
        folder: where its files are; None while missing.
        place: which of the places looked at this is, in words.
        size: bytes of the files found.
        problems: one line for each file that is missing or differs.
    """

    source: str
    state: Literal["present", "missing", "damaged"]
    folder: Path | None = None
    place: str = ""
    size: int = 0
    problems: tuple[str, ...] = ()


def status(source: Source) -> Status:
    """Where a source stands, at a glance: files are hashed only where size or time changed."""
    return _find(source, thorough=False)


def verify(source: Source) -> Status:
    """Where a source stands, with every file hashed again."""
    return _find(source, thorough=True)


def fetch(source: Source, on_progress: Say | None = None) -> Path:
    """Make sure that a source's files are here and whole, and return their folder.

    Args:
        on_progress: called with each line to show; by default lines go to the standard error.
    Returns:
        The folder under which each path of `source.files` lies.
    Raises:
        DataError: the data are not here and cannot be had: why, and what to do about it.
    """
    say = on_progress or to_stderr
    found = status(source)
    if found.state == "present" and found.folder is not None:
        return found.folder
    if source.origin.startswith("package:"):
        raise DataError("; ".join(found.problems) + ". " + _package_advice(source))
    target = folder() / source.name
    with store.locked(target, say):
        found = status(source)  # another process may have brought it meanwhile
        if found.state == "present" and found.folder is not None:
            return found.folder
        if found.state == "damaged":
            say(f"{source.name}: damaged, fetching it again: {'; '.join(found.problems)}")
        store.publish(target, _about(source), lambda to: origins.bring(source, to, say), say)
    return target


def data_version(sources: Sequence[Source], task_version: int) -> str:
    """A hash of all that determines a task's data: the sources' checksums, the task's version."""
    parts = sorted((s.name, s.origin, s.sha256, sorted(s.files.items())) for s in sources)
    text = json.dumps([parts, task_version], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# ---------------------------------------------------------------------------------- looking


def _about(source: Source) -> dict[str, str]:
    """What the manifest of a fetched source says, so that another version's is not taken for it."""
    return {"origin": source.origin, "version": data_version([source], 0)}


def _find(source: Source, thorough: bool) -> Status:
    if source.origin.startswith("package:"):
        return _find_package(source)
    damaged = None
    for place, root in roots().items():
        path = root / source.name
        about = store.read_manifest(path)
        if about is None and not any((path / name).exists() for name in source.files):
            continue
        if about == _about(source):
            kept = store.look(path, thorough)
        elif all(source.files.values()):
            kept = origins.compare(path, source.files)  # put there by hand, or by another program
        else:
            was = "no manifest" if about is None else f"a manifest of {about['origin']}"
            kept = store.Kept(0, (f"{path} has {was}, expected {source.origin}",))
        state: Literal["present", "damaged"] = "damaged" if kept.problems else "present"
        here = Status(source.name, state, path, place, kept.size, kept.problems)
        if state == "present":
            return here
        damaged = damaged or here
    return damaged or Status(source.name, "missing")


def _find_package(source: Source) -> Status:
    """Find files of an installed distribution by its metadata, without importing it."""
    name = source.origin.removeprefix("package:")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return Status(source.name, "missing", problems=(f"{name} is not installed",))
    path = Path(str(distribution.locate_file(".")))
    kept = origins.compare(path, source.files)
    place = f"the installed {name} {distribution.version}"
    return Status(
        source.name,
        "damaged" if kept.problems else "present",
        path,
        place,
        kept.size,
        tuple(f"{problem} ({place})" for problem in kept.problems),
    )


def _package_advice(source: Source) -> str:
    name = source.origin.removeprefix("package:")
    return (
        f"rnnbench reads {', '.join(source.files)} from {name} as it is, and this release's file "
        f"is absent or other. Reinstall it (python -m pip install --force-reinstall {name}); if "
        "it differs still, that release changed the data: install an earlier one."
    )


def to_stderr(line: str) -> None:
    """Show a line of progress."""
    print(line, file=sys.stderr, flush=True)
