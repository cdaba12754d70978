"""A user's table, CSV or Parquet: numbers, times and series' names out of some of its columns.

A CSV is read line by line, so the text is never in memory as a whole; one that gzip, bzip2 or xz
packed is unpacked as it is read. What cannot be read is refused with its line (of a Parquet file,
its row) and the reason.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnbench.data.series.columns import (
    Columns,
    TableFormat,
    choose_columns,
    find_counters,
    is_date,
    refuse_without_header,
)
from rnnbench.data.series.kinds import codes_of
from rnnbench.data.series.local_times import follow_clocks
from rnnbench.data.series.number_cells import MISSING, OneReading
from rnnbench.data.series.packed_text import decode, is_packed, plain_size
from rnnbench.data.series.time_formats import TimeReader, format_of_digits
from rnnbench.data.series.time_zones import Clock
from rnnbench.errors import DataError

__all__ = ["MISSING", "Columns", "Table", "TableFormat", "is_parquet", "read_table"]

DELIMITERS = ",;\t|"
_NAMED_DELIMITERS = {"\\t": "\t", "tab": "\t"}
_IN_MEMORY = 8  # times its size on the disk, measured on a CSV of times and three numbers a row


class Table(NamedTuple):
    """N rows.

    Attributes:
        values_ND: the columns `columns.numbers`, NaN where missing.
        times: as they are written: datetimes, with their offset where they have one, or numbers.
        lines: where each row stands in its file.
        instants, local: the times by UTC and by the clock of their series; as written where there
            is no clock.
        clocks: of each series.
        doubts: rows whose instant is not certain, and why.
        delimiter: of a CSV.
        time_like: a time as the text has it.
        kinds: the kinds of each column of them. Their codes stand behind the numbers, see `kinds`.
    """

    columns: Columns
    values_ND: np.ndarray
    times: list[Any]
    series: list[str]
    lines: list[int]
    instants: list[Any]
    local: list[Any]
    clocks: Mapping[str, Clock]
    doubts: Mapping[int, str]
    delimiter: str = ","
    time_like: str = ""
    kinds: Mapping[str, tuple[str, ...]] = {}

    @property
    def aware(self) -> bool:
        """Tell whether times have an offset."""
        return getattr(self.times[0], "tzinfo", None) is not None


def read_table(source: Path | str, how: TableFormat) -> Table:
    """Read a file, or a text that is a CSV.

    Raises:
        DataError: it cannot be read; the message says which line and why.
    """
    how = replace(how, delimiter=_NAMED_DELIMITERS.get(how.delimiter, how.delimiter))
    if isinstance(source, str):
        return _from_csv("the input", iter(io.StringIO(source, newline="")), how)
    size = plain_size(source) if is_packed(source) else source.stat().st_size
    need, have = _IN_MEMORY * size, memory_bytes()
    if need > have:
        raise DataError(
            f"{source} has {size / 1e9:.2f} GB, of which a table in memory takes "
            f"about {need / 1e9:.2f} GB, and this machine has {have / 1e9:.2f} GB. Give a file "
            "with fewer columns or rows, such as one of coarser steps"
        )
    if is_parquet(source):
        return _from_parquet(source, how)
    return _from_csv(str(source), decode(source, how.encoding), how, in_doubt=True)


def memory_bytes() -> int:
    """Return the memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet, by its name."""
    return path.suffix.lower() in (".parquet", ".pq")


def _from_csv(
    name: str, lines: Iterator[str], how: TableFormat, *, in_doubt: bool = False
) -> Table:
    first = next(lines, "")
    if "\0" in first:
        raise DataError(f"{name}, line 1: holds a zero byte, so it is no CSV")
    delimiter = how.delimiter or max(DELIMITERS, key=re.sub('"[^"]*"', "", first).count)
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
        before: list[tuple[int, Sequence[str]]] = []
        if how.header:
            refuse_without_header(name, header, how)
        else:
            before = [(1, header)]
            header = [f"c{k}" for k in range(1, len(header) + 1)]

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

        body: Iterator[tuple[int, Sequence[str]]] = itertools.chain(before, rows())
        if (row := next(body, None)) is None:
            raise DataError(f"{name} has a header and no rows")
        columns = choose_columns(name, header, how, row[1], delimiter=delimiter)
        body = itertools.chain([row], body)
        table = _collect(name, "line", header, columns, body, how, in_doubt=in_doubt)
        return table._replace(delimiter=delimiter)
    except csv.Error as e:
        raise DataError(f"{name}, line {reader.line_num}: {e}") from e


def _collect(
    name: str, place: str, header: list[str], columns: Columns,
    rows: Iterable[tuple[int, Sequence[Any]]], how: TableFormat, *, in_doubt: bool = True,
) -> Table:  # fmt: skip
    at = [header.index(c) for c in columns.numbers]
    kinds_at = [header.index(c) for c in columns.kinds]
    kind_cells: list[list[Any]] = []
    time_at = header.index(columns.time)
    series_at = header.index(columns.series) if columns.series else None
    blocks: list[np.ndarray] = []
    block: list[list[float]] = []
    times: list[Any] = []
    series: list[str] = []
    lines: list[int] = []
    read_number = how.numbers
    read_time = TimeReader(how.time_format, how.aware, read_number)
    one_reading = OneReading(read_number, len(at) if in_doubt else 0)
    for line, row in rows:
        try:
            times.append(read_time(row[time_at]))
            block.append([read_number(row[i]) for i in at])
        except ValueError as e:
            column, why = columns.time, str(e)
            if len(times) > len(lines):  # the time was read
                column, cell = next(
                    (c, row[i])
                    for c, i in zip(columns.numbers, at, strict=True)
                    if not read_number.reads(row[i])
                )
                if is_date(cell, how.time_format) and not how.settled:
                    why = f"{str(cell)!r} is a time; set task.time={shlex.quote(column)}"
                elif (
                    not (how.settled or how.series)
                    and isinstance(cell, str)
                    and cell.strip()[:1].isalpha()
                ):
                    why += (
                        ". If it tells series apart, set "
                        f"task.series_column={shlex.quote(column)}; "
                        f"if it names kinds, task.categories={shlex.quote(column)}"
                    )
            raise DataError(f"{name}, {place} {line}, column {column!r}: {why}") from None
        if one_reading.open:
            one_reading.see(line, [row[i] for i in at])
        series.append("" if series_at is None else str(row[series_at]).strip())
        if series_at is not None and not series[-1]:
            raise DataError(f"{name}, {place} {line}, column {columns.series!r}: no series named")
        lines.append(line)
        if kinds_at:
            kind_cells.append([row[i] for i in kinds_at])
        if len(block) == 2**14:
            blocks.append(np.array(block))
            block = []
    if not lines:
        raise DataError(f"{name} has a header and no rows")
    if digits := isinstance(times[0], float) and format_of_digits(times):
        raise DataError(
            f"{name}, {place} {lines[0]}, column {columns.time!r}: {times[0]:.0f} and all other "
            f"times are dates rather than plain numbers; set task.time_format={digits}"
        )
    if doubt := one_reading.doubt():
        k, line, why = doubt
        raise DataError(f"{name}, {place} {line}, column {columns.numbers[k]!r}: {why}")
    blocks.append(np.array(block).reshape(len(block), len(at)))
    values_ND = np.concatenate(blocks)
    if not how.values and (counters := find_counters(columns, values_ND, series)):
        at = [columns.values.index(c) for c in counters]
        values_ND = np.delete(values_ND, at, 1)
        values = tuple(c for c in columns.values if c not in counters)
        columns = columns._replace(values=values, unread=(*columns.unread, *counters))
    labels: Mapping[str, tuple[str, ...]] = {}
    if columns.kinds:
        code_NK, labels = codes_of(name, columns.kinds, kind_cells, how.labels)
        values_ND = np.concatenate([values_ND, code_NK], 1)
    followed = follow_clocks(f"{name}, {place}", times, series, lines, how.zone or read_time.zone)
    return Table(columns, values_ND, times, series, lines, *followed, time_like=read_time.like,
                 kinds=labels)  # fmt: skip


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
        periods = [f.name for f in file.schema_arrow if "period" in _extension_name(f)]
        index = _index_of_pandas(file.schema_arrow.pandas_metadata, header)
        header.sort(key=lambda c: c not in index)  # the index first, as pandas shows it
        some = next(file.iter_batches(1), None)
        if some is None or not some.num_rows:
            raise DataError(f"{path} has columns and no rows")
        first = some.to_pylist()[0]
        columns = choose_columns(str(path), header, how, [first[c] for c in header], index=index)
        if not how.header:
            raise DataError(f"{path}: Parquet always names its columns; leave task.header out")
        names = [columns.time, *([columns.series] if columns.series else []), *columns.numbers,
                 *columns.kinds]  # fmt: skip
        if columns.time in periods:
            raise DataError(
                f"{path}: the column {columns.time!r} has periods of pandas, which the file holds "
                "as plain numbers. Write times: to_timestamp() of pandas makes them of periods"
            )

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


def _extension_name(column: Any) -> str:
    """Return the name of a type that is no own one of Arrow's, such as periods of pandas."""
    name = (column.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    return name or str(getattr(column.type, "extension_name", ""))


def _index_of_pandas(metadata: Mapping[str, Any] | None, header: Sequence[str]) -> list[str]:
    """Return the columns that pandas wrote its index to; an index of mere counting has none."""
    written = (metadata or {}).get("index_columns", [])
    return [c for c in written if isinstance(c, str) and c in header]
