"""Tells of a sweep by a command or a webhook of the user's. A failure of these stops no sweep."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rnnbench.errors import OutageError, SweepError, UserError
from rnnbench.results.provenance import redact
from rnnbench.sweep.file.notify import EVENTS, Notify
from rnnbench.sweep.ledger.ledger import SweepBusyError
from rnnbench.sweep.operations.supervise import SUPERVISED

if TYPE_CHECKING:  # a supervisor stays small
    from rnnbench.sweep.progress import SweepOutcome

COMMAND_SECONDS = 30.0
WEBHOOK_SECONDS = 10.0


class Notifier:
    """Sends messages about one sweep, one after another, beside the work of its driver.

    Args:
        say: prints a line about a message that could not be sent.

    Raises:
        SweepError: there is no such command, or no such variable of the environment.
    """

    def __init__(self, sweep: str, notify: Notify, say: Callable[[str], None]) -> None:
        self._sweep, self._notify, self._say = sweep, notify, say
        self._webhook = _address_of(notify.webhook)
        if notify.command and shutil.which(notify.command[0]) is None:
            raise SweepError(
                f"notify.command: there is no program {notify.command[0]!r} on this machine"
            )
        self._pool = ThreadPoolExecutor(1, "notifications")

    def tell(self, event: str, message: str) -> None:
        """Send a message, unless nobody wants to hear of such an event.

        Args:
            event: one of `EVENTS`.
        """
        assert event in EVENTS
        if event in self._notify.on and (self._notify.command or self._webhook):
            self._pool.submit(self._send, event, redact(message))

    def tell_breaker(self, message: str) -> None:
        """Send why no more trials are started."""
        self.tell("breaker", f"sweep {self._sweep}: {message}")

    def tell_end(self, outcome: SweepOutcome) -> None:
        """Send how a start of the sweep ended, unless a supervisor starts it again."""
        if self._starts_again(outcome.exit_code):
            return
        if outcome.over and not outcome.complete:
            event = "budget"
        elif outcome.signal and not outcome.complete:
            event = "stop"
        else:
            event = "failure" if outcome.exit_code else "end"
        taken = outcome.last.account.line()
        self.tell(event, outcome.summary() + (f"\n{taken}" if taken else ""))

    def tell_error(self, error: BaseException) -> None:
        """Send that the driver ends with an error, unless it never began.

        A supervisor that will start the driver again tells of it when it gives up.
        """
        code = error.exit_code if isinstance(error, UserError) else 1
        if code == 2 or self._starts_again(code) or isinstance(error, SweepBusyError):
            return
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self.tell("failure", f"sweep {self._sweep} ended with an error: {text}")

    def _starts_again(self, code: int) -> bool:
        """Tell whether a supervisor starts the driver again after this exit code."""
        return code == OutageError.exit_code and os.environ.get(SUPERVISED) == "1"

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Tell of an error within `with`, and wait for all messages at its end."""
        try:
            yield
        except Exception as error:
            self.tell_error(error)
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Wait until all messages are sent, or could not be."""
        self._pool.shutdown(wait=True)

    # ------------------------------------------------------------------------------- the ways

    def _send(self, event: str, message: str) -> None:
        """Send a message in each way there is; say which of them failed."""
        for name, wanted, send in (
            ("command", self._notify.command, self._run),
            ("webhook", self._webhook, self._post),
        ):
            if wanted:
                try:
                    send(event, message)
                except (OSError, ValueError, subprocess.SubprocessError) as error:
                    self._say(
                        f"notify.{name} failed, and nobody was told of {event!r}: "
                        f"{_first_line(error)}"
                    )

    def _run(self, event: str, message: str) -> None:
        names = {"EVENT": event, "SWEEP": self._sweep, "MESSAGE": message}
        done = subprocess.run(
            self._notify.command, input=message + "\n", text=True, capture_output=True,
            timeout=COMMAND_SECONDS, check=False,
            env={**os.environ, **{f"RNNBENCH_{name}": value for name, value in names.items()}},
        )  # fmt: skip
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            last = f": {said[-1]}" if said else ""
            raise OSError(f"{self._notify.command[0]} ended with {done.returncode}{last}")

    def _post(self, event: str, message: str) -> None:
        content = {"text": message, "event": event, "sweep": self._sweep}
        request = urllib.request.Request(
            self._webhook, json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            raise OSError(f"{self._host()} answered {error.code} {error.reason}") from None
        except OSError as error:  # its text could hold the address, which may be a secret
            reason = getattr(error, "reason", error)
            raise OSError(f"{self._host()}: {reason}") from None

    def _host(self) -> str:
        return urllib.parse.urlsplit(self._webhook).hostname or "the webhook"


def _address_of(webhook: str) -> str:
    """Return the address itself where the file names a variable of the environment.

    Raises:
        SweepError: there is no such variable, or no address in it.
    """
    if not webhook.startswith("$"):
        return webhook
    address = os.environ.get(webhook[1:], "")
    if not address.startswith(("http://", "https://")):
        what = "holds no http address" if address else "is not set"
        raise SweepError(f"notify.webhook: the variable {webhook[1:]} of the environment {what}")
    return address


def _first_line(error: Exception) -> str:
    return redact((str(error) or type(error).__name__).splitlines()[0])
