"""Data for task authors: sources, text, windows, batches.

Names are imported at first use, so that looking after sources needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.data.batches import Generated, Items, Pairs, Stream
    from rnnbench.data.calendar import calendar_features, time_of_year
    from rnnbench.data.naive import naive_scores
    from rnnbench.data.ngrams import KneserNey, add_one_nats
    from rnnbench.data.prepared import Streamed, prepare
    from rnnbench.data.series import Series
    from rnnbench.data.sources import Status, data_version, fetch, folder, own_file, status, verify
    from rnnbench.data.store import DataError
    from rnnbench.data.text import Characters, Subwords, ragged
    from rnnbench.data.windows import Windows

_HOME = {
    "batches": ("Generated", "Items", "Pairs", "Stream"),
    "calendar": ("calendar_features", "time_of_year"),
    "naive": ("naive_scores",),
    "ngrams": ("KneserNey", "add_one_nats"),
    "prepared": ("Streamed", "prepare"),
    "series": ("Series",),
    "sources": ("Status", "data_version", "fetch", "folder", "own_file", "status", "verify"),
    "store": ("DataError",),
    "text": ("Characters", "Subwords", "ragged"),
    "windows": ("Windows",),
}

__all__ = [
    "Characters", "DataError", "Generated", "Items", "Pairs", "Series", "Status", "Stream",
    "Streamed", "Subwords", "Windows", "add_one_nats", "calendar_features", "data_version",
    "fetch", "folder", "KneserNey", "naive_scores", "own_file", "prepare", "ragged",
    "status", "time_of_year", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"rnnbench.data.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
