"""Files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Staged:
    """Content that is safe on disk under a temporary name, until `commit` gives it its own.

    Attributes:
        stamp: size and time of modification, which survive the renaming.
    """

    temporary: Path
    path: Path
    stamp: str

    def commit(self) -> None:
        """Take the final name in one step.

        Raises:
            OSError: nothing was changed.
        """
        try:
            os.replace(self.temporary, self.path)
        except OSError as error:
            self.discard()
            raise _unchanged(self.path, error) from error
        _flush_folder(self.path.parent)

    def discard(self) -> None:
        self.temporary.unlink(missing_ok=True)


def stage_file(path: Path, content: str | bytes) -> Staged:
    """Write and flush content beside `path`, in the same folder, without touching `path`.

    Raises:
        OSError: nothing was changed; the message names the file and the cause.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return Staged(temporary, path, stamp(temporary))
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unchanged(path, error) from error


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, and never a part.

    Raises:
        OSError: nothing was changed; the message names the file and the cause.
    """
    stage_file(path, content).commit()


def sweep_staged(path: Path) -> None:
    """Remove what writers of `path` left when they were killed. Call it where none is at work."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        temporary.unlink(missing_ok=True)


def sweep_folder(folder: Path) -> None:
    """Remove what killed writers of any file in this folder left. Call it where none is at work."""
    for temporary in folder.glob(".*.tmp"):
        temporary.unlink(missing_ok=True)


def stamp(path: Path | str) -> str:
    """Return size and time of modification, which change whenever the file is replaced."""
    status = os.stat(path)
    return f"{status.st_size}:{status.st_mtime_ns}"


def _unchanged(path: Path, error: OSError) -> OSError:
    return OSError(
        error.errno, f"cannot write {path}: {error.strerror}; what was there before is unchanged"
    )


def _flush_folder(folder: Path) -> None:
    """Make a renaming survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
