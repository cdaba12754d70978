"""Meters of what tasks measure: each sums over a whole split and divides once.

Names are imported at first use: `from rnnbench.metrics import Accuracy`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.metrics.base import Accuracy, ForecastErrors, MeanSquaredError
    from rnnbench.metrics.forecasting import Forecasts
    from rnnbench.metrics.sequences import Chunks, ErrorRates, Relatedness, chunks, edit_distance
    from rnnbench.metrics.text import LanguageModelling, Translation

_HOME = {
    "rnnbench.metrics.base": ("Accuracy", "ForecastErrors", "MeanSquaredError"),
    "rnnbench.metrics.forecasting": ("Forecasts",),
    "rnnbench.metrics.sequences": (
        "Chunks", "ErrorRates", "Relatedness", "chunks", "edit_distance",
    ),
    "rnnbench.metrics.text": ("LanguageModelling", "Translation"),
}  # fmt: skip

__all__ = [
    "Accuracy",
    "Chunks",
    "ErrorRates",
    "ForecastErrors",
    "Forecasts",
    "LanguageModelling",
    "MeanSquaredError",
    "Relatedness",
    "Translation",
    "chunks",
    "edit_distance",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
