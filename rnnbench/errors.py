"""Errors that a user can mend, each told in words and without a traceback.

Whatever speaks to a user derives from `UserError`: the command line prints it and exits with its
`exit_code`. Any other exception is a fault of rnnbench or of a plugin, and keeps its traceback.
A `ValueError` of Python's own is such a fault: an argument that the code above should not have
passed. Only where a plugin checks its own settings (`__post_init__`) is it taken for the user's.

This module imports nothing of rnnbench, so that every room may use it.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = [
    "DataError",
    "EmptySplitError",
    "OutageError",
    "PluginError",
    "Refusal",
    "RunError",
    "SeriesError",
    "ShortTextError",
    "SpecError",
    "SplitRefusal",
    "SweepError",
    "UserError",
    "causes",
]  # fmt: skip


class UserError(Exception):
    """An error that the user can mend; the message says what to do about it.

    Attributes:
        exit_code: 2 where what was asked for is wrong; 1 where it cannot be had (data that are
            away, a lock that another process holds); 69 where something is away for a time, and
            the same command goes on when it is back.
        at_once: whether the process ends without Python's own clean-up, since a library would
            hang or crash in it.
        label: the word that stands before the message.
    """

    exit_code = 2
    at_once = False
    label = "error"


class Refusal(UserError, ValueError):
    """A combination that makes no sense; the message says what, why and what to do."""

    label = "refused"


class SplitRefusal(Refusal):
    """A task of whose data a split has nothing to train or to measure on: no architecture is to
    blame."""


class SpecError(UserError, ValueError):
    """A name, a field, a type or a value that cannot be; the message has the place."""


class PluginError(UserError, ValueError):
    """No such plugin, or one that cannot be used."""


class SweepError(UserError, ValueError):
    """A sweep file that cannot be; the message has file and line."""


class RunError(UserError, ValueError):
    """A run that is not there, is not finished, or cannot be read."""


class DataError(UserError, RuntimeError):
    """Data that are missing, damaged, or not what their source declares."""

    exit_code = 1


class OutageError(UserError, RuntimeError):
    """Something that the command needs is away: a database, a cluster's head, a disk.

    Nothing is wrong with what was asked for: the same command goes on once it is back, so what
    runs commands unattended may repeat it. Its exit code is `EX_UNAVAILABLE` of sysexits.h.
    """

    exit_code = 69


class SeriesError(UserError, ValueError):
    """A series that cannot be split, scaled or cut into windows as the settings ask."""


class ShortTextError(UserError, ValueError):
    """A text with too few tokens for what is to be done with it."""


class EmptySplitError(UserError, RuntimeError):
    """A split that has no target to measure: it is empty, or all its values are missing."""


def causes(error: BaseException, *, contexts: bool = False) -> Iterator[BaseException]:
    """Yield an error, then what it was raised from, the latest first.

    Args:
        contexts: follow errors that were being handled as well, where no cause was named.
    """
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (at.__context__ if contexts else None)
