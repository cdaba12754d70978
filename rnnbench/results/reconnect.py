"""Waits for a results database that is away for a moment, such as a server that is restarted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from rnnbench.files.backoff import wait_before
from rnnbench.results.provenance import redact

Result = TypeVar("Result")

FIRST_SECONDS, MOST_SECONDS = 0.2, 2.0


class Patience:
    """Repeats what a database could not do, for so many seconds.

    Args:
        seconds: from the first failure on; then the error is raised, and nothing is waited for
            any more.
        say: prints a line for the user: once when the wait begins, and once when it is over.
    """

    def __init__(self, seconds: float, say: Callable[[str], None]) -> None:
        self._seconds, self._say = seconds, say
        self._given_up = False

    def run(self, action: Callable[[bool], Result]) -> Result:
        """Return what an action returns, repeating it while the database is away.

        Args:
            action: one whole transaction. It is told whether it is a repetition: then an earlier
                one may have been committed, although its answer was lost.

        Raises:
            OperationalError, InterfaceError: the database was away for too long.
        """
        began, number = 0.0, 0
        while True:
            try:
                result = action(number > 0)
            except (OperationalError, InterfaceError) as error:
                now = time.monotonic()
                if number == 0:
                    began = now
                left = began + self._seconds - now
                if self._given_up or left <= 0:
                    self._given_up = True
                    raise
                if number == 0:
                    said = redact(str(error.orig).strip().split("\n")[0])
                    self._say(
                        f"the results database does not answer ({said}): waiting for it, for "
                        f"{self._seconds:g} s at most; what runs goes on"
                    )
                number += 1
                wait = wait_before(number, first=FIRST_SECONDS, most=MOST_SECONDS)
                time.sleep(min(wait, left))
                continue
            if number:
                seconds = time.monotonic() - began
                self._say(f"the results database answers again, after {seconds:.1f} s")
            return result
