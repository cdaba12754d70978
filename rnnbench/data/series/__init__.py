"""Tables of numbers over time: reading, regular steps, splitting, windows."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
