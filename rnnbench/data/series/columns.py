"""Columns of a table: which are times, series, values, and which an index that is none of these."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from rnnbench.data.series.number_cells import MISSING, NumberCells
from rnnbench.data.series.time_formats import TimeReader, read_iso
from rnnbench.errors import DataError

__all__ = [
    "Columns",
    "TableFormat",
    "choose_columns",
    "find_counters",
    "is_date",
    "is_unnamed",
    "refuse_without_header",
]

# As pandas calls a column that had no name, when it reads a CSV or writes Parquet.
_UNNAMED = re.compile(r"(Unnamed: \d+(\.\d+)*(_level_\d+)?|__index_level_\d+__)?")
# An index where they say the order of rows, else values; those of _NUMBERS only if by one.
_COUNTERS = ("index", "level_0", "rownames", "row.names", "row_names", "rowname", "row_nr", "...1")
_NUMBERS = ("X", "V1", "id", "ID", "Id", "#", "row")


@dataclass(frozen=True)
class TableFormat:
    """How a table is to be read.

    Attributes:
        time: the column of times; "" for the first that is no index.
        series: the column that says which series a row is of; "" where there is one series.
        values: the columns of numbers; () for all others that `besides` does not name.
        besides: further columns of numbers.
        kinds: columns of words that name a kind, such as "rain".
        labels: the kinds of each of these columns; None: those that are met.
        header: whether the first line names the columns; without, they are c1, c2 and so on.
        time_format: of `datetime.strptime`; "" for ISO 8601 or plain numbers.
        delimiter: between cells; "" for the one of , ; | and tab that the header has most of.
        decimal: the decimal separator.
        encoding: as Python names it; a byte order mark of UTF-8 is passed over.
        thousands: what stands between groups of digits, see `NumberCells`.
        zone: of the times, or of each series', see `read_zone`; "" for what their offsets say.
        aware: whether times must have an offset; None: the first says it.
        settled: the settings are those of a finished run, so that no other can be proposed.
    """

    time: str = ""
    series: str = ""
    values: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    time_format: str = ""
    delimiter: str = ""
    decimal: str = "."
    encoding: str = "utf-8"
    thousands: str = ""
    zone: str | Mapping[str, str] = field(default="")
    aware: bool | None = None
    kinds: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] | None = None
    header: bool = True
    settled: bool = False

    @property
    def numbers(self) -> NumberCells:
        return NumberCells(self.decimal, self.thousands, self.settled)


class Columns(NamedTuple):
    """The columns of a table: those that are read, and the others.

    Attributes:
        unread: neither values nor times, since they are an index or nobody named them.
    """

    time: str
    series: str
    values: tuple[str, ...]
    besides: tuple[str, ...]
    unread: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[str, ...]:
        return self.values + self.besides


def is_unnamed(column: str) -> bool:
    """Tell whether a column has no name, or one that stands for none."""
    return _UNNAMED.fullmatch(column) is not None


def choose_columns(
    name: str,
    header: Sequence[str],
    how: TableFormat,
    first: Sequence[Any],
    *,
    index: Collection[str] = (),
    delimiter: str = "",
) -> Columns:
    """Return which columns are read, and as what. An index is read only where it is named.

    Args:
        first: the cells of the first row.
        index: the columns that the file itself says are its index.
    Raises:
        DataError: columns that are named are not there, or nothing is left to be forecast.
    """
    twice = next((c for c in header if header.count(c) > 1 and c), None)
    if twice is not None:
        raise DataError(f"{name}, line 1: the column {twice!r} stands there twice")
    columns = list(dict.fromkeys(header))
    unnamed = [c for c in columns if is_unnamed(c) or c in index]
    named = (*((how.series,) if how.series else ()), *how.values, *how.besides, *how.kinds)
    for column in (*([how.time] if how.time else []), *named):
        if column not in columns:
            between = f" (between {delimiter!r})" if delimiter else ""
            raise DataError(
                f"{name} has no column {column!r}; it has {', '.join(map(repr, columns))}{between}"
            )
    dated = {c for c, cell in zip(header, first, strict=False) if is_date(cell, how.time_format)}
    cells = dict(zip(header, first, strict=False))
    worded = {
        c for c, x in cells.items() if isinstance(x, str) and c not in dated
        and (how.time_format or not how.numbers.reads(x))
    }  # fmt: skip
    time = how.time or _find_time(columns, unnamed, named, dated, worded, bool(how.values))
    if time == "" and header.count("") > 1:
        raise DataError(
            f"{name}, line 1: {header.count('')} columns have no name, so none can be told for "
            "times or series. Write names for them into the line"
        )
    named = (time, *named)
    for column in named:
        if named.count(column) > 1:
            raise DataError(f"the column {column!r} is named twice: give it one part to play")
    values = how.values or tuple(c for c in columns if c not in named and c not in unnamed)
    if not values:
        left = [c for c in unnamed if c not in named]
        index_too = (
            f"; {', '.join(map(repr, left))} is taken for an index: to read it, give it a name"
            if left else ""
        )  # fmt: skip
        raise DataError(
            f"{name} has no column of values besides {', '.join(map(repr, named))} "
            f"({time!r} is read as times){index_too}"
        )
    unread = tuple(c for c in columns if c not in named and c not in values)
    return Columns(time, how.series, values, how.besides, unread, how.kinds)


def _find_time(
    columns: Sequence[str], unnamed: Sequence[str], named: Sequence[str], dated: Collection[str],
    worded: Collection[str], values_are_named: bool,
) -> str:  # fmt: skip
    """Return the column of times: an index of dates, or the first column that is no index.

    One of dates comes before a first column of words, or one whose name is that of an index.
    """
    index = [c for c in unnamed if c not in named]
    for column in index:
        if column in dated:
            return column
    plain = [c for c in columns if c not in unnamed]
    free = [c for c in plain if c not in named]
    if free and (len(free) > 1 or values_are_named):
        first = free[0]
        if first != plain[0] or first in (*_COUNTERS, *_NUMBERS, *worded):
            other = index[0] if index and first != plain[0] else first
            return next((c for c in free if c in dated), other)
        return first
    return index[0] if index else columns[0]


def find_counters(
    columns: Columns, values_ND: np.ndarray, series: Sequence[str]
) -> tuple[str, ...]:
    """Return columns of values that do no more than number rows, as their names say too.

    They hold whole numbers that go up, or down, from row to row, in the whole table or in each
    series, or all numbers from 0 or 1 on in any order.
    """
    found: list[str] = []
    whose_N = np.unique(np.array(series), return_inverse=True)[1]
    order_N = np.argsort(whose_N, kind="stable")
    in_one_series = np.diff(whose_N[order_N]) == 0
    for d, column in enumerate(columns.values):
        value_N = values_ND[:, d]
        if column not in (*_COUNTERS, *_NUMBERS) or len(value_N) < 2:
            continue
        if not (np.isfinite(value_N).all() and (value_N == np.round(value_N)).all()):
            continue
        ways = [np.diff(value_N), np.diff(value_N[order_N])[in_one_series]]
        if column not in _NUMBERS:
            sorted_N = np.sort(value_N)
            ways = [*ways, *(-way for way in ways)]
            counts = any(len(way) and (way > 0).all() for way in ways) or (
                sorted_N[0] in (0, 1) and bool((np.diff(sorted_N) == 1).all())
            )
        else:
            counts = any(len(way) and (way == 1).all() for way in ways)
        if counts:
            found.append(column)
    return tuple(found) if len(found) < len(columns.values) else ()


def is_date(cell: Any, time_format: str) -> bool:
    """Tell whether a cell is a time, and not a plain number."""
    if not isinstance(cell, str):
        return isinstance(cell, date)
    cell = cell.strip()
    try:
        return bool(TimeReader(time_format)(cell) if time_format else read_iso(cell))
    except ValueError:
        return False


def refuse_without_header(name: str, header: Sequence[str], how: TableFormat) -> None:
    """Refuse a table whose first line is a row: its first cell is a date, or all are numbers.

    Raises:
        DataError: there are no names of columns.
    """
    for other in ";\t|":
        begin, found, _ = header[0].partition(other)
        if found and is_date(begin.strip(), how.time_format) and not begin.strip().isdigit():
            raise DataError(
                f"{name}, line 1: {header[0]!r} is no name of a column, so the table has no "
                f"header. Set task.header=false and task.delimiter={shlex.quote(other)}; the "
                "columns are c1, c2 and so on then"
            )
    cells = [cell for cell in header if cell.casefold() not in MISSING]
    dates = [is_date(cell, how.time_format) and not cell.isdigit() for cell in cells]
    numbers = [how.numbers.reads(cell) for cell in cells]
    if not header[0] and not any(dates):
        return  # numbers for names, behind an index, as pandas writes them
    wanted = {how.time, how.series, *how.values, *how.besides} - {""}
    if wanted & set(header) or not cells:
        return
    if (
        (dates[0] and header[0] == cells[0])
        or all(numbers)
        or (any(dates) and all(d or n for d, n in zip(dates, numbers, strict=True)))
    ):
        example = ",".join(["t", *(f"v{k}" for k in range(1, len(header)))][:4])
        raise DataError(
            f"{name}, line 1: {', '.join(map(repr, header[:4]))} are no names of columns, so the "
            f"table has no header. Set task.header=false, and the columns are c1, c2 and so on; "
            f"or write one above its rows, such as {example}"
        )
