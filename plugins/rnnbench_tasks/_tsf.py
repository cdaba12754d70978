"""The .tsf files of the Monash Time Series Forecasting Archive."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnbench.errors import DataError

__all__ = ["SEASON", "Tsf", "read_tsf"]

SEASON = {"hourly": 24, "daily": 7, "weekly": 52, "monthly": 12, "quarterly": 4, "yearly": 1}


class Tsf(NamedTuple):
    """A file's series, in its order.

    Attributes:
        frequency: such as "daily".
        horizon: steps that the file says to hold out; None where it does not say.
        names: of the series.
        series: their values, NaN where missing.
    """

    frequency: str
    horizon: int | None
    names: tuple[str, ...]
    series: tuple[np.ndarray, ...]


def read_tsf(path: Path) -> Tsf:
    """Read a file of series.

    A header of lines that begin with "@" stands before a line a series, `attribute:…:value,value,…`
    with "?" for what is missing.

    Raises:
        DataError: it is no such file; the message says which line and why.
    """
    header: dict[str, str] = {}
    attributes: list[str] = []
    names: list[str] = []
    series: list[np.ndarray] = []
    begun = False
    # Comments of some files are in an encoding of Windows; names and numbers are ASCII.
    with path.open(encoding="latin-1") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if not begun:
                key, _, value = line.partition(" ")
                if key == "@attribute":
                    attributes.append(value.split()[0] if value else "")
                elif key == "@data":
                    begun = True
                elif key.startswith("@"):
                    header[key] = value.strip()
                else:
                    raise DataError(f"{path}, line {number}: expected @data before the series")
                continue
            cells = line.split(":")
            if len(cells) != len(attributes) + 1:
                raise DataError(
                    f"{path}, line {number}: {len(cells) - 1} attributes, and {len(attributes)} "
                    "are declared"
                )
            try:
                values = [np.nan if v.strip() == "?" else float(v) for v in cells[-1].split(",")]
            except ValueError as e:
                raise DataError(f"{path}, line {number}: {e}") from None
            names.append(cells[attributes.index("series_name")] if "series_name" in attributes
                         else f"T{len(names) + 1}")  # fmt: skip
            series.append(np.array(values))
    if not series:
        raise DataError(f"{path} holds no series after @data")
    if "@frequency" not in header:
        raise DataError(f"{path} does not say its @frequency")
    horizon = int(header["@horizon"]) if "@horizon" in header else None
    return Tsf(header["@frequency"], horizon, tuple(names), tuple(series))
