"""The keys `budget` and `prices` of a sweep file: how much the whole sweep may take, and cost.

    budget: {hours: 12, gpu_hours: 100, cpu_hours: 500, money: 250}   # any of them
    prices: {gpu_hour: 2.5, cpu_hour: 0.04, currency: EUR}

`hours` are those by the clock in which a driver runs the sweep, over all its starts. `gpu_hours`
and `cpu_hours` are those for which trials held GPUs and CPUs, attempts that were lost included.
What a run may take (steps, seconds) is a setting, such as budget.steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from rnnbench.files.yaml_with_lines import Place
from rnnbench.sweep.file.reader import Reader

OF_A_RUN = ("steps", "epochs", "tokens", "seconds", "validate_every", "patience", "parameters")


@dataclass(frozen=True)
class SweepLimits:
    """The most that a whole sweep may take; None: there is no limit."""

    hours: float | None = None
    gpu_hours: float | None = None
    cpu_hours: float | None = None
    money: float | None = None

    def given(self) -> dict[str, float]:
        """Return the limits that there are, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Prices:
    """The money that an hour of a GPU and of a CPU core costs; both None: nobody said."""

    gpu_hour: float | None = None
    cpu_hour: float | None = None
    currency: str = ""

    @property
    def known(self) -> bool:
        """Tell whether there is a price at all."""
        return self.gpu_hour is not None or self.cpu_hour is not None


def read_prices(reader: Reader, place: Place, value: Any) -> Prices:
    """Read the key `prices` of a sweep file.

    Raises:
        SweepError: it cannot be as it is; the message names file and line.
    """
    entries = reader.mapping(place, value, [f.name for f in fields(Prices)])
    currency = entries.get("currency", "")
    if not isinstance(currency, str):
        raise reader.error((*place, "currency"), f"currency is a word, got {currency!r}")
    amounts = {k: _amount(reader, (*place, k), v) for k, v in entries.items() if k != "currency"}
    return Prices(**amounts, currency=currency)


def read_limits(reader: Reader, place: Place, value: Any, prices: Prices) -> SweepLimits:
    """Read the key `budget` of a sweep file.

    Raises:
        SweepError: it cannot be as it is; the message names file and line.
    """
    if isinstance(value, dict):
        for name in value:
            if name in OF_A_RUN:
                raise reader.error(
                    (*place, name),
                    f"{name} is what one run may take: write it under settings, such as\n"
                    f"  settings: {{all: {{budget.{name}: ...}}}}",
                )
    entries = reader.mapping(place, value, [f.name for f in fields(SweepLimits)])
    limits = {k: _amount(reader, (*place, k), v, above_zero=True) for k, v in entries.items()}
    if "money" in limits and not prices.known:
        raise reader.error(
            (*place, "money"),
            "a budget of money needs prices; write beside it, such as\n"
            "  prices: {gpu_hour: 2.5, cpu_hour: 0.04, currency: EUR}",
        )
    return SweepLimits(**limits)


def _amount(reader: Reader, place: Place, value: Any, *, above_zero: bool = False) -> float:
    """Read a number from 0 on."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        kind = "above 0" if above_zero else "from 0 on"
        raise reader.error(place, f"{place[-1]} is a number {kind}, got {value!r}")
    return float(value)
