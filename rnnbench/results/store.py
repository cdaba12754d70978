"""Keeps results: records on disk, which are the truth, and a database that indexes them.

    ROOT/runs/RUN_ID/record.json    written whole, see `rnnbench.files.atomic`
    ROOT/results.db                 SQLite, or any database that SQLAlchemy knows, by its URL

ROOT may be an address that fsspec knows: then a folder of this machine stands in for it, and
`rnnbench.results.remote` keeps the two alike.

The index is brought up to date before it is read: a run folder that was copied here, changed
or removed shows at once, and a process killed between the two writes loses nothing.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import DBAPIError

from rnnbench.files.atomic import stage_file, sweep_staged
from rnnbench.results.database import WAIT_SECONDS, create_tables, open_database, reader
from rnnbench.results.record import FINAL, Record, Status
from rnnbench.results.record_files import RecordFiles, check_name
from rnnbench.results.remote import RESUME, Remote, is_address
from rnnbench.results.run_folder import RECORD
from rnnbench.results.sharing.origin import stands_in
from rnnbench.results.sql_index import VERSION, index_rows, metadata, result, row_of

__all__ = ["Store", "check_name", "metadata", "open_database", "result"]

SEND_SECONDS = 600.0  # for which a run that has ended goes on sending its results
CHUNK = 500  # rows of a statement, below every database's limit on parameters
ORDER = ("task", "architecture", "tricks", "config_id", "seed", "run_id")


def whole(root: Path | str) -> str:
    """Return what another process opens the same store by: an address, or an absolute path."""
    return str(root) if is_address(root) else str(Path(root).absolute())


def folder_of(root: Path | str) -> Path:
    """Return the folder on this machine of the store at a path or an address."""
    return Remote(str(root)).folder if is_address(root) else Path(root)


class Store:
    """The results under a folder.

    Args:
        root: the folder, made where it is missing; or the address of one, such as
            s3://bucket/results.
        url: another database than ROOT/results.db, which several machines may share; rows of
            runs that this disk lacks are then left alone.
        index: False: records are written and read, and the database is left to another process.
        patience: seconds for which to go on sending results to an address that is away.

    Attributes:
        engine: the database, for tables of others (see `rnnbench.results.database.create_tables`).
        root: the folder on this machine, where the index and what runs write lie.
        problems: what could not be sent to the address, for records.
    """

    def __init__(
        self, root: Path | str, url: str | None = None, *, index: bool = True, patience: float = 0.0
    ) -> None:
        self.root_or_address = root  # what another process opens the same store by
        self.remote = Remote(str(root)) if is_address(root) else None
        self.root = Path(root) if self.remote is None else self.remote.folder
        self.problems: list[str] = []
        self._patience, self._unsent = patience, set[str]()
        self._indexes = index
        if index and url is None:
            url = os.environ.get("RNNBENCH_DATABASE") or None
        self.shared = url is not None
        self._files = RecordFiles(self.root / "runs")
        if not index:
            return
        self.engine: Engine = open_database(url or self.root / "results.db")
        self._database = f"the results database {self.engine.url.render_as_string()}"
        create_tables(self.engine, metadata, "results", VERSION)

    @property
    def damaged(self) -> dict[str, str]:
        """Run id -> what is wrong with its record.json, as last seen."""
        return self._files.damaged

    def close(self) -> None:
        """Let go of the database's files and connections."""
        if self._indexes:
            self.engine.dispose()

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a run, made where it is missing.

        Raises:
            RunError: the name is not allowed, or leads out of the store.
        """
        folder = self._files.path(run_id).parent
        folder.mkdir(exist_ok=True)
        return folder

    def place(self, run_id: str) -> str:
        """Return where a reader finds a run."""
        return str(self.run_dir(run_id)) if self.remote is None else (
            f"{self.remote.shown}/runs/{check_name(run_id, 'run id')}"
        )  # fmt: skip

    def begin(self, run_id: str) -> Path:
        """Return the folder of a run that is about to train, with what earlier attempts left
        anywhere.

        Raises:
            OSError: the address cannot be read, so an earlier attempt may be missed.
        """
        for earlier in sorted(self._unsent):
            self._send(self.run_dir(earlier))
        return self.fetch(run_id, (*RESUME, RECORD))

    def fetch(self, run_id: str, names: Iterable[str]) -> Path:
        """Return the folder of a run, with these of its files as they stand at the address.

        Raises:
            OSError: the address cannot be read.
        """
        folder = self.run_dir(run_id)
        if self.remote is not None:
            self.remote.fetch(folder, names)
        return folder

    def keep(self, run_id: str) -> None:
        """Send a checkpoint that stands in the folder; name the first failure in `problems`."""
        if self.remote is None:
            return
        try:
            self.remote.send_checkpoint(self.run_dir(run_id))
        except OSError as error:
            if not self.problems:
                self.problems.append(f"a checkpoint is on the disk of its machine only: {error}")

    def forget(self, run_id: str, names: Iterable[str]) -> None:
        """Remove files of a run from the address, once its record stands there."""
        if self.remote is not None:
            with contextlib.suppress(OSError):  # they are in nobody's way
                self.remote.remove(self.run_dir(run_id), names)

    def write(self, record: Record) -> bool:
        """Save a record on disk and in the index, unless a better one stands there.

        Returns:
            False where a record of a later attempt, or a done one while this is not done,
            stands there; nothing is changed then.
        A database that refuses is a RuntimeWarning: the record is on disk, and will be indexed.

        Raises:
            OSError: the disk refused; what was there is unchanged and readable.
            RunError: a name is not allowed, or the record that stands there cannot be read.
        """
        for name, what in ((record.sweep, "sweep name"), (record.study, "study name")):
            if name is not None:
                check_name(name, what)
        path = self.run_dir(record.run_id) / RECORD
        self._fetch(record.run_id)
        with FileLock(path.with_name(".record.lock"), timeout=WAIT_SECONDS):
            sweep_staged(path)
            old = self._files.read(record.run_id)
            if old is not None and not _may_replace(old, record):
                return False
            text = record.as_json()
            staged = stage_file(path, text)
            if not self._indexes:
                staged.commit()
                self._send(path.parent, final=record.status in FINAL)
                return True
            try:
                with self.engine.begin() as connection:
                    if not self.shared:  # the disk alone says what stands there
                        gone = result.c.run_id == record.run_id
                        connection.execute(delete(result).where(gone))
                    written = index_rows(connection, [row_of(record, text, staged.stamp)])
                    if written:
                        staged.commit()
            except DBAPIError as error:  # the index can wait, a result cannot
                if staged.temporary.exists():
                    staged.commit()
                written = 1
                _warn(
                    f"{self._database} refused {record.run_id} ({error.orig}); its record is safe "
                    "on disk, and the database catches up when it can be written again"
                )
            finally:
                staged.discard()
            if written:
                self._send(path.parent, final=record.status in FINAL)
        return bool(written)

    def _send(self, folder: Path, *, final: bool = False) -> None:
        """Send a finished run to the address; warn where that fails."""
        if self.remote is None:
            return
        try:
            self.remote.send_results(folder, self._patience if final else 0.0)
            self._unsent.discard(folder.name)
        except OSError as error:
            self._unsent.add(folder.name)
            _warn(
                f"{error}; the record is safe in {folder}, and the next command with the same "
                "--out on this machine sends it"
            )

    def _fetch(self, run_id: str) -> None:
        """Fetch the record that stands at the address, where it can be reached."""
        if self.remote is None:
            return
        folder = self._files.path(run_id).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.remote.fetch(folder, [RECORD])
        except OSError as error:
            self.remote.say(f"{error}; going by what this machine knows of {run_id}")

    def read(self, run_id: str) -> Record | None:
        """Return the record of a run, None where there is none.

        Raises:
            RunError: it is damaged or newer than this rnnbench; the message names the file.
        """
        self._fetch(run_id)
        return self._files.read(run_id)

    def finished(self, run_id: str) -> Record | None:
        """Return the record of a run that needs no repetition (`results.record.FINAL`), or None.

        What was imported stands in for a run only once it was verified.
        """
        record = self.read(run_id)
        if record is None or record.status not in FINAL or not stands_in(record):
            return None
        return record

    def records(
        self, task: str | None = None, sweep: str | None = None, status: Status | None = None
    ) -> Iterator[Record]:
        """Return the records, by task, architecture, tricks, configuration and seed.

        Records that cannot be read are named in a RuntimeWarning and in `damaged`.
        """
        wanted = {"task": task, "sweep": sweep, "status": status and Status(status).value}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        try:
            self._catch_up(task)
        except DBAPIError as error:
            _warn(f"{self._database} cannot be brought up to date ({error.orig}): reading the disk")
            rows, _ = self._scan({})
            rows = [r for r in rows if all(r[name] == value for name, value in wanted.items())]
            for row in sorted(rows, key=lambda r: [r[name] for name in ORDER]):
                yield Record.from_json(row["record"], row["run_id"])
            return
        query = select(*(result.c[name] for name in ORDER))
        query = query.where(*(result.c[name] == value for name, value in wanted.items()))
        with reader(self.engine).begin() as connection:
            # Sorted here, because each database has its own idea of the order of text.
            ids = [row[-1] for row in sorted(map(tuple, connection.execute(query)))]
        for some_ids in _in_chunks(ids):
            query = select(result.c.run_id, result.c.record).where(result.c.run_id.in_(some_ids))
            with reader(self.engine).begin() as connection:
                texts = {row.run_id: row.record for row in connection.execute(query)}
            for run_id in some_ids:
                if run_id in texts:  # else it was removed since
                    origin = f"the index of {run_id} (`rnnbench index` builds it anew)"
                    yield Record.from_json(texts[run_id], origin)

    def index(self, run_id: str) -> None:
        """Enter the record that another process wrote."""
        path = self._files.path(run_id)
        self._fetch(run_id)
        with FileLock(path.with_name(".record.lock"), timeout=WAIT_SECONDS):
            row = self._files.row(run_id)
        with self.engine.begin() as connection:
            index_rows(connection, [row])

    def reindex(self) -> int:
        """Build the index anew from the disk; return the number of records in it.

        Records that cannot be read are left out, and named in a RuntimeWarning and in `damaged`.
        """
        rows, _ = self._scan({})
        with self.engine.begin() as connection:
            connection.execute(delete(result))
            index_rows(connection, rows)
        return len(rows)

    def _catch_up(self, task: str | None = None) -> None:
        """Make the index say what the disk says, of one task or of all.

        A hundred thousand runs are a second of asking the disk, so only those of the task are
        looked at: a run's id begins with it.
        """
        query = select(result.c.run_id, result.c.stamp)
        if task is not None:
            query = query.where(result.c.task == task)
        with reader(self.engine).begin() as connection:
            known = {run_id: stamp for run_id, stamp in connection.execute(query)}
        rows, gone = self._scan(known, "" if task is None else f"{task}.")
        if self.shared:
            gone = []
        if rows or gone:
            with self.engine.begin() as connection:
                for some_ids in _in_chunks(gone):
                    connection.execute(delete(result).where(result.c.run_id.in_(some_ids)))
                index_rows(connection, rows)

    def _scan(
        self, known: dict[str, str], beginning: str = ""
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Return rows of the records that changed, and ids of `known` without a readable record.

        Args:
            beginning: of the ids of the runs that are looked at.
        """
        if self.remote is not None:
            try:
                self.remote.refresh(self._files.runs)
            except OSError as error:
                _warn(f"{error}; these are the results that this machine knows")
        rows, gone = self._files.changed_rows(known, beginning)
        if self.damaged:
            problems = "; ".join(self.damaged.values())
            _warn(f"records that cannot be read are left out ({len(self.damaged)}): {problems}")
        return rows, gone


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=5)


def _may_replace(old: Record, new: Record) -> bool:
    """Tell whether a new record may take the place of an old one."""
    done = Status.DONE
    return new.attempt >= old.attempt and (new.status is done or old.status is not done)


def _in_chunks(items: list[Any]) -> Iterable[list[Any]]:
    """Cut a list into parts of `CHUNK`."""
    return (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))
