"""Data for task authors: sources, text, windows, batches.

Names are imported at first use, so that looking after sources needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rnnbench.moved import renamed

if TYPE_CHECKING:
    from rnnbench.data.batches import Generated, Items, Pairs, Stream
    from rnnbench.data.fetching.own_files import own_files
    from rnnbench.data.fetching.sources import (
        SourceStatus,
        data_version,
        fetch,
        folder,
        own_file,
        status,
        verify,
    )
    from rnnbench.data.prepared import Streamed, prepare
    from rnnbench.data.series.calendar_features import calendar_features, time_of_year
    from rnnbench.data.series.frames import frame_file
    from rnnbench.data.series.naive_forecasts import naive_scores
    from rnnbench.data.series.series import Series, Windows
    from rnnbench.data.text.ngrams import KneserNey, add_one_nats
    from rnnbench.data.text.tokens import Characters, Subwords, ragged
    from rnnbench.errors import DataError

_HOME = {
    "rnnbench.data.batches": ("Generated", "Items", "Pairs", "Stream"),
    "rnnbench.data.series.calendar_features": ("calendar_features", "time_of_year"),
    "rnnbench.data.series.naive_forecasts": ("naive_scores",),
    "rnnbench.data.text.ngrams": ("KneserNey", "add_one_nats"),
    "rnnbench.data.fetching.own_files": ("own_files",),
    "rnnbench.data.series.frames": ("frame_file",),
    "rnnbench.data.prepared": ("Streamed", "prepare"),
    "rnnbench.data.fetching.sources": (
        "SourceStatus",
        "data_version",
        "fetch",
        "folder",
        "own_file",
        "status",
        "verify",
    ),
    "rnnbench.errors": ("DataError",),
    "rnnbench.data.text.tokens": ("Characters", "Subwords", "ragged"),
    "rnnbench.data.series.series": ("Series", "Windows"),
}

__all__ = [
    "Characters",
    "DataError",
    "Generated",
    "Items",
    "KneserNey",
    "Pairs",
    "Series",
    "SourceStatus",
    "Stream",
    "Streamed",
    "Subwords",
    "Windows",
    "add_one_nats",
    "calendar_features",
    "data_version",
    "fetch",
    "folder",
    "frame_file",
    "naive_scores",
    "own_file",
    "own_files",
    "prepare",
    "ragged",
    "status",
    "time_of_year",
    "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    return renamed(__name__, name)
