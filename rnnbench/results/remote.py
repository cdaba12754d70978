"""Keeps results at an address that fsspec knows (s3://, gs://, ...), and a working folder here.

What stands at the address is the truth. A run writes into the working folder, and each finished
file is sent from there; a machine that lacks it, or has an older one, fetches it first. What could
not be sent stays in the working folder, and the next command that opens the store sends it.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import secrets
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rnnbench.errors import UserError
from rnnbench.files.atomic import replace_file, stamp
from rnnbench.files.backoff import waits
from rnnbench.results.provenance import redact
from rnnbench.results.run_folder import (
    CHECKPOINTS,
    ERROR,
    EXAMPLES,
    ITEM_SCORES,
    LAST_CHECKPOINT,
    LOG,
    METRICS,
    PREVIOUS_CHECKPOINT,
    RECORD,
    WEIGHTS,
)

Result = TypeVar("Result")

SENT = ".sent.json"  # file of a run -> its stamp here and its stamp there, when they were the same
# What another machine needs to go on, in the order in which it is fetched.
RESUME = (METRICS, PREVIOUS_CHECKPOINT, LAST_CHECKPOINT)
# What a run leaves beside its record.
RESULTS = (WEIGHTS, EXAMPLES, ITEM_SCORES, METRICS, LOG, ERROR)
# Protocols whose put is all or nothing.
WHOLE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "memory")
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
WAITS = (0.5, 2.0)  # seconds before the second and the third try


class AddressError(UserError, ValueError):
    """An address of a kind that cannot be used here; the message says what to install or write."""


class RemoteError(OSError):
    """An address that cannot be read or written now; the message says which, and why."""


def is_address(root: Path | str) -> bool:
    """Tell whether results lie at an address, and not in a folder."""
    return isinstance(root, str) and "://" in root


class Remote:
    """The files of a store at an address.

    Attributes:
        folder: the working folder; RNNBENCH_SCRATCH says where such folders are.
        say: prints a line for the user.
        shown: the address without a login, for messages.

    Raises:
        AddressError: fsspec does not know such addresses, or lacks a package for them.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs
        from platformdirs import user_cache_dir

        self.say: Callable[[str], None] = partial(print, "rnnbench:", file=sys.stderr, flush=True)
        self._quiet_until = 0.0
        protocol = url.partition("://")[0].split("::")[0]
        self.shown = redact(url).rstrip("/")
        try:
            # Listings are asked for anew each time: other machines write there too.
            self._files, self._base = url_to_fs(url.rstrip("/"), use_listings_cache=False)
        except ImportError as error:
            extra = EXTRAS.get(protocol)
            what = f"rnnbench[{extra}]" if extra else str(error)
            raise AddressError(
                f"{self.shown}: the package for {protocol}:// addresses is missing\n"
                f"  Install it: pip install '{what}'"
            ) from error
        except ValueError as error:
            raise AddressError(
                f"{self.shown}: {error}\n  Use a folder, or an address such as s3://bucket/folder "
                "or gs://bucket/folder"
            ) from error
        self._whole = protocol in WHOLE
        scratch = os.environ.get("RNNBENCH_SCRATCH") or Path(user_cache_dir("rnnbench")) / "stores"
        name = urllib.parse.urlparse(self._base).path.rstrip("/").rpartition("/")[2] or "results"
        # The whole address may hold a login, so its hash names the folder.
        self.folder = Path(scratch) / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"

    # -------------------------------------------------------------------------------- sending

    def send(self, folder: Path, names: Iterable[str]) -> None:
        """Send files of a run which were written since they were last sent.

        Raises:
            RemoteError: after some tries; what was there before is as it was.
        """
        sent = _read_sent(folder)
        for name in names:
            path = folder / name
            if not path.is_file():
                continue
            here = stamp(path)
            if sent.get(name, [None])[0] != here:
                sent[name] = [here, self._upload(path, f"{folder.name}/{name}")]
                _write_sent(folder, sent)

    def send_checkpoint(self, folder: Path) -> None:
        """Send what another machine needs to go on; the checkpoint before stays as the previous.

        Raises:
            RemoteError
        """
        self.send(folder, [METRICS])
        last, previous = (self._path(f"{folder.name}/{name}") for name in CHECKPOINTS)

        def rotate() -> None:
            if self._files.exists(last):
                self._files.copy(last, previous)

        self._try(f"copy {folder.name}/{LAST_CHECKPOINT}", rotate)
        self.send(folder, [LAST_CHECKPOINT])
        sent = _read_sent(folder)
        path = folder / PREVIOUS_CHECKPOINT
        if path.is_file():  # it was sent when it was the last
            there = self._file_stamps(folder.name).get(PREVIOUS_CHECKPOINT, "")
            _write_sent(folder, {**sent, PREVIOUS_CHECKPOINT: [stamp(path), there]})

    def remove(self, folder: Path, names: Iterable[str]) -> None:
        """Remove files of a run at the address, not here.

        Raises:
            RemoteError
        """
        sent = _read_sent(folder)
        for name in names:
            path = self._path(f"{folder.name}/{name}")

            def drop(path: str = path) -> None:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(path)

            self._try(f"remove {folder.name}/{name}", drop)
            sent.pop(name, None)
        _write_sent(folder, sent)

    def _upload(self, path: Path, name: str) -> str:
        target = self._path(name)

        def put() -> str:
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            if self._whole:
                self._files.put_file(str(path), target)
            else:
                head, _, tail = target.rpartition("/")
                temporary = f"{head}/.{tail}.{secrets.token_hex(6)}.tmp"
                try:
                    self._files.put_file(str(path), temporary)
                    self._files.mv(temporary, target)
                except BaseException:
                    with contextlib.suppress(Exception):
                        self._files.rm_file(temporary)
                    raise
            return self._stamp_of(self._files.info(target))

        return self._try(f"write {name}", put)

    # ------------------------------------------------------------------------------- fetching

    def fetch(self, folder: Path, names: Iterable[str]) -> None:
        """Bring files of a run here as they are at the address, unless they are newer here.

        Raises:
            RemoteError
        """
        there, sent = self._file_stamps(folder.name), _read_sent(folder)
        for name in names:
            path, known = folder / name, sent.get(name)
            if name in there and (known is None or known[1] != there[name]):
                if self._download(path, f"{folder.name}/{name}", known):
                    sent[name] = [stamp(path), there[name]]
            elif name not in there and known is not None:
                path.unlink(missing_ok=True)  # removed there: the run has ended
                del sent[name]
        _write_sent(folder, sent)

    def refresh(self, runs: Path) -> None:
        """Fetch the records that are new there, send those that could not be sent before.

        Raises:
            RemoteError
        """
        there = self._record_stamps()
        for run_id, now in there.items():
            folder = runs / run_id
            sent = _read_sent(folder)
            if sent.get(RECORD, [None, None])[1] != now:
                folder.mkdir(parents=True, exist_ok=True)
                if self._download(folder / RECORD, f"{run_id}/{RECORD}", sent.get(RECORD)):
                    _write_sent(folder, {**sent, RECORD: [stamp(folder / RECORD), now]})
        for path in runs.glob(f"*/{RECORD}"):
            folder = path.parent
            known = _read_sent(folder).get(RECORD)
            if known is not None and known[0] == stamp(path) and folder.name in there:
                continue
            if known is not None and folder.name not in there:
                path.unlink()  # removed there by somebody
                _write_sent(folder, {})
            else:
                self.send(folder, [RECORD, *self._result_files(folder)])

    @staticmethod
    def _result_files(folder: Path) -> list[str]:
        return [name for name in RESULTS if (folder / name).is_file()]

    def send_results(self, folder: Path, patience: float = 0.0) -> None:
        """Send what a run leaves, its record last.

        Args:
            patience: seconds for which to try, beyond the few that every try has.

        Raises:
            RemoteError
        """
        names = [*self._result_files(folder), RECORD]
        pauses = waits(patience, first=5.0, most=60.0, key=folder.name)
        while True:
            try:
                return self.send(folder, names)
            except RemoteError as error:
                wait = next(pauses, None)
                if wait is None:
                    raise
                self.say(
                    f"{error}; the results are safe in {folder}, and are sent again in {wait:.0f} s"
                )
                time.sleep(wait)

    def _download(self, path: Path, name: str, known: list[str] | None) -> bool:
        """Fetch a file; False where it is a record and the one here, never sent, is better."""
        content = self._try(f"read {name}", lambda: self._files.cat_file(self._path(name)))
        unsent = path.is_file() and (known is None or known[0] != stamp(path))
        if path.name == RECORD and unsent and _rank(path.read_bytes()) > _rank(content):
            return False
        replace_file(path, content)
        return True

    def _record_stamps(self) -> dict[str, str]:
        """Return the stamp of each run's record, by run id."""
        runs = f"{self._base}/runs"

        def ask() -> dict[str, Any]:
            self._files.invalidate_cache()
            try:
                return self._files.find(runs, detail=True)
            except FileNotFoundError:
                return {}

        stamps = {}
        for path, info in self._try("list runs", ask).items():
            run_id, _, name = path[len(runs) :].strip("/").rpartition("/")
            if name == RECORD and "/" not in run_id:
                stamps[run_id] = self._stamp_of(info)
        return stamps

    def _file_stamps(self, run_id: str) -> dict[str, str]:
        """Return the stamp of each file of a run, by name."""

        def ask() -> list[dict[str, Any]]:
            self._files.invalidate_cache()
            try:
                return self._files.ls(self._path(run_id), detail=True)
            except FileNotFoundError:
                return []

        return {
            info["name"].rpartition("/")[2]: self._stamp_of(info)
            for info in self._try(f"list {run_id}", ask)
            if info["type"] == "file"
        }

    @staticmethod
    def _stamp_of(info: dict[str, Any]) -> str:
        """Return a text that changes whenever the file is replaced."""
        for name in ("ETag", "etag", "md5Hash", "content_md5"):
            if info.get(name):
                return f"{info['size']}:{info[name]}"
        first = next((info[n] for n in TIMES if info.get(n) is not None), "")
        changed = first.timestamp() if isinstance(first, datetime.datetime) else first
        return f"{info['size']}:{changed}"

    def _path(self, name: str) -> str:
        return f"{self._base}/runs/{name}"

    def _try(self, what: str, action: Callable[[], Result]) -> Result:
        """Do something at the address, with two more tries."""
        for wait in (*WAITS, None):
            try:
                return action()
            except Exception as error:
                said = redact(f"{type(error).__name__}: {error}")
                problem = f"cannot {what} at {self.shown}: {said}"
                if wait is None:
                    raise RemoteError(problem) from error
                if time.monotonic() >= self._quiet_until:  # once a minute
                    self._quiet_until = time.monotonic() + 60
                    self.say(f"{problem}; it is tried again")
                time.sleep(wait)
        raise AssertionError


def _rank(record: bytes) -> tuple[bool, int]:
    """Return a record's rank: of two, the higher one stays, as in `Store.write`."""
    try:
        fields = json.loads(record)
        return fields["status"] == "done", int(fields["attempt"])
    except (ValueError, KeyError, TypeError):
        return False, 0  # damaged


def _read_sent(folder: Path) -> dict[str, list[str]]:
    try:
        return json.loads((folder / SENT).read_text("utf-8"))
    except FileNotFoundError:
        return {}


def _write_sent(folder: Path, sent: dict[str, list[str]]) -> None:
    if folder.is_dir():
        replace_file(folder / SENT, json.dumps(sent))
