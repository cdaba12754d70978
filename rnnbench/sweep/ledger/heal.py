"""Plans trials again that an older version took for failed, although the fault was not theirs."""

from __future__ import annotations

import sqlalchemy as sa

from rnnbench.results.database import reader
from rnnbench.results.outages import fault_of_reason
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.tables import trial


def heal(ledger: Ledger) -> list[str]:
    """Plan again what crashed for a fault of the infrastructure; return the keys.

    This version interrupts such trials; earlier ones counted them against the architecture.
    """
    c = trial.c
    crashed = (c.sweep == ledger.sweep) & (c.state == "failed") & (c.status == "crashed")
    with reader(ledger.engine).begin() as connection:
        rows = connection.execute(sa.select(c.key, c.reason).where(crashed)).all()
    keys = [key for key, reason in rows if fault_of_reason(reason)]
    if not keys:
        return keys
    with ledger.engine.begin() as connection:
        for key in keys:
            statement = sa.update(trial).where(c.key == key, c.state == "failed")
            new = {"state": "planned", "status": "interrupted", "deaths": 0}
            connection.execute(statement.values(**new))
    return keys
