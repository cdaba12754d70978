"""Taking what is wanted out of an archive, safely: zip (a wheel is one), tar, gz. No torch here.

Every member is looked at before the first is written, and only regular files are ever written,
by name, into the folder given.
"""

from __future__ import annotations

import contextlib
import fnmatch
import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from rnnbench.errors import DataError

__all__ = ["is_archive", "unpack"]

MAX_MEMBER_BYTES = 2**30
MAX_TOTAL_BYTES = 4 * 2**30
MAX_MEMBERS = 200_000
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_ZIP = (".zip", ".whl")
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError,
    NotImplementedError, RuntimeError,
)  # fmt: skip


class _Member(NamedTuple):
    name: str
    size: int
    kind: str  # "file", "folder" or "other"
    open: Callable[[], Any]  # a context that gives what reads its bytes


def is_archive(name: str) -> bool:
    """Tell whether a file of this name is unpacked."""
    return name.endswith((*_ZIP, *_TAR, ".gz"))


def unpack(archive: Path, wanted: Iterable[str], to: Path) -> None:
    """Take members out of an archive into the folder `to`.

    Args:
        archive: .zip, .whl, .tar (.gz, .bz2, .xz), .tgz; or the .gz of one file.
        wanted: paths of members, of folders, or patterns such as "a/*/b.json" where `*` stands
            for one level; of a .gz the one name that its content gets.
    Raises:
        DataError: not such an archive, a member that is unsafe (an absolute path, "..", a link,
            too large), or a wanted path that matches nothing. Nothing is written then.
    """
    try:
        with _open_archive(archive, list(wanted)) as listed:
            members = _check_members(archive, listed)
            chosen: dict[str, _Member] = {}
            for pattern in wanted:
                hits = {n: m for n, m in members.items() if _matches(n, pattern)}
                if not hits:
                    raise DataError(f"{archive.name} holds nothing at {pattern!r}")
                chosen |= hits
            for name, member in chosen.items():
                path = to / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target, 2**20)
    except DataError:
        raise
    except _BROKEN as e:
        raise DataError(f"{archive.name} is not a whole archive: {e}") from e


@contextlib.contextmanager
def _open_archive(archive: Path, wanted: list[str]) -> Iterator[Iterable[_Member]]:
    if archive.name.endswith(_ZIP):
        with zipfile.ZipFile(archive) as z:
            # zipfile stops at the size that was checked, and compares the CRC.
            yield (
                _Member(i.filename, i.file_size, _kind_of(i), partial(z.open, i))
                for i in z.infolist()
            )
    elif archive.name.endswith(_TAR):
        with tarfile.open(archive) as t:
            yield (
                _Member(
                    i.name,
                    i.size,
                    "folder" if i.isdir() else "file" if i.isreg() else "other",
                    partial(t.extractfile, i),
                )
                for i in t
            )
    elif archive.name.endswith(".gz"):
        if len(wanted) != 1:
            raise DataError(f"{archive.name} is one file; wanted are {', '.join(wanted)}")
        yield [_Member(wanted[0], 0, "file", lambda: _Bounded(gzip.GzipFile(archive), archive))]
    else:
        raise DataError(f"{archive.name} is no archive that rnnbench unpacks: {', '.join(_ZIP)}, "
                        f"{', '.join(_TAR)}, .gz")  # fmt: skip


class _Bounded:
    """A stream that does not say its size: read up to the limit, and not beyond."""

    def __init__(self, stream: gzip.GzipFile, archive: Path) -> None:
        self.stream, self.archive, self.seen = stream, archive, 0

    def read(self, size: int = -1) -> bytes:
        block = self.stream.read(size)
        self.seen += len(block)
        if self.seen > MAX_MEMBER_BYTES:
            raise DataError(f"{self.archive.name}: refused: it is too large")
        return block

    def __enter__(self) -> _Bounded:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def _kind_of(info: zipfile.ZipInfo) -> str:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "other"
    return "folder" if info.is_dir() else "file"


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.strip("/").split("/")
    return len(parts) >= len(wanted) and all(
        fnmatch.fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=False)
    )


def _check_members(archive: Path, listed: Iterable[_Member]) -> dict[str, _Member]:
    """Return the regular members of an archive by name, once every member has proved harmless."""
    members: dict[str, _Member] = {}
    total = 0
    for count, member in enumerate(listed, start=1):
        if count > MAX_MEMBERS:
            raise DataError(f"{archive} has more than {MAX_MEMBERS:,} members")
        path = PurePosixPath(member.name)
        total += member.size
        if (
            (not path.parts and member.kind != "folder")
            or path.is_absolute()
            or ".." in path.parts
            or {*"\\:"} & {*member.name}
        ):
            problem = "its path leaves the folder"
        elif member.kind == "other":
            problem = "it is not a regular file"
        elif member.name in members:
            problem = "its name appears twice"
        elif member.size > MAX_MEMBER_BYTES or total > MAX_TOTAL_BYTES:
            problem = "it is too large"
        else:
            if member.kind == "file":
                members[path.as_posix()] = member
            continue
        raise DataError(f"{archive}: refused the member {member.name!r}: {problem}")
    return members
