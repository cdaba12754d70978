"""Copies studies to an Optuna storage that the user names, which may be away for a time.

Nothing depends on these copies: a sweep goes on without the storage, keeps what waits in memory,
and enters it when the storage answers again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.study import StudyDirection

from rnnbench.results.database import add_driver, redact
from rnnbench.sweep.search.optuna_export import (
    EVERY_SECONDS,
    CopiedStudy,
    StudyCopies,
    StudyStorageError,
    copy_of_trial,
)

ANSWER_SECONDS = 5
RETRY_SECONDS = 30.0  # after a storage did not answer


class NamedStorageCopies(StudyCopies):
    """Copies in the storage at a URL of Optuna's, or in `journal:FILE`.

    Others may write to its tables too, so trials are entered by Optuna's own way.

    Args:
        note: prints a line for the user.

    Raises:
        StudyStorageError: the address cannot be one of a storage.
    """

    def __init__(self, address: str, note: Callable[[str], None] = print) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._address, self._note = address, note
        self._shown = address if address.startswith("journal:") else redact(address)
        self._studies: dict[str, CopiedStudy] = {}
        self._directions: dict[str, Sequence[StudyDirection]] = {}
        self._storage: Any = None
        self._away = False
        self._next = 0.0  # when to write the next time
        self._try(self._connect)

    def open(self, name: str, directions: Sequence[StudyDirection]) -> None:
        self._directions[name] = directions
        self._studies.setdefault(name, CopiedStudy(0, 0))
        if not self._away:
            self._try(lambda: self._open(name))

    def flush(self) -> None:
        self._try(self._write)

    def close(self) -> None:
        self._try(self._write)
        waiting = sum(len(s.waiting) for s in self._studies.values())
        if waiting:
            self._note(
                f"{waiting} trials were not copied to the Optuna storage {self._shown}, which does "
                "not answer: the next start of the sweep copies them"
            )
        self._disconnect()

    def _is_due(self) -> bool:
        return time.monotonic() >= self._next

    def _try(self, act: Callable[[], None]) -> None:
        """Do something with the storage; where it does not answer, say so and come back later."""
        try:
            act()
        except (sa.exc.DBAPIError, StorageInternalError) as error:
            self._disconnect()
            self._next = time.monotonic() + RETRY_SECONDS
            if not self._away:
                cause = getattr(error.__cause__ or error, "orig", None) or error
                reason = str(cause).strip().splitlines()[0]
                self._note(
                    f"the Optuna storage {self._shown} does not answer ({reason}): the sweep goes "
                    "on, and copies its studies there when it is back"
                )
            self._away = True
            return
        self._next = time.monotonic() + EVERY_SECONDS
        if self._away:
            self._note(f"the Optuna storage {self._shown} answers again: studies are copied")
            self._away = False

    def _connect(self) -> None:
        if self._address.startswith("journal:"):
            from optuna.storages.journal import JournalFileBackend

            backend = JournalFileBackend(self._address.removeprefix("journal:"))
            self._storage = optuna.storages.JournalStorage(backend)
            return
        try:
            url = add_driver(self._address)
            # A host that is gone says nothing, and the sweep has other things to do.
            limits = {"connect_timeout": ANSWER_SECONDS} if url.host else {}
            self._storage = optuna.storages.RDBStorage(
                url.render_as_string(hide_password=False), {"connect_args": limits}
            )
        except (sa.exc.ArgumentError, ImportError) as error:
            cause = str(error.__cause__ or error).splitlines()[0]
            raise StudyStorageError(
                f"the Optuna storage {self._shown} cannot be opened: {cause}\n"
                "  Give an address such as --studies postgresql://host/name or --studies "
                "journal:studies.log"
            ) from error

    def _disconnect(self) -> None:
        if isinstance(self._storage, optuna.storages.RDBStorage):
            self._storage.remove_session()
            self._storage.engine.dispose()
        self._storage = None
        for copied in self._studies.values():
            copied.study = None

    def _open(self, name: str) -> None:
        """Open or create a study, and see how many of its trials are there."""
        study = optuna.create_study(
            storage=self._storage,
            study_name=name,
            directions=self._directions[name],
            load_if_exists=True,
        )
        copied = self._studies[name]
        copied.study, copied.count = study, len(study.get_trials(deepcopy=False))
        for number in [n for n in copied.waiting if n < copied.count]:
            del copied.waiting[number]  # it was entered, and the answer was lost

    def _write(self) -> None:
        """Enter the trials that wait, in order of number."""
        if self._storage is None:
            self._connect()
        for name, copied in self._studies.items():
            if copied.study is None:
                self._open(name)
            assert copied.study is not None
            while copied.count in copied.waiting:
                copied.study.add_trial(copy_of_trial(*copied.waiting[copied.count]))
                del copied.waiting[copied.count]
                copied.count += 1
