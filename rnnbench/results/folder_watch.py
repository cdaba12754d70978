"""Notices that a folder of results was deleted, moved or replaced under a process that uses it.

A deleted file stays usable for whoever has it open: without a look at its name, a sweep would go on
in a database that nobody can read any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rnnbench.errors import UserError


class LostFolderError(UserError, RuntimeError):
    """A folder or file of results is not the one that was opened."""

    exit_code = 1


class FolderWatch:
    """Files and folders that must stay what they are now.

    Args:
        paths: those of them that exist now are watched.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        named = {path.absolute(): _identity(path) for path in paths}
        self._identities = {path: found for path, found in named.items() if found is not None}

    def raise_if_gone(self) -> None:
        """Raise LostFolderError where one was deleted, moved or replaced."""
        for path, before in self._identities.items():
            now = _identity(path)
            if now != before:
                what = "was deleted or moved" if now is None else "was replaced by another one"
                raise LostFolderError(
                    f"{path} {what} while it was in use; nothing that is written now could be "
                    "found again, so this process ends.\n"
                    "  If the folder was moved, move it back: the same command goes on. If it was "
                    "deleted, the same command starts anew."
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
