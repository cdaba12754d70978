"""Notices which files Python opens for reading, by an audit hook. No torch here.

A hook cannot be taken away again, so one is installed at the first use and does next to nothing
outside of `watching`. What reads files without Python's help (pyarrow, polars, HDF5 and other
libraries in C) is not seen.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeGuard
from urllib.parse import unquote, urlsplit

import platformdirs

__all__ = ["OpenedFiles", "watching"]

CODE = (".py", ".pyc", ".pyi", ".pyd", ".so", ".dll", ".dylib", ".pth")
EVENTS = ("open", "sqlite3.connect", "os.rename", "subprocess.Popen", "os.system")
METADATA = (".dist-info", ".egg-info")
SYSTEM = (
    "/proc", "/sys", "/dev", "/etc", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib",
    "/lib64", "/usr/share/zoneinfo", "/usr/share/locale", "/usr/share/fonts", "/System", "/Library",
)  # fmt: skip


class OpenedFiles:
    """The files that were opened by one thread and those that it began: read, and written."""

    def __init__(self) -> None:
        here = threading.get_ident()
        self.strangers = {t.ident for t in threading.enumerate()} - {here}
        self.read: dict[str, None] = {}
        self.written: set[str] = set()

    def data(self) -> list[Path]:
        """Return the files that were read as data, each once.

        Left out are code, what installed packages and the system bring, caches of the user, and
        what was written here before it was read.
        """
        paths = (Path(os.path.realpath(name)) for name in self.read if name not in self.written)
        return [path for path in dict.fromkeys(paths) if path.is_file() and not _is_known(path)]

    def note(self, path: object, flags: object) -> None:
        """Take in an event of the audit hook."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return  # a descriptor of what is open already
        name = os.path.abspath(os.fsdecode(path))
        if isinstance(flags, int) and flags & (os.O_TRUNC | os.O_CREAT | os.O_WRONLY):
            if not flags & (os.O_TRUNC | os.O_EXCL) and os.path.exists(name):
                if flags & os.O_RDWR and os.path.getsize(name):  # an empty one is a lock
                    self.read.setdefault(name)
                return  # an existing file that is added to
            self.written.add(name)
        else:
            self.read.setdefault(name)

    def note_command(self, command: object, folder: object) -> None:
        """Take in the files that a command names which is started: `cat data.txt`."""
        if isinstance(command, (str, bytes, os.PathLike)):
            command = [command]
        if not isinstance(command, Iterable):
            return
        words = [os.fsdecode(w) for w in command if isinstance(w, (str, bytes, os.PathLike))]
        for word in words + [part for w in words for part in _split_words(w)]:
            name = os.path.join(os.fsdecode(folder), word) if _is_path(folder) else word
            if os.path.isfile(name) and not os.access(name, os.X_OK):
                self.note(name, os.O_RDONLY)

    def note_move(self, old: object, new: object) -> None:
        """Take in that a file has another name now."""
        known = isinstance(old, (str, os.PathLike)) and os.path.abspath(old) in self.written
        if known and isinstance(new, (str, os.PathLike)):
            self.written.add(os.path.abspath(new))


def _is_path(value: object) -> TypeGuard[str | bytes | os.PathLike[str]]:
    return isinstance(value, (str, bytes, os.PathLike))


def _split_words(command: str) -> list[str]:
    """Return the words of a shell's command; none where quotes are open."""
    try:
        return list(shlex.shlex(command, posix=True, punctuation_chars=True))
    except ValueError:
        return []


_watches: list[OpenedFiles] = []


@contextlib.contextmanager
def watching() -> Iterator[OpenedFiles]:
    """Note the files that this thread opens within it."""
    _install()
    watch = OpenedFiles()
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


@functools.cache
def _install() -> None:
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if not _watches or event not in EVENTS:
        return
    thread = threading.get_ident()
    for watch in _watches:
        if thread in watch.strangers:
            continue
        if event == "open":
            path, _, flags = arguments
            if not (isinstance(path, str) and path.endswith(CODE)):
                watch.note(path, flags)
        elif event == "subprocess.Popen":
            watch.note_command(arguments[1], arguments[2])
        elif event == "os.system":
            watch.note_command(arguments[0], None)
        elif event == "os.rename":
            watch.note_move(*arguments[:2])
        elif arguments[0] not in (":memory:", b":memory:", "", b""):
            watch.note(_database_path(arguments[0]), os.O_RDONLY)


def _database_path(name: object) -> object:
    """Return the path of a database that may be named by a URI: `file:data.db?mode=ro`."""
    text = os.fsdecode(name) if _is_path(name) else ""
    return unquote(urlsplit(text).path) if text.startswith("file:") else name


def _is_known(path: Path) -> bool:
    """Tell whether a file is no data of a user: code, a package's own, the system's, a cache."""
    if path.is_relative_to("/dev/shm"):  # a disk in memory, where data may lie
        return False
    if path.suffix in CODE or any(part.endswith(METADATA) for part in path.parts):
        return True
    return any(place in path.parents for place in _known_places())


def _known_places() -> list[Path]:
    """Return the folders of installed packages, of the system, and of the user's caches."""
    places = [*SYSTEM, *(sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib",
                                                         "platlib", "include"))]  # fmt: skip
    places += [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    places += [platformdirs.user_cache_dir(), platformdirs.user_config_dir()]
    own = (os.environ.get(name) for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"))
    places += [place for place in own if place]
    return [Path(os.path.realpath(p)) for p in places]
