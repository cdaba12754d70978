"""Tells a plugin that a model is built for a dry run, and is thrown away after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IN_DRY_RUN: ContextVar[bool] = ContextVar("in_dry_run", default=False)


@contextmanager
def as_dry_run() -> Iterator[None]:
    """Build models within `with` for a dry run only."""
    token = _IN_DRY_RUN.set(True)
    try:
        yield
    finally:
        _IN_DRY_RUN.reset(token)


def in_dry_run() -> bool:
    """Tell whether a model is built for a dry run only.

    A trick that learns or reads much to build its part of a model may then put something of the
    same shape there: the dry run sees whether the parts fit and what they let a model see.
    """
    return _IN_DRY_RUN.get()
