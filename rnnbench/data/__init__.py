"""Data for task authors: sources, text, windows, batches.

Names are imported at first use, so that looking after sources needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.data.batches import Generated, Items, Pairs, Stream
    from rnnbench.data.prepared import prepare
    from rnnbench.data.sources import Status, data_version, fetch, folder, status, verify
    from rnnbench.data.store import DataError
    from rnnbench.data.text import Characters, Subwords, add_one_nats, ragged
    from rnnbench.data.windows import Series, Windows, naive_scores, time_of_year

_HOME = {
    "batches": ("Generated", "Items", "Pairs", "Stream"),
    "prepared": ("prepare",),
    "sources": ("Status", "data_version", "fetch", "folder", "status", "verify"),
    "store": ("DataError",),
    "text": ("Characters", "Subwords", "add_one_nats", "ragged"),
    "windows": ("Series", "Windows", "naive_scores", "time_of_year"),
}

__all__ = [
    "Characters", "DataError", "Generated", "Items", "Pairs", "Series", "Status", "Stream",
    "Subwords", "Windows", "add_one_nats", "data_version", "fetch", "folder", "naive_scores",
    "prepare", "ragged", "status", "time_of_year", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"rnnbench.data.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
