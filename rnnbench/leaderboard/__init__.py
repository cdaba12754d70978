"""Makes of records what may be said: rows, boards, comparisons, effects. Pure, no torch."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
