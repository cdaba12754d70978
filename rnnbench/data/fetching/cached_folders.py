"""Folders of files that are either whole or absent: staged, checked, locked. No torch here.

A kept folder holds its files and a manifest of their checksums. It is filled in a temporary
folder beside its final place and moved there at the end, so a killed process, a full disk or
two processes at once never leave half of it.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import itertools
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from rnnbench.errors import DataError
from rnnbench.files.atomic import replace_file, stamp

__all__ = [
    "DataError",
    "Kept",
    "checksum",
    "folder",
    "locked",
    "look",
    "publish",
    "read_manifest",
    "roots",
    "sha256_of",
    "writable",
]

MANIFEST = ".manifest.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Kept:
    """The state of a kept folder, as `look` saw it.

    Attributes:
        size: bytes of its files.
        problems: one line for each file that is missing or differs from the manifest.
    """

    size: int
    problems: tuple[str, ...]


def roots() -> dict[str, Path]:
    """Return the folders that data are looked for in, first to last, by what they are called."""
    cache = {"the user's cache": Path(platformdirs.user_cache_dir("rnnbench", appauthor=False))}
    mirror = os.environ.get("RNNBENCH_DATA")
    return ({"$RNNBENCH_DATA": Path(mirror).expanduser().absolute()} if mirror else {}) | cache


def folder() -> Path:
    """Return the folder to write data to: `$RNNBENCH_DATA` if it may be, else the user's cache."""
    root = next(writable(), None)
    if root is not None:
        return root
    raise DataError(
        f"none of {', '.join(map(str, roots().values()))} can be written to. "
        "Set RNNBENCH_DATA to a folder of yours."
    )


def writable() -> Iterator[Path]:
    """Yield the folders of `roots` that may be written to."""
    for root in roots().values():
        existing = next(p for p in (root, *root.parents) if p.exists())
        if existing.is_dir() and os.access(existing, os.W_OK):
            yield root


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


UNZIPPED = "gunzipped:"


def checksum(path: Path, like: str) -> str:
    """Return the checksum of a file in the form of `like`: of its bytes, or of what it unpacks to.

    Raises:
        OSError: it cannot be read, or is no gzip file where `like` asks for its content.
    """
    if not like.startswith(UNZIPPED):
        return sha256_of(path)
    digest = hashlib.sha256()
    try:
        with gzip.open(path) as f:
            while block := f.read(2**20):
                digest.update(block)
    except (EOFError, zlib.error) as error:
        raise OSError(errno.EIO, f"not a whole gzip file: {error}") from error
    return UNZIPPED + digest.hexdigest()


@contextlib.contextmanager
def locked(folder: Path, say: Say) -> Iterator[None]:
    """Hold the lock of a folder's place, waiting for another process that holds it.

    The operating system frees the lock of a process that dies.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting for another process that is making {folder}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def publish(folder: Path, about: dict[str, str], fill: Callable[[Path], None], say: Say) -> None:
    """Make `folder` by `fill(staging folder)`, all at once. Call it with the folder's lock held.

    Args:
        about: what the folder was made from; kept in its manifest.
        say: told when a folder that stood there and was not made here is moved aside.
        fill: writes the files, in subfolders too, into the folder it is given.
    Raises:
        DataError: the disk is full. Whatever stood in the folder's place is then untouched.
    """
    # Only the holder of the lock stages here, so what lies about was left by a killed process.
    for stale in folder.parent.glob(f".{folder.name}.tmp-*"):
        shutil.rmtree(stale)
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
        try:
            content = staging / "content"
            content.mkdir()
            fill(content)
            _write_manifest(content, about)
            if read_manifest(folder) is not None:  # a folder cannot be replaced in one call
                os.replace(folder, staging / "old")
            elif folder.exists():  # not of our making: it is not ours to delete
                aside = next(p for p in _names_aside(folder) if not p.exists())
                say(f"{folder} was not made by rnnbench: moved to {aside}")
                os.replace(folder, aside)
            os.replace(content, folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(staging)
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f"cannot write {folder}: {e.strerror} (free now: "
            f"{shutil.disk_usage(folder.parent).free:,} bytes). Nothing was left behind. Free some "
            "space, or set RNNBENCH_DATA to a folder on a larger disk."
        ) from e


def read_manifest(folder: Path) -> dict[str, str] | None:
    """Return what `publish` was told of the folder; None where `publish` did not make it."""
    manifest = _load_manifest(folder)
    return None if manifest is None else manifest["about"]


def look(folder: Path, *, thorough: bool) -> Kept:
    """Compare a kept folder with its manifest.

    Args:
        thorough: hash every file. Otherwise only files whose size or time of change is not
            the one noted when they were last hashed.
    """
    manifest = _load_manifest(folder)
    if manifest is None:
        return Kept(0, (f"{folder / MANIFEST} is missing or unreadable",))
    problems, size, touched = [], 0, False
    for name, entry in manifest["files"].items():
        path = folder / name
        try:
            size += path.stat().st_size
            same = stamp(path) == entry["stamp"]
            if same and not thorough:
                continue
            sha256 = sha256_of(path)
        except OSError as e:
            problems.append(f"{path}: {e.strerror}")
            continue
        if sha256 != entry["sha256"]:
            problems.append(f"{path}: sha256 is {sha256[:12]}…, expected {entry['sha256'][:12]}…")
        elif not same:
            entry["stamp"] = stamp(path)
            touched = True
    if touched and not problems and os.access(folder, os.W_OK):
        replace_file(folder / MANIFEST, json.dumps(manifest))
    return Kept(size, tuple(problems))


def _load_manifest(folder: Path) -> dict | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return manifest if {"about", "files"} <= manifest.keys() else None
    except (OSError, ValueError, AttributeError):
        return None  # `look` reports it as damage; there is nothing to trust without it


def _write_manifest(folder: Path, about: dict[str, str]) -> None:
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        _sync(path)
        name = path.relative_to(folder).as_posix()
        files[name] = {"sha256": sha256_of(path), "stamp": stamp(path)}
    replace_file(folder / MANIFEST, json.dumps({"about": about, "files": files}))


def _names_aside(folder: Path) -> Iterator[Path]:
    return (folder.with_name(f"{folder.name}.replaced-{n}") for n in itertools.count(1))


def _sync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
