"""Cells: one time step, gates, wrappers around a cell, stacks of layers."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
