"""A user's own files, as sources: one, all of a folder, or those that a pattern names."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.data.fetching.sources import own_file
from rnnbench.errors import DataError

if TYPE_CHECKING:
    from rnnbench.contract import Source

__all__ = ["FOLDER", "own_files", "paths_of"]

FOLDER = "folder:"  # how the origin of several files begins
MOST = 10_000  # files of a folder
_PATTERN = "*?["  # characters of which one makes a path a pattern


def own_files(path: str, role: str, left_out: Collection[Path] = ()) -> Source:
    """Make a source of a file, of all files of a folder, or of those that a pattern names.

    Files of a folder and of a pattern are sorted by name, hidden ones left out. Their names and
    content are part of what the data are known by, and where they lie is not.

    Args:
        path: as `own_file` takes it; with *, ? or [ it is a pattern, in which ** is any folders.
        role: see `own_file`.
        left_out: absolute paths of files that are read for something else.
    Raises:
        DataError: nothing is there, or a file is empty.
    """
    place = Path(path).expanduser().absolute()
    pattern = any(c in path for c in _PATTERN) and not place.exists()
    if not pattern and not place.is_dir():
        return own_file(path, role)
    base = _base_of(place) if pattern else place
    if pattern:
        found = [Path(p) for p in glob.glob(str(place), recursive=True)]
    else:
        found = [p for p in place.rglob("*") if not _is_hidden(p.relative_to(place))]
    files = sorted(p for p in found if p.is_file() and p not in left_out)
    if not files:
        what = "no file has such a name" if pattern else f"the folder {base} has no files"
        what += " besides those that are read for something else" if left_out and found else ""
        raise DataError(f"{role}={path}: {what}; give the path of a file, a folder, or a pattern")
    if len(files) > MOST:
        raise DataError(
            f"{role}={path}: these are {len(files):,} files, and {MOST:,} are the most that are "
            "read one by one: join some of them, or name fewer by a pattern"
        )
    from rnnbench.contract import Source

    made = [own_file(str(file), role) for file in files]
    checksums = {
        os.fspath(file.relative_to(base)): next(iter(source.files.values()))
        for file, source in zip(files, made, strict=True)
    }
    size = sum(source.size for source in made)
    return Source(role, f"{FOLDER}{base}", checksums, size=size, licence="your own")


def paths_of(source: Source) -> list[Path]:
    """Return where the files of a user's own source lie."""
    kind, _, place = source.origin.partition(":")
    base = Path(place).parent if kind == "file" else Path(place)
    return [base / name for name in source.files]


def _base_of(pattern: Path) -> Path:
    """Return the folder that a pattern begins in."""
    base = pattern
    while any(c in os.fspath(base) for c in _PATTERN):
        base = base.parent
    return base


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)
