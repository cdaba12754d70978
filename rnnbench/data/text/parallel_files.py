"""A user's own pairs of texts: two aligned files, or two columns of one. No torch here."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from rnnbench.errors import DataError

__all__ = ["aligned_pairs", "column_pairs"]

_MEMORY_OF_A_BYTE = 20  # bytes that a byte of text takes while it is prepared, as measured


def aligned_pairs(source: Path, target: Path, encoding: str) -> list[tuple[str, str]]:
    """Pair line i of one file with line i of the other, without outer white space.

    Raises:
        DataError: a file has more lines than the other, or cannot be read.
    """
    _must_fit(source, target)
    x, y = list(_lines(source, encoding)), list(_lines(target, encoding))
    if len(x) != len(y):
        longer, shorter = (source, target) if len(x) > len(y) else (target, source)
        raise DataError(
            f"{source} has {len(x):,} lines and {target} has {len(y):,}: line "
            f"{min(len(x), len(y)) + 1:,} of {longer} has no counterpart in {shorter}"
        )
    return [(a.strip(), b.strip()) for a, b in zip(x, y, strict=True)]


def column_pairs(
    path: Path, columns: tuple[int, int], header: bool, encoding: str
) -> list[tuple[str, str]]:
    """Read two columns of a file whose columns are parted by tabs, without quoting.

    Columns are counted from 1.

    Raises:
        DataError: a line has another number of columns than the first, or the file cannot be read.
    """
    _must_fit(path)
    expected, pairs = 0, []
    for number, line in enumerate(_lines(path, encoding), start=1):
        fields = line.split("\t")
        if not expected:
            expected = len(fields)
            if expected < max(columns):
                raise DataError(
                    f"{path}, line 1: {expected} column{'s' * (expected > 1)} between tabs, and "
                    f"column {max(columns)} is asked for: {line[:60]!r}"
                )
        if len(fields) != expected:
            shown = "it is blank" if not line.strip() else repr(line[:60])
            raise DataError(
                f"{path}, line {number:,}: {len(fields)} columns between tabs, and line 1 has "
                f"{expected}: {shown}"
            )
        if number > 1 or not header:
            pairs.append((fields[columns[0] - 1].strip(), fields[columns[1] - 1].strip()))
    return pairs


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Yield the lines of a file, which may be gzipped; only a line feed ends a line."""
    # A mark of the byte order at the file's beginning is no text.
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as f:
            for number, raw in enumerate(f, start=1):
                text = raw.decode(codec if number == 1 else encoding)
                yield text.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as e:
        raise DataError(
            f"{path}, line {number:,}: byte {e.start + 1} ({e.object[e.start]:#04x}) is not "
            f"{encoding}: {e.reason}.\n  Set task.encoding, to latin-1 perhaps, or convert it."
        ) from e
    except LookupError as e:
        raise DataError(f"there is no encoding {encoding!r}; try utf-8 or latin-1") from e
    except (gzip.BadGzipFile, zlib.error, EOFError) as e:
        raise DataError(f"{path}, after line {number:,}: not a whole gzip file: {e}") from e


def _must_fit(*paths: Path) -> None:
    """Refuse what this machine's memory cannot hold, before it is read."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return  # a system that does not tell
    packed = (p.stat().st_size * (4 if p.suffix == ".gz" else 1) for p in paths)
    needed = _MEMORY_OF_A_BYTE * sum(packed)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise DataError(
            f"{' and '.join(map(str, paths))}: pairs are prepared in memory, about "
            f"{needed / 1e9:.1f} GB of it, and this machine has {there / 1e9:.1f} GB. Take a part "
            "of the text, such as its first lines."
        )
