"""Keeps account of faults of the infrastructure: when a trial is tried again, and when none is.

A trial that met such a fault waits, each time twice as long. Where many trials meet the same one
in a row, the breaker opens: no new trial is placed but one now and then, to see whether it is over.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Any

from rnnbench.files.backoff import wait_before
from rnnbench.results.outages import Fault

FIRST_SECONDS, MOST_SECONDS = 5.0, 120.0  # a trial waits after its first fault, and at most
TRIES = 10  # of a trial by one driver; then it waits for the next start of the sweep
ALIKE = 5  # faults of one kind in a row, and no run ended between them: the breaker opens
PROBE_SECONDS, MOST_PROBE_SECONDS = 30.0, 300.0  # until one trial is tried while it is open
GIVE_UP_SECONDS = 3600.0  # open for so long, the driver ends


class Breaker:
    """The faults that the trials of this driver met.

    Args:
        resume: what to type to place trials again at once.
        say: prints lines for the user.
        clock: seconds, by a clock that is never set back.
        opened: told why, whenever it opens.
    """

    def __init__(
        self,
        resume: str,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        opened: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._resume, self._say, self._clock, self._opened_by = resume, say, clock, opened
        self._tries: Counter[str] = Counter()  # faults by key of the trial
        self._row: deque[tuple[str, str]] = deque(maxlen=1000)  # (kind, node), the last ones alike
        self._fault: Fault | None = None  # for which it is open
        self._opened = self._probe_at = 0.0
        self._probes = 0
        self._probing: str | None = None  # key of the trial that is tried while it is open

    # -------------------------------------------------------------------------- what happened

    def note_fault(
        self, key: str, fault: Fault, reason: str, node: str, nodes: Collection[str]
    ) -> float | None:
        """Note that a trial met a fault.

        Args:
            node: a name of where it ran.
            nodes: all nodes that have workers; where there are several, one alone opens nothing.

        Returns:
            The seconds until it is to be tried again; None: this driver tries it no more.
        """
        if self._row and self._row[-1][0] != fault.kind:
            self._row.clear()
        self._row.append((fault.kind, node))
        if self._probing == key:
            self._probing = None
            self._plan_probe()
        elif self._fault is None and self._is_row_long(nodes):
            self._open(fault, reason)
        self._tries[key] += 1
        number = self._tries[key]
        if number >= TRIES:
            return None
        return wait_before(number, first=FIRST_SECONDS, most=MOST_SECONDS, key=key)

    def note_end(self) -> bool:
        """Note that a run came to an end of its own; return whether that closes the breaker."""
        self._row.clear()
        if self._fault is None:
            return False
        self._say(f"trials are placed again: it is over that {self._fault.what}")
        self.close()
        return True

    def note_gone(self, key: str) -> None:
        """Note that a trial runs no more, and that nothing follows from how it ended."""
        if self._probing == key:
            self._probing = None
            self._plan_probe()

    def close(self) -> None:
        """Place trials again, and forget the faults so far."""
        self._fault, self._probing, self._probes = None, None, 0
        self._row.clear()
        self._tries.clear()

    # ------------------------------------------------------------------------ what to do now

    @property
    def is_open(self) -> bool:
        """Tell whether trials are not placed, but for one now and then."""
        return self._fault is not None

    def may_place(self) -> bool:
        """Tell whether a trial may be placed now."""
        if self._fault is None:
            return True
        return self._probing is None and self._clock() >= self._probe_at

    def note_placed(self, key: str) -> None:
        """Note that a trial was placed; while the breaker is open it is the one that tries."""
        if self._fault is not None:
            self._probing = key

    def tries_with(self, key: str) -> bool:
        """Tell whether this trial is the one that tries while the breaker is open."""
        return self._probing == key

    @property
    def given_up(self) -> bool:
        """Tell whether it has been open for so long that the driver is to end."""
        return self._fault is not None and self._clock() - self._opened > GIVE_UP_SECONDS

    def as_dict(self) -> dict[str, Any]:
        """Return what `rnnbench sweep status` shows: {} while trials are placed."""
        if self._fault is None:
            return {}
        return {
            "kind": self._fault.kind, "what": self._fault.what, "advice": self._fault.advice,
            "faults": len(self._row), "nodes": dict(Counter(node for _, node in self._row)),
        }  # fmt: skip

    def _is_row_long(self, nodes: Collection[str]) -> bool:
        places = {node for _, node in self._row}
        return len(self._row) >= ALIKE and (len(places) > 1 or len(nodes) < 2)

    def _open(self, fault: Fault, reason: str) -> None:
        self._fault, self._opened, self._probes = fault, self._clock(), 0
        self._plan_probe()
        counts = Counter(node for _, node in self._row)
        where = ", ".join(f"{node} ({count})" for node, count in counts.most_common(8))
        more = f" and {len(counts) - 8} more" if len(counts) > 8 else ""
        wait = self._probe_at - self._clock()
        text = (
            f"no new trials are placed: {len(self._row)} in a row failed alike, and not by their "
            f"own fault: {fault.what}\n"
            f"  the last one: {reason}\n"
            f"  on: {where}{more}\n"
            f"  What to do: {fault.advice}.\n"
            f"  One trial tries it again in {wait:.0f} s, and then ever less often; what runs goes "
            f"on. To place all at once: {self._resume}"
        )
        self._say(text)
        self._opened_by(text)

    def _plan_probe(self) -> None:
        self._probes += 1
        wait = wait_before(self._probes, first=PROBE_SECONDS, most=MOST_PROBE_SECONDS, key="probe")
        self._probe_at = self._clock() + wait
