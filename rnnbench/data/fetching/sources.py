"""Where a task's raw data are: found, fetched once, checked. No torch here.

A source is looked for in `$RNNBENCH_DATA/<name>` first, then in the user's cache folder. What is
found in neither is fetched, into `$RNNBENCH_DATA` where that may be written to, else into the
user's cache. So `$RNNBENCH_DATA` may be a read-only mirror that holds some of the sets.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rnnbench.data.fetching import cached_folders, origins
from rnnbench.data.fetching.cached_folders import Say, folder, roots, writable
from rnnbench.errors import DataError
from rnnbench.files.atomic import stamp

if TYPE_CHECKING:
    from rnnbench.contract import Source

__all__ = [
    "SourceStatus", "data_version", "fetch", "folder", "own_file", "roots", "status", "to_stderr",
    "verify",
]  # fmt: skip


@dataclass(frozen=True)
class SourceStatus:
    """The state of a source on this machine.

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


def status(source: Source) -> SourceStatus:
    """Tell where a source stands, at a glance: files are hashed only where size or time changed."""
    return _find(source, thorough=False)


def verify(source: Source) -> SourceStatus:
    """Tell where a source stands, with every file hashed again."""
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
    current = status(source)
    if current.state == "present" and current.folder is not None:
        return current.folder
    if source.origin.startswith("package:"):
        raise DataError("; ".join(current.problems) + ". " + _package_advice(source))
    if source.origin.startswith(("file:", "folder:")):
        raise DataError(
            f"{'; '.join(current.problems)}. The file is another now than when this run was "
            "described: describe it again."
        )
    target = _choose_target(source, current)
    with cached_folders.locked(target, say):
        current = status(source)  # another process may have brought it meanwhile
        if current.state == "present" and current.folder is not None:
            return current.folder
        if current.state == "damaged":
            say(f"{source.name}: damaged, fetching it again: {'; '.join(current.problems)}")
        cached_folders.publish(
            target, _manifest_entry(source), lambda to: origins.bring(source, to, say), say
        )
    return target


def _choose_target(source: Source, current: SourceStatus) -> Path:
    """Return where to put a source: not over a folder of its name that holds something else."""
    for root in writable():
        path = root / source.name
        if (
            current.state == "damaged"
            or not path.exists()
            or cached_folders.read_manifest(path) is not None
        ):
            return path
    return folder() / source.name  # and what stands there is moved aside


def own_file(path: str, role: str) -> Source:
    """Make a source of a user's own file, which is read where it lies and known by its content.

    Args:
        path: relative to the working directory, or absolute; "~" is the user's home.
        role: what the task reads it for, such as "train": the source's name.
    Raises:
        DataError: it is not there, or it is empty.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        what = "a folder" if file.is_dir() else "not there"
        raise DataError(f"{role}={path}: {file} is {what}; give the path of a file")
    if not file.stat().st_size:
        raise DataError(f"{role}={path}: {file} is empty")
    return _own_file(file, role, stamp(file))


@functools.lru_cache(maxsize=64)
def _own_file(path: Path, role: str, stamp: str) -> Source:
    from rnnbench.contract import Source

    files = {path.name: cached_folders.sha256_of(path)}
    return Source(role, f"file:{path}", files, size=path.stat().st_size, licence="your own")


def data_version(sources: Sequence[Source], task_version: int) -> str:
    """Return a hash of all that a task's data depend on: sources' checksums, the task's version.

    Of a user's own file the content counts, and not where it lies; of several in a folder also
    their names in it.
    """
    parts = sorted(
        (s.name, "file:", "", sorted(("", sha256) for sha256 in s.files.values()))
        if s.origin.startswith("file:")
        else (s.name, "folder:", "", sorted(s.files.items()))
        if s.origin.startswith("folder:")
        else (s.name, s.origin, s.sha256, sorted(s.files.items()))
        for s in sources
    )
    text = json.dumps([parts, task_version], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# ---------------------------------------------------------------------------------- looking


def _manifest_entry(source: Source) -> dict[str, str]:
    """Return what the manifest of a fetched source says, by which other versions are told apart."""
    return {"origin": source.origin, "version": data_version([source], 0)}


def _find(source: Source, *, thorough: bool) -> SourceStatus:
    state: Literal["present", "damaged"]
    if source.origin.startswith("package:"):
        return _find_package(source)
    if source.origin.startswith(("file:", "folder:")):
        kind, _, place = source.origin.partition(":")
        path = Path(place).parent if kind == "file" else Path(place)
        kept = origins.compare(path, source.files)
        state = "damaged" if kept.problems else "present"
        return SourceStatus(source.name, state, path, "its own place", kept.size, kept.problems)
    damaged = None
    for place, root in roots().items():
        path = root / source.name
        about = cached_folders.read_manifest(path)
        if about is None and not any((path / name).exists() for name in source.files):
            continue
        if about == _manifest_entry(source):
            kept = cached_folders.look(path, thorough=thorough)
        elif all(source.files.values()):
            kept = origins.compare(path, source.files)  # put there by hand, or by another program
        else:
            was = "no manifest" if about is None else f"a manifest of {about['origin']}"
            kept = cached_folders.Kept(0, (f"{path} has {was}, expected {source.origin}",))
        state = "damaged" if kept.problems else "present"
        here = SourceStatus(source.name, state, path, place, kept.size, kept.problems)
        if state == "present":
            return here
        damaged = damaged or here
    return damaged or SourceStatus(source.name, "missing")


def _find_package(source: Source) -> SourceStatus:
    """Find files of an installed distribution by its metadata, without importing it."""
    name = source.origin.removeprefix("package:")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return SourceStatus(source.name, "missing", problems=(f"{name} is not installed",))
    path = Path(str(distribution.locate_file(".")))
    kept = origins.compare(path, source.files)
    place = f"the installed {name} {distribution.version}"
    return SourceStatus(
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
