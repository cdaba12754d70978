"""Keeps what Ray prints in this process out of the terminal: it goes to a log.

Ray passes on what its nodes have to say as lines that begin with "(raylet)" or "(pid=...)", logs
by Python's logging, and writes to the standard error from C++, which no Python stream sees.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import ray._private.worker as ray_worker

STDERR = 2


class RayOutput:
    """The log of Ray in this process, until `close` is called.

    Attributes:
        log: the file; it is appended to.
    """

    def __init__(self, log: Path) -> None:
        self.log = log.absolute()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.log.open("a", buffering=1, encoding="utf-8", errors="replace")
        worker: Any = ray_worker
        self._print = worker.print_to_stdstream
        worker.print_to_stdstream = self._take  # the only way in: `log_to_driver` leaves errors
        self._logger = logging.getLogger("ray")
        self._handlers = self._logger.handlers
        self._logger.handlers = [logging.StreamHandler(self._file)]
        self._stderr = sys.stderr
        self._terminal: int | None = None
        self._part_ways()

    def close(self) -> None:
        """Give Ray and this process their outputs back."""
        if self._file.closed:
            return
        worker: Any = ray_worker
        worker.print_to_stdstream = self._print
        self._logger.handlers = self._handlers
        if self._terminal is not None:
            sys.stderr.flush()
            os.dup2(self._terminal, STDERR)
            sys.stderr.close()
            sys.stderr = self._stderr
        self._file.close()

    def _take(self, data: dict[str, Any], ignore_prefix: bool) -> None:
        """Write lines that Ray passes on from a process somewhere."""
        for line in data["lines"]:
            self._file.write(f"({data.get('pid')}) {line}\n")

    def _part_ways(self) -> None:
        """Give the standard error of C++ to the log, and keep that of Python on the terminal."""
        try:
            if self._stderr.fileno() != STDERR:
                return  # it is taken elsewhere already
        except (OSError, ValueError, AttributeError):  # no file at all
            return
        self._stderr.flush()
        self._terminal = os.dup(STDERR)
        os.dup2(self._file.fileno(), STDERR)
        sys.stderr = os.fdopen(
            self._terminal, "w", buffering=1, encoding=self._stderr.encoding, errors="replace"
        )
