"""A user's table, CSV or Parquet: numbers, times and series' names out of some of its columns.

A CSV is read line by line, so the text is never in memory as a whole. What cannot be read is
refused with its line (of a Parquet file, its row) and the reason.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnbench.data.series.time_formats import TimeReader
from rnnbench.errors import DataError

__all__ = ["MISSING", "Columns", "Table", "TableFormat", "is_parquet", "read_table"]

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "?", "-"})
DELIMITERS = ",;\t|"
_IN_MEMORY = 8  # times its size on the disk, measured on a CSV of times and three numbers a row


@dataclass(frozen=True)
class TableFormat:
    """How a table is to be read.

    Attributes:
        time: the column of times; "" for the first column.
        series: the column that says which series a row is of; "" where there is one series.
        values: the columns of numbers; () for all others that `besides` does not name.
        besides: further columns of numbers.
        time_format: of `datetime.strptime`; "" for ISO 8601 or plain numbers.
        delimiter: between cells; "" for the one of , ; | and tab that the header has most of.
        decimal: the decimal separator.
        encoding: as Python names it; a byte order mark of UTF-8 is passed over.
    """

    time: str = ""
    series: str = ""
    values: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    time_format: str = ""
    delimiter: str = ""
    decimal: str = "."
    encoding: str = "utf-8"


class Columns(NamedTuple):
    """The columns of a table that are read."""

    time: str
    series: str
    values: tuple[str, ...]
    besides: tuple[str, ...]

    @property
    def numbers(self) -> tuple[str, ...]:
        return self.values + self.besides


class Table(NamedTuple):
    """N rows. `lines` says where each stands in its file."""

    columns: Columns
    values_ND: np.ndarray  # the columns `columns.numbers`, NaN where missing
    times: list[Any]  # datetimes, or plain numbers
    series: list[str]
    lines: list[int]


def read_table(source: Path | str, how: TableFormat) -> Table:
    """Read a file, or a text that is a CSV.

    Raises:
        DataError: it cannot be read; the message says which line and why.
    """
    if isinstance(source, str):
        return _from_csv("the input", iter(io.StringIO(source, newline="")), how)
    need, have = _IN_MEMORY * source.stat().st_size, memory_bytes()
    if need > have:
        raise DataError(
            f"{source} has {source.stat().st_size / 1e9:.2f} GB, of which a table in memory takes "
            f"about {need / 1e9:.2f} GB, and this machine has {have / 1e9:.2f} GB. Give a file "
            "with fewer columns or rows, such as one of coarser steps"
        )
    if is_parquet(source):
        return _from_parquet(source, how)
    return _from_csv(str(source), _decode(source, how.encoding), how)


def memory_bytes() -> int:
    """Return the memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet, by its name."""
    return path.suffix.lower() in (".parquet", ".pq")


def _decode(path: Path, encoding: str) -> Iterator[str]:
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise DataError(f"{path}: there is no encoding {encoding!r}") from None
    with path.open(encoding="utf-8-sig" if name == "utf-8" else name, newline="") as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):  # noqa: B007 (named by the error)
                yield line
        except UnicodeDecodeError as e:
            raise _not_in(path, encoding, number, e) from e


def _not_in(path: Path, encoding: str, read: int, e: UnicodeDecodeError) -> DataError:
    """Find the line: a text file is decoded in blocks, so the error comes too early."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as found:
                read, e = number, found
                break
    return DataError(
        f"{path}, line {read}: the byte 0x{e.object[e.start]:02x} is not {encoding} ({e.reason}). "
        "Give the encoding that the file has, such as task.encoding=latin-1, or mend the line."
    )


def _from_csv(name: str, lines: Iterator[str], how: TableFormat) -> Table:
    first = next(lines, "")
    if "\0" in first:
        raise DataError(f"{name}, line 1: holds a zero byte, so it is no CSV")
    delimiter = how.delimiter or max(DELIMITERS, key=first.count)
    if len(delimiter) != 1:
        raise DataError(f"delimiter is {delimiter!r}; it must be one character")

    def again() -> Iterator[str]:
        yield first
        yield from lines

    reader = csv.reader(again(), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not any(header):
            raise DataError(f"{name} is empty: a CSV begins with a line of column names")
        columns = _choose_columns(name, header, how, delimiter)

        def rows() -> Iterator[tuple[int, Sequence[str]]]:
            begin = reader.line_num + 1
            for row in reader:
                if row and len(row) != len(header):
                    raise DataError(
                        f"{name}, line {begin}: {len(row)} cells, and the header has "
                        f"{len(header)}; mend the line, or set task.delimiter"
                    )
                if row:
                    yield begin, row
                begin = reader.line_num + 1

        return _collect(name, "line", header, columns, rows(), how)
    except csv.Error as e:
        raise DataError(f"{name}, line {reader.line_num}: {e}") from e


def _choose_columns(name: str, header: list[str], how: TableFormat, delimiter: str = "") -> Columns:
    """Return which columns are read, and as what."""
    twice = next((c for c in header if header.count(c) > 1), None)
    if twice is not None:
        raise DataError(f"{name}, line 1: the column {twice!r} stands there twice")
    time = how.time or header[0]
    named = (time, *((how.series,) if how.series else ()), *how.values, *how.besides)
    for column in named:
        if column not in header:
            between = f" (between {delimiter!r})" if delimiter else ""
            raise DataError(
                f"{name} has no column {column!r}; it has {', '.join(map(repr, header))}{between}"
            )
        if named.count(column) > 1:
            raise DataError(f"the column {column!r} is named twice: give it one part to play")
    values = how.values or tuple(c for c in header if c not in named)
    if not values:
        raise DataError(f"{name} has no column of values besides {', '.join(map(repr, named))}")
    return Columns(time, how.series, values, how.besides)


def _collect(
    name: str, place: str, header: list[str], columns: Columns,
    rows: Iterable[tuple[int, Sequence[Any]]], how: TableFormat,
) -> Table:  # fmt: skip
    at = [header.index(c) for c in columns.numbers]
    time_at = header.index(columns.time)
    series_at = header.index(columns.series) if columns.series else None
    blocks: list[np.ndarray] = []
    block: list[list[float]] = []
    times: list[Any] = []
    series: list[str] = []
    lines: list[int] = []
    read_time = TimeReader(how.time_format)
    for line, row in rows:
        try:
            times.append(read_time(row[time_at]))
            block.append([_number(row[i], how.decimal) for i in at])
        except ValueError as e:
            column = columns.time
            if len(times) > len(lines):  # the time was read
                column = next(c for c, i in zip(columns.numbers, at, strict=True)
                              if not _is_number(row[i], how.decimal))  # fmt: skip
            raise DataError(f"{name}, {place} {line}, column {column!r}: {e}") from None
        series.append("" if series_at is None else str(row[series_at]).strip())
        if series_at is not None and not series[-1]:
            raise DataError(f"{name}, {place} {line}, column {columns.series!r}: no series named")
        lines.append(line)
        if len(block) == 2**14:
            blocks.append(np.array(block))
            block = []
    if not lines:
        raise DataError(f"{name} has a header and no rows")
    blocks.append(np.array(block).reshape(len(block), len(at)))
    return Table(columns, np.concatenate(blocks), times, series, lines)


def _number(cell: Any, decimal: str) -> float:
    if not isinstance(cell, str):  # of a Parquet file
        if cell is None:
            return math.nan
        if isinstance(cell, bool) or not isinstance(cell, (int, float)):
            raise ValueError(f"{cell!r} is no number")
        cell = repr(float(cell))
    try:
        value = float(cell if decimal == "." else cell.replace(decimal, "."))
    except ValueError:
        if cell.strip().casefold() in MISSING:
            return math.nan
        advice = "leave the column out (task.targets names those that are forecast)"
        if decimal == "." and _is_number(cell, ","):
            advice = "set task.decimal=, where a comma stands before the decimals"
        raise ValueError(f"{cell!r} is no number; {advice}") from None
    if math.isinf(value) or "_" in cell:
        raise ValueError(f"{cell!r} is no finite number")
    return value


def _is_number(cell: Any, decimal: str) -> bool:
    try:
        _number(cell, decimal)
    except ValueError:
        return False
    return True


def _from_parquet(path: Path, how: TableFormat) -> Table:
    try:
        import pyarrow.parquet as parquet
        from pyarrow import ArrowException
    except ImportError as e:
        raise DataError(
            f"{path}: Parquet is read with pyarrow, which is not installed: "
            "pip install 'rnnbench[parquet]', or give the table as a CSV"
        ) from e
    try:
        file = parquet.ParquetFile(path)
        header = list(file.schema_arrow.names)
        columns = _choose_columns(str(path), header, how)
        names = [columns.time, *([columns.series] if columns.series else []), *columns.numbers]

        def rows() -> Iterator[tuple[int, Sequence[Any]]]:
            row = 0
            for batch in file.iter_batches(2**14, columns=names):
                lists = [batch.column(c).to_pylist() for c in names]
                for cells in zip(*lists, strict=True):
                    row += 1
                    yield row, cells

        return _collect(str(path), "row", names, columns, rows(), how)
    except (ArrowException, OSError) as e:
        raise DataError(f"{path}: not a Parquet file that can be read ({e})") from e
