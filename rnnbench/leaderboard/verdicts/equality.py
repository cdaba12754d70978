"""Says within what the rows of a board are equal: as asked for, as the task's metric says, or by
what metrics of its unit usually are reported to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rnnbench.errors import UserError

_NUMBER = re.compile(r"\d+\.?\d*(e-?\d+)?|\.\d+(e-?\d+)?", re.IGNORECASE)


class MarginError(UserError, ValueError):
    """A margin of equality that cannot be one, or not of these boards."""


@dataclass(frozen=True)
class EqualWithin:
    """A difference that makes none to anybody.

    Attributes:
        size: in the headline's unit, or a share of the better row's figure where `relative`.
        origin: who said so: the reader, the task's metric, or nobody ("unit": what is usual for
            figures of the unit).
    """

    size: float
    relative: bool = False
    origin: Literal["asked for", "task", "unit"] = "unit"

    def around(self, figure: float) -> float:
        """Return the margin in the headline's unit, beside a figure."""
        return self.size * abs(figure) if self.relative else self.size


UNITS = {
    "share": 0.005, "0-100": 0.5, "%": 0.5, "bits": 0.01, "bits/char": 0.01, "nats": 0.01,
    "r": 0.005, "rho": 0.005,
}  # fmt: skip
"""The margin of a metric that says none itself, by its unit: about the last digit that papers give.
"""

OTHERS = EqualWithin(0.02, relative=True)
"""The margin of metrics of all other units."""

SKILL = EqualWithin(0.01)
"""The margin of skill scores (`rnnbench.leaderboard.skill`), of which 1 is all there is to gain."""


def equal_within(
    headline: Mapping[str, Any], values: Iterable[float], asked: EqualWithin | None = None
) -> EqualWithin:
    """Return the margin of a board.

    Args:
        headline: name, unit and direction of its metric, and "margin" where the task has one.
        values: figures of its rows.
        asked: the reader's own, which counts before all.
    """
    if asked is not None:
        return asked
    if headline.get("margin") is not None:
        return EqualWithin(float(headline["margin"]), origin="task")
    unit = str(headline.get("unit", ""))
    if unit in UNITS:
        return EqualWithin(UNITS[unit])
    if not unit and headline.get("higher_is_better") and all(0 <= v <= 1 for v in values):
        return EqualWithin(UNITS["share"])  # a share that does not call itself one
    return OTHERS


def read_margin(text: str) -> EqualWithin:
    """Read "0.01" (in the metric's unit) or "2%" (of the better row's figure).

    Raises:
        MarginError: it is neither.
    """
    digits = text.strip().removesuffix("%").strip()
    if not _NUMBER.fullmatch(digits) or not math.isfinite(float(digits)):
        raise MarginError(
            f"--margin {text}: a number in the metric's unit, such as 0.01, or a share of the "
            "better row's figure, such as 2%; rows that differ by less are equal"
        )
    size, relative = float(digits), "%" in text
    if relative and size >= 100:
        raise MarginError(f"--margin {text}: every row would be equal; give less than 100%")
    return EqualWithin(size / 100 if relative else size, relative, "asked for")
