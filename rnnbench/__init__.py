"""rnnbench: compare recurrent ideas honestly."""

from rnnbench.moved import install as _find_old_names

__version__ = "0.1.0"

_find_old_names()
