"""Lines of a text file, which gzip, bzip2 or xz may have packed."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rnnbench.errors import DataError

__all__ = ["decode", "is_packed", "plain_size"]

_OPEN: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_NOT_READ = {
    b"PK\x03\x04": "a zip archive or a workbook: unpack it, or save the sheet as a CSV",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it (unzstd), or pack it with gzip",
    b"\xd0\xcf\x11\xe0": "a workbook: save the sheet as a CSV",
    b"PAR1": "Parquet: call it .parquet",
}
_BROKEN = (EOFError, OSError, lzma.LZMAError, zlib.error)


def is_packed(path: Path) -> bool:
    """Tell whether a file is packed in a way that is read, by its first bytes."""
    return _open_as(path) is not open


def plain_size(path: Path) -> int:
    """Return the bytes of a packed file's content.

    Raises:
        DataError: it is damaged.
    """
    size = 0
    try:
        with _open_as(path)(path, "rb") as file:
            while chunk := file.read(2**20):
                size += len(chunk)
    except _BROKEN as e:
        raise _damaged(path, e) from e
    return size


def decode(path: Path, encoding: str) -> Iterator[str]:
    """Give the lines of a file.

    Raises:
        DataError: it is not of this encoding (with the line), or is no text.
    """
    opened, begin = _open_as(path), _first_bytes(path)
    for mark, what in _NOT_READ.items():
        if begin.startswith(mark):
            raise DataError(f"{path} is {what}")
    try:
        name = codecs.lookup(encoding).name
        name = "utf-8-sig" if name == "utf-8" else name
        file = opened(path, "rt", encoding=name, newline="")
    except LookupError:
        raise DataError(f"{path}: there is no encoding {encoding!r}") from None
    with file:
        number = 0
        try:
            for number, line in enumerate(file, 1):  # noqa: B007 (named by the error)
                yield line
        except UnicodeError as e:
            raise _not_in(path, encoding, number, e) from e
        except _BROKEN as e:
            raise _damaged(path, e) from e


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _open_as(path: Path) -> Callable[..., Any]:
    begin = _first_bytes(path)
    return next((opened for mark, opened in _OPEN.items() if begin.startswith(mark)), open)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is packed and damaged ({error}): pack it again")


def _not_in(path: Path, encoding: str, read: int, error: UnicodeError) -> DataError:
    """Find the line: a text file is decoded in blocks, so the error comes too early."""
    with _open_as(path)(path, "rb") as file:
        begin = file.read(2)
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as found:
                read, error = number, found
                break
    if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return DataError(f"{path} is not {encoding}: it begins as UTF-16 does; "
                         "set task.encoding=utf-16")  # fmt: skip
    what = str(error)
    if isinstance(error, UnicodeDecodeError):
        what = f"the byte 0x{error.object[error.start]:02x} is not {encoding} ({error.reason})"
    return DataError(
        f"{path}, line {read}: {what}. "
        "Give the encoding that the file has, such as task.encoding=latin-1, or mend the line."
    )
