"""Which numbers can seed a run: those that databases, NumPy and torch all hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnnbench.files.yaml_with_lines import WrittenInt

LARGEST_SEED = 2**63 - 1


def complaint(values: Sequence[Any]) -> str | None:
    """Return what is wrong with the seeds that were written, all of them named; None: nothing."""
    wrong = [text for value in values if (text := _wrong(value))]
    if not wrong:
        return None
    return f"a seed is a whole number from 0 to {LARGEST_SEED}, got {' and '.join(wrong)}"


def _wrong(value: Any) -> str | None:
    if isinstance(value, WrittenInt) and value.written.lstrip("-+").startswith("0"):
        return f"{value.written}, which is {int(value)} to some and octal to others: write {value}"
    if isinstance(value, int) and not isinstance(value, bool):
        return None if 0 <= value <= LARGEST_SEED else str(value)
    if isinstance(value, str):
        try:
            return f"{value} (write {int(value, 0)})"
        except ValueError:
            return repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else repr(value)
