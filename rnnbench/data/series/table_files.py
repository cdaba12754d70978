"""A table in several files: parts of one, or a series in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rnnbench.data.series.columns import TableFormat
from rnnbench.data.series.tables import Table, read_table
from rnnbench.errors import DataError

__all__ = ["read_tables"]


def read_tables(folder: Path, names: Sequence[str], how: TableFormat) -> Table:
    """Read one or several files of the same columns as one table.

    Where no column tells series apart, and there are several files, each is a series of its own,
    which is called by the file's name without its ending.

    Raises:
        DataError: a file cannot be read, or its columns or its times are not those of the first.
    """
    if len(names) == 1:
        return read_table(folder / names[0], how)
    first: Table | None = None
    parts: list[Table] = []
    for name in names:
        wanted = how
        if first is not None:  # what the first file was read as, all others are
            wanted = replace(how, time=first.columns.time, values=first.columns.values,
                             aware=first.aware, delimiter=how.delimiter)  # fmt: skip
        try:
            table = read_table(folder / name, wanted)
        except DataError as error:
            if first is None:
                raise
            raise DataError(f"{error}\n  It is read as the first file was, {names[0]}") from error
        if not how.series:
            called = _series_of(name, names)
            table = table._replace(
                series=[called] * len(table.times),
                clocks={called: next(iter(table.clocks.values()))},
            )
        first = first or table
        parts.append(table)
    return _joined(parts)


def _series_of(name: str, names: Sequence[str]) -> str:
    """Return what the series of a file is called: its name without its ending, or its path."""
    stem = Path(name).name.split(".")[0]
    same = [n for n in names if Path(n).name.split(".")[0] == stem]
    return stem if len(same) == 1 and stem else name


def _joined(parts: Sequence[Table]) -> Table:
    """Return tables one below the other, with one numbering of their kinds."""
    first = parts[0]
    labels = {
        column: tuple(sorted({kind for part in parts for kind in part.kinds[column]}))
        for column in first.kinds
    }
    doubts: dict[int, str] = {}
    at = 0
    for part in parts:
        doubts |= {at + i: why for i, why in part.doubts.items()}
        at += len(part.times)
    return first._replace(
        values_ND=np.concatenate([_renumbered(part, labels) for part in parts]),
        times=[time for part in parts for time in part.times],
        series=[series for part in parts for series in part.series],
        lines=[line for part in parts for line in part.lines],
        instants=[instant for part in parts for instant in part.instants],
        local=[local for part in parts for local in part.local],
        clocks={series: clock for part in parts for series, clock in part.clocks.items()},
        doubts=doubts,
        kinds=labels,
    )


def _renumbered(part: Table, labels: dict[str, tuple[str, ...]]) -> np.ndarray:
    """Return the values of a table with its kinds numbered as these labels are."""
    values_ND = part.values_ND.copy()
    begin = len(part.columns.numbers)
    for k, (column, own) in enumerate(part.kinds.items()):
        code = np.array([0, *(labels[column].index(kind) + 1 for kind in own)], float)
        known = np.isfinite(values_ND[:, begin + k])
        values_ND[known, begin + k] = code[values_ND[known, begin + k].astype(int)]
    return values_ND
