"""Tables from Python: a DataFrame of pandas or polars as a file that a task reads."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rnnbench.data.fetching.cached_folders import writable
from rnnbench.errors import DataError
from rnnbench.files.atomic import replace_file

__all__ = ["frame_file"]

FRAMES = "frames"  # the folder of data, below which they are kept


def frame_file(frame: Any, name: str = "frame", folder: Path | None = None) -> Path:
    """Write a DataFrame of pandas or polars as a CSV, and return its path.

    A run on it is known by the content, as one on any file is. The same content has the same path,
    so that it is written once. An index of pandas that does more than count becomes the first
    column; times keep their offset.

    Args:
        name: how the file's name begins, which is what boards call the data.
        folder: where it is kept; None: with other data.
    Raises:
        DataError: it is no DataFrame, has no rows, or has columns of several levels.
    """
    if hasattr(frame, "write_csv"):  # polars
        text = frame.write_csv() if frame.height else ""
    elif hasattr(frame, "to_csv") and hasattr(frame, "columns"):
        text = _from_pandas(frame) if len(frame) else ""
    else:
        raise DataError(
            f"a table is a DataFrame of pandas or polars, got {type(frame).__name__}. Of a Series "
            "of pandas to_frame() makes one"
        )
    if not text:
        raise DataError("the DataFrame has no rows: there is nothing to read")
    content = text.encode()
    folder = folder or next(iter(writable())) / FRAMES
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}.csv"
    if not path.is_file():
        replace_file(path, content)
    return path


def _from_pandas(frame: Any) -> str:
    """Return the CSV of a frame of pandas."""
    if frame.columns.nlevels > 1:
        raise DataError(
            "the columns of the DataFrame have several levels: give them one, such as "
            "frame.columns = ['_'.join(c) for c in frame.columns]"
        )
    index = frame.index
    counts = type(index).__name__ == "RangeIndex" and index.name is None
    if counts:
        return str(frame.to_csv(index=False))
    label = "time" if index.nlevels == 1 and index.name is None else None
    return str(frame.to_csv(index=True, index_label=label))
