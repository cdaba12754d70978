"""rnnbench: compare recurrent ideas honestly.

In Python: `import rnnbench as rb`, then `rb.run`, `rb.load`, `rb.runs`, `rb.leaderboard`,
`rb.sweep`, `rb.check`, `rb.describe` and `rb.list`. They are imported when they are first used,
since most of what stands behind them takes seconds; `__init__.pyi` has their types.
"""

import sys
from types import ModuleType
from typing import Any

from rnnbench.moved import install as _find_old_names

__version__ = "0.1.0"

_find_old_names()

# Name -> where the function is.
_FUNCTIONS = {
    "check": "rnnbench.session.run:check",
    "describe": "rnnbench.session.plugins:describe",
    "leaderboard": "rnnbench.session.boards:leaderboard",
    "list": "rnnbench.session.plugins:list_plugins",
    "load": "rnnbench.session.run:load",
    "run": "rnnbench.session.run:run",
    "runs": "rnnbench.session.boards:runs",
    "sweep": "rnnbench.session.sweeps:sweep",
}


def _function(name: str) -> Any:
    from importlib import import_module

    module, _, function = _FUNCTIONS[name].partition(":")
    return getattr(import_module(module), function)


class _CallableRoom(ModuleType):
    """A package that can be called by its name too: `rb.sweep(file)` beside `rnnbench.sweep`."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.__wrapped__(*args, **options)

    @property
    def __wrapped__(self) -> Any:
        """Return the function, whose signature and help tools show."""
        return _function(self.__name__.rpartition(".")[2])


class _Package(ModuleType):
    """Lets packages that have the name of a function be called."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FUNCTIONS and type(value) is ModuleType:
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)

    def __dir__(self) -> Any:
        return sorted({*super().__dir__(), *_FUNCTIONS})


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return _function(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
