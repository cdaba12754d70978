"""Rows of one time: refused, or made one row by a rule that the user chose."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rnnbench.data.series.tables import Table

__all__ = ["Repeats", "without_repeats"]

Repeats = Literal["error", "first", "mean"]


def without_repeats(table: Table, how: Repeats) -> tuple[Table, int]:
    """Return a table with one row a time and series, and how many rows went into others.

    "first" keeps the first of them in the order of the file, "mean" the mean of what is known in
    each column of numbers, and the first of its kinds. "error" changes nothing, and whoever counts
    steps then refuses. So do rows that only a clock that was set back has at one time.
    """
    if how == "error":
        return table, 0
    rows_by_time: dict[tuple[str, object, object], list[int]] = {}
    for i, key in enumerate(zip(table.series, table.instants, table.times, strict=True)):
        rows_by_time.setdefault(key, []).append(i)
    repeated = len(table.times) - len(rows_by_time)
    if not repeated:
        return table, 0
    kept = [rows[0] for rows in rows_by_time.values()]
    values_ND = table.values_ND[kept].copy()
    if how == "mean":
        numbers = len(table.columns.numbers)
        for at, rows in enumerate(rows_by_time.values()):
            if len(rows) > 1:
                values_ND[at, :numbers] = _mean_of_known(table.values_ND[rows, :numbers])
    place = {row: at for at, row in enumerate(kept)}
    merged = table._replace(
        values_ND=values_ND,
        times=[table.times[i] for i in kept],
        series=[table.series[i] for i in kept],
        lines=[table.lines[i] for i in kept],
        instants=[table.instants[i] for i in kept],
        local=[table.local[i] for i in kept],
        doubts={place[i]: why for i, why in table.doubts.items() if i in place},
    )
    return merged, repeated


def _mean_of_known(values_RD: np.ndarray) -> np.ndarray:
    """Return the mean of each column's known values; NaN where there is none."""
    count_D = np.isfinite(values_RD).sum(0)
    with np.errstate(invalid="ignore"):
        return np.where(count_D, np.nansum(values_RD, 0) / np.maximum(count_D, 1), np.nan)
