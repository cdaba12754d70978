"""The records on this machine's disk, which are the truth: RUNS/RUN_ID/record.json."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnbench.errors import RunError
from rnnbench.files.atomic import stamp
from rnnbench.results.record import Record
from rnnbench.results.run_folder import RECORD
from rnnbench.results.sql_index import row_of


def check_name(name: str, what: str) -> str:
    """Return the name, where it is safe as that of a file on every system.

    Raises:
        RunError: it holds something else than letters, digits and ._+-, or begins with a dot.
    """
    if not re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,127}", name, re.ASCII):
        raise RunError(
            f"{what} {name!r} is not allowed: use up to 128 of the letters a-z and A-Z, digits, "
            "and . _ + -, not beginning with a dot"
        )
    return name


class RecordFiles:
    """The record.json of each run below a folder.

    Args:
        runs: the folder, made where it is missing.

    Attributes:
        damaged: run id -> what is wrong with its record.json, as last seen.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.damaged: dict[str, str] = {}
        runs.mkdir(parents=True, exist_ok=True)

    def path(self, run_id: str) -> Path:
        """Return the place of a run's record.

        Raises:
            RunError: the name is not allowed, or leads out of the folder.
        """
        folder = self.runs / check_name(run_id, "run id")
        if folder.resolve().parent != self.runs.resolve():
            raise RunError(f"run id {run_id!r} leads out of {self.runs}: its folder is a link")
        return folder / RECORD

    def read(self, run_id: str) -> Record | None:
        """Return the record of a run, None where there is none.

        Raises:
            RunError: it cannot be read; the message names the file.
        """
        path = self.path(run_id)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        return _parse_record(run_id, path, text)

    def row(self, run_id: str) -> dict[str, Any]:
        """Return the row of the index that a record's file makes.

        Raises:
            RunError: it cannot be read; the message names the file.
            OSError: there is none.
        """
        path = self.path(run_id)
        # The stamp first: a file that is replaced in between is then looked at again.
        now, text = stamp(path), path.read_text("utf-8")
        return row_of(_parse_record(run_id, path, text), text, now)

    def changed_rows(
        self, known: Mapping[str, str], beginning: str = ""
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Return rows of the records that changed, and ids of `known` without a readable record.

        Args:
            known: run id -> the stamp that its record had; {} for the rows of all records.
            beginning: of the ids of the runs that are looked at.
        """
        self.damaged = {}
        with os.scandir(self.runs) as entries:
            run_ids = [e.name for e in entries if e.name.startswith(beginning)]
        unchanged, changed = set(), []
        for run_id in run_ids:
            try:
                if known.get(run_id) == stamp(f"{self.runs}/{run_id}/{RECORD}"):
                    unchanged.add(run_id)
                else:
                    changed.append(run_id)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a run that has not ended yet
            except OSError as error:
                self.damaged[run_id] = str(error)
        rows = []
        for run_id in sorted(changed):
            try:
                rows.append(self.row(run_id))
            except (FileNotFoundError, NotADirectoryError):
                continue  # it was removed meanwhile
            except (ValueError, OSError) as error:  # a RunError, or bytes that are no text
                self.damaged[run_id] = str(error)
        return rows, sorted(set(known) - unchanged - {row["run_id"] for row in rows})


def _parse_record(run_id: str, path: Path, text: str | bytes) -> Record:
    record = Record.from_json(text, str(path))
    if record.run_id != run_id:
        raise RunError(
            f"{path} describes another run, {record.run_id}; move it to a folder of that name"
        )
    return record
