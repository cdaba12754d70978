"""Asks, from a process that drives nothing, how far a sweep has come."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from rnnbench.results.database import open_database, reader
from rnnbench.results.store import folder_of
from rnnbench.sweep.ledger.ledger import ENDED
from rnnbench.sweep.ledger.requests import sweep_order
from rnnbench.sweep.ledger.tables import trial


class Standing(NamedTuple):
    """The standing of a sweep in its ledger.

    Attributes:
        ended: number of trials and final runs that have ended.
        stopping: whether `rnnbench sweep stop` has asked its driver to stop.
    """

    ended: int
    stopping: bool


def standing_of(sweep: str, root: Path | str, database: str | None) -> Standing | None:
    """Return the standing of a sweep; None where its ledger does not answer or is not there yet.

    Nothing is created.
    """
    url = database or os.environ.get("RNNBENCH_DATABASE")
    file = folder_of(root) / "results.db"
    if not url and not file.exists():
        return None
    with suppress(sa.exc.SQLAlchemyError, OSError):
        engine = open_database(url or file)
        try:
            with reader(engine).begin() as connection:
                of_sweep = (trial.c.sweep == sweep) & trial.c.state.in_(ENDED)
                ended = connection.execute(sa.select(sa.func.count()).where(of_sweep)).scalar()
                stops = sa.select(sweep_order.c.stopping).where(sweep_order.c.sweep == sweep)
                return Standing(ended or 0, bool(connection.execute(stops).scalar()))
        finally:
            engine.dispose()
    return None
