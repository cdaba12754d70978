"""Keeps what a sweep has taken, cell by cell, and may take, in the results database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from rnnbench.results.database import EXACT, LONG, create_tables, reader
from rnnbench.sweep.file.budget import Prices, SweepLimits

VERSION = 1
HOUR = 3600.0
WHOLE = ""  # in place of a study: the sweep itself

metadata = sa.MetaData()

sweep_spent = sa.Table(
    "sweep_spent",
    metadata,
    sa.Column("sweep", sa.String(64), primary_key=True),
    sa.Column("study", sa.String(160), primary_key=True),  # of a cell; WHOLE: of the sweep
    sa.Column("wall_seconds", sa.Double, nullable=False),  # in which a driver ran; of WHOLE alone
    sa.Column("cpu_seconds", sa.Double, nullable=False),  # for which trials held CPUs
    sa.Column("gpu_seconds", sa.Double, nullable=False),
    **EXACT,
)

sweep_limit = sa.Table(
    "sweep_limit",
    metadata,
    sa.Column("sweep", sa.String(64), primary_key=True),
    sa.Column("limits", LONG, nullable=False),  # JSON: beside the file's, `sweep.file.budget`
    **EXACT,
)


class Held(NamedTuple):
    """For how many seconds trials held a CPU, and a GPU."""

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def money(self, prices: Prices) -> float | None:
        """Return what this costs; None where there is no price."""
        if not prices.known:
            return None
        cpu, gpu = prices.cpu_hour or 0.0, prices.gpu_hour or 0.0
        return (self.cpu_seconds * cpu + self.gpu_seconds * gpu) / HOUR


@dataclass(frozen=True)
class Account:
    """The account of a sweep: hours and money taken, limits, prices.

    Attributes:
        wall_seconds: by the clock, in which a driver ran it.
        by_study: what the trials of each cell held, by study.
    """

    wall_seconds: float = 0.0
    by_study: Mapping[str, Held] = field(default_factory=dict)
    limits: SweepLimits = field(default_factory=SweepLimits)
    prices: Prices = field(default_factory=Prices)

    @property
    def whole(self) -> Held:
        """Return what all trials held."""
        held = self.by_study.values()
        return Held(sum(h.cpu_seconds for h in held), sum(h.gpu_seconds for h in held))

    def taken(self) -> dict[str, float | None]:
        """Return what was taken by the names of `SweepLimits`; money None without prices."""
        whole = self.whole
        return {
            "hours": self.wall_seconds / HOUR,
            "gpu_hours": whole.gpu_seconds / HOUR,
            "cpu_hours": whole.cpu_seconds / HOUR,
            "money": whole.money(self.prices),
        }

    def over(self) -> str:
        """Return which limit is reached, in words; "": none."""
        taken = self.taken()
        for name, limit in self.limits.given().items():
            if (taken[name] or 0.0) >= limit:
                return f"its budget of {self.amount(name, limit)} is spent"
        return ""

    def amount(self, name: str, value: float) -> str:
        """Return an amount in words, such as "1.5 GPU hours"."""
        if name == "money":
            return f"{value:.2f} {self.prices.currency}".strip()
        words = {"hours": "hour", "gpu_hours": "GPU hour", "cpu_hours": "CPU hour"}
        number = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        return f"{number} {words[name]}" + "s" * (number != "1")

    def line(self) -> str:
        """Return what was taken of what may be taken, in one line; "": nothing was."""
        limits, parts = self.limits.given(), []
        for name, value in self.taken().items():
            if value is None or (not value and name not in limits):
                continue
            of = f" of {self.amount(name, limits[name])}" if name in limits else ""
            parts.append(self.amount(name, value) + of)
        return f"taken: {', '.join(parts)}" if parts else ""

    def cells(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield each study with what its cell has taken, by the heading of a column."""
        prices, whole = self.prices, self.whole
        for study, held in self.by_study.items():
            amounts = {"CPU h": held.cpu_seconds / HOUR}
            if whole.gpu_seconds:
                amounts["GPU h"] = held.gpu_seconds / HOUR
            if (money := held.money(prices)) is not None:
                amounts[prices.currency or "money"] = money
            yield study, amounts

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for other programs."""
        return {
            **self.taken(),
            "prices": asdict(self.prices),
            "limits": self.limits.given(),
            "cells": {
                study: {
                    "cpu_hours": held.cpu_seconds / HOUR,
                    "gpu_hours": held.gpu_seconds / HOUR,
                    "money": held.money(self.prices),
                }
                for study, held in self.by_study.items()
            },
        }


class SpendingBook:
    """The account of one sweep in the database."""

    def __init__(self, engine: sa.Engine, sweep: str) -> None:
        self.engine, self.sweep = engine, sweep
        create_tables(engine, metadata, "spending", VERSION, {})

    def add(self, wall_seconds: float, held: Mapping[str, Held]) -> None:
        """Enter what was taken since the last time, by study."""
        entries = {study: (0.0, *amounts) for study, amounts in held.items()}
        entries[WHOLE] = (wall_seconds, 0.0, 0.0)
        c = sweep_spent.c
        with self.engine.begin() as connection:
            for study, (wall, cpu, gpu) in sorted(entries.items()):
                here = (c.sweep == self.sweep) & (c.study == study)
                change = sa.update(sweep_spent).where(here)
                raised = {
                    c.wall_seconds: c.wall_seconds + wall,
                    c.cpu_seconds: c.cpu_seconds + cpu,
                    c.gpu_seconds: c.gpu_seconds + gpu,
                }
                if not connection.execute(change.values(raised)).rowcount:
                    row = {"wall_seconds": wall, "cpu_seconds": cpu, "gpu_seconds": gpu}
                    new = sa.insert(sweep_spent).values(sweep=self.sweep, study=study, **row)
                    connection.execute(new)

    def read(self, limits: SweepLimits, prices: Prices) -> Account:
        """Return the account.

        Args:
            limits, prices: those of the sweep's file; a limit that was extended is the larger one.
        """
        query = sa.select(sweep_spent).where(sweep_spent.c.sweep == self.sweep)
        with reader(self.engine).begin() as connection:
            rows = {row["study"]: row for row in connection.execute(query).mappings()}
            extended = self._extended(connection)
        whole = rows.pop(WHOLE, None)
        held = {s: Held(row["cpu_seconds"], row["gpu_seconds"]) for s, row in rows.items()}
        in_force = {k: max(v, extended.get(k, 0.0)) for k, v in limits.given().items()}
        wall_seconds = 0.0 if whole is None else whole["wall_seconds"]
        return Account(wall_seconds, held, SweepLimits(**in_force), prices)

    def extend(self, limits: Mapping[str, float]) -> None:
        """Raise limits of the file to these."""
        here = sweep_limit.c.sweep == self.sweep
        with self.engine.begin() as connection:
            text = json.dumps({**self._extended(connection), **limits})
            connection.execute(sa.delete(sweep_limit).where(here))
            connection.execute(sa.insert(sweep_limit).values(sweep=self.sweep, limits=text))

    def _extended(self, connection: sa.Connection) -> dict[str, float]:
        query = sa.select(sweep_limit.c.limits).where(sweep_limit.c.sweep == self.sweep)
        return json.loads(connection.execute(query).scalar() or "{}")
