"""Numbers as cells of a table hold them: with decimals, groups of three digits, or missing."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

__all__ = ["MISSING", "THOUSANDS", "NumberCells", "OneReading"]

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-"})
THOUSANDS = ("", "none", ".", ",", " ", "'")
_LEAVE_OUT = "leave the column out (task.targets names those that are forecast)"
_MEND = "write it as in the task's own file, or leave it empty where it is missing"
# Blanks that do not break, thin ones, and the apostrophe and minus of typesetters.
_SPELLINGS = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2212": "-"}
)
_BARE = re.compile(r"(?P<before>[^\d+-]*)(?P<number>[+-]?\d(?:.*\d)?)(?P<after>[^\d+-]*)")
_POINT_OR_GROUP = re.compile(r"\s*[+-]?[1-9]\d{0,2}\.\d{3}\s*")
_SHORT_WHOLE = re.compile(r"\s*[+-]?\d{1,3}\s*")


@dataclass(frozen=True)
class NumberCells:
    """How numbers are written.

    Attributes:
        decimal: "." or ",", before the decimals.
        thousands: between groups of three digits, one of THOUSANDS: "none" for no groups; "" for
            what cannot be anything else: blanks, apostrophes, points where a comma stands before
            the decimals, and commas where there are several of them or a point behind.
        settled: no other setting can be proposed.
    """

    decimal: str = "."
    thousands: str = ""
    settled: bool = False

    def __call__(self, cell: Any) -> float:
        """Return a cell's number, NaN where it is missing.

        Raises:
            ValueError: it is none; the message says what to set where that would help.
        """
        try:
            value = self._read(cell)
        except ValueError:
            advice = self._advise(cell) if isinstance(cell, str) else _LEAVE_OUT
            advice = _MEND if self.settled else advice
            raise ValueError(f"{cell!r} is no number; {advice}") from None
        if math.isinf(value) or (isinstance(cell, str) and "_" in cell):
            raise ValueError(f"{cell!r} is no finite number")
        return value

    def reads(self, cell: Any) -> bool:
        """Tell whether a cell holds a number, or is missing."""
        try:
            return not math.isinf(self._read(cell)) and "_" not in str(cell)
        except ValueError:
            return False

    def write(self, value: float) -> str:
        """Write a number with the decimal separator of the table."""
        return f"{value:g}".replace(".", self.decimal)

    def _read(self, cell: Any) -> float:
        if not isinstance(cell, str):
            return _of_parquet(cell)
        if not cell.isascii():
            cell = cell.translate(_SPELLINGS)
        # Python would take any point for one before decimals.
        if self.decimal == "." or ("." not in cell and "," not in cell):
            try:
                return float(cell)
            except ValueError:
                pass
        if cell.strip().casefold() in MISSING:
            return math.nan
        return self._read_grouped(cell)

    def _read_grouped(self, cell: str) -> float:
        text = cell.strip()
        if self.decimal == "," and "." not in text:
            try:
                return float(text.replace(",", "."))
            except ValueError:
                pass
        for mark, pattern in self._groups:
            if pattern.fullmatch(text):
                return float(text.replace(mark, "").replace(self.decimal, "."))
        raise ValueError

    @cached_property
    def _groups(self) -> list[tuple[str, re.Pattern[str]]]:
        """Return the marks that may part groups, with what such a number looks like."""
        end = rf"(?:{re.escape(self.decimal)}\d*)?(?:[eE][+-]?\d+)?"
        if self.thousands == "none":
            return []
        if self.thousands:
            mark = re.escape(self.thousands)  # groups of two below the last are India's
            first = r"[+-]?[1-9]\d{0,2}"
            pattern = re.compile(rf"{first}(?:{mark}\d\d\d?)*{mark}\d{{3}}{end}")
            return [(self.thousands, pattern)]
        found = [
            (mark, re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+{end}"))
            for mark in (" ", "'", *(["."] if self.decimal == "," else []))
        ]
        if self.decimal == ".":
            groups = r"[+-]?[1-9]\d{0,2}"
            found.append((",", re.compile(rf"{groups}(?:(?:,\d{{3}}){{2,}}{end}|,\d{{3}}\.\d*)")))
        return found

    def _advise(self, cell: str) -> str:
        """Return what to set so that a cell is read."""
        if self.thousands in ("", "none"):
            other = "," if self.decimal == "." else "."
            name = {",": "comma", ".": "point"}[other]
            groups = f"task.thousands={other} where a {name} stands between groups of three digits"
            before = {",": "task.decimal=, where a comma", ".": "task.decimal=. where a point"}
            decimals = f"{before[other]} stands before the decimals"
            as_groups = NumberCells(self.decimal, other).reads(cell)
            as_decimals = NumberCells(other, self.thousands).reads(cell)
            if as_groups or as_decimals:
                return "set " + ", or ".join([groups] * as_groups + [decimals] * as_decimals)
        for mark in THOUSANDS[2:]:
            if mark != self.decimal and NumberCells(self.decimal, mark).reads(cell):
                return f"set task.thousands={shlex.quote(mark)} for what stands between its groups"
        match = _BARE.fullmatch(cell.strip().translate(_SPELLINGS))
        if match and self.reads(match["number"]):
            beside = [part.strip() for part in (match["before"], match["after"]) if part.strip()]
            return f"write it without {' and '.join(map(repr, beside))}, or {_LEAVE_OUT}"
        return _LEAVE_OUT


def _of_parquet(cell: Any) -> float:
    if cell is None:
        return math.nan
    if isinstance(cell, bool) or not isinstance(cell, (int, float, Decimal)):
        raise ValueError(f"{cell!r} is no number")
    return float(cell)


class OneReading:
    """Finds columns whose points rather stand between groups of three digits.

    Such a column has cells like 1.004, where a group would stand, beside whole ones of at most
    three digits, and no others; and the least of the former, read as 1004, follows upon the
    largest of the latter, such as 987: less than tenfold.
    """

    def __init__(self, how: NumberCells, columns: int) -> None:
        in_doubt = how.decimal == "." and not how.thousands
        self.open = set(range(columns)) if in_doubt else set()
        self.least: dict[int, tuple[float, int, str]] = {}
        self.largest: dict[int, tuple[float, str]] = {}

    def see(self, line: int, cells: Sequence[Any]) -> None:
        """Take in the cells of a row."""
        for k in tuple(self.open):
            cell = cells[k]
            if isinstance(cell, str) and not cell.isascii():
                cell = cell.translate(_SPELLINGS)
            if isinstance(cell, str) and _POINT_OR_GROUP.fullmatch(cell):
                seen = (abs(float(cell.replace(".", ""))), line, cell.strip())
                self.least[k] = min(self.least.get(k, seen), seen)
            elif isinstance(cell, str) and _SHORT_WHOLE.fullmatch(cell):
                whole = (abs(float(cell)), cell.strip())
                self.largest[k] = max(self.largest.get(k, whole), whole)
            elif not isinstance(cell, str) or cell.strip().casefold() not in MISSING:
                self.open.discard(k)

    def doubt(self) -> tuple[int, int, str] | None:
        """Return a column, a line and what is in doubt there; None where nothing is."""
        for k in sorted(self.open & self.least.keys() & self.largest.keys()):
            (grouped, line, cell), (whole, other) = self.least[k], self.largest[k]
            if grouped < 10 * whole:
                return k, line, (
                    f"{cell!r} may be {cell.replace('.', '')} or {cell}, as all cells of the "
                    f"column are whole, such as {other!r}, or have three digits behind a point. "
                    "Set task.decimal=, where a point stands between groups of three digits, or "
                    "task.thousands=none where it stands before the decimals"
                )  # fmt: skip
        return None
