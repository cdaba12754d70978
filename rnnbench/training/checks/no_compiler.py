"""Keeps torch's compiler from being imported where shapes alone are asked for.

Much of what torch has in Python for the meta device is marked as not to be compiled, and a mark is
made by the compiler itself, at the first call: importing it takes a second or two.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch

NAME = "torch._dynamo"
MARK = "__dynamo_disable"  # where torch keeps a function with its mark


class _Absent(types.ModuleType):
    """Stands for the compiler until somebody asks it for more than a mark."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.marked: list[Any] = []

    def disable(self, function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """Return the function as it is: while the compiler is not there, nothing compiles it."""
        self.marked.append(function)
        return function

    def graph_break(self, *_: Any, **__: Any) -> None:
        """Do nothing, as the compiler does outside of what it compiles."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(NAME), name)

    def leave(self) -> None:
        """Leave no trace: from now on marks are made, and by the compiler."""
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
            del torch._dynamo
        while self.marked:
            self.marked.pop().__dict__.pop(MARK, None)


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Within it, marks that keep functions from being compiled do not import the compiler."""
    if NAME in sys.modules:
        yield
        return
    absent: Any = _Absent()
    sys.modules[NAME] = torch._dynamo = absent
    try:
        yield
    finally:
        absent.leave()
