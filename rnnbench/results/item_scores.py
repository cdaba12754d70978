"""Reads what each item of the test split added to a run's headline. No torch here.

A run on test keeps these figures beside its record; `rnnbench.stats.item_bootstrap` compares rows
by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.errors import RunError
from rnnbench.stats.item_bootstrap import FORMS, ItemTable


def read_items(path: Path) -> ItemTable | None:
    """Read the items beside a record; None where there are none.

    Raises:
        RunError: the file is damaged; the message names it.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _as_table(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error!r}") from error


def _as_table(d: Mapping[str, Any]) -> ItemTable:
    values = np.array(d["values"], dtype=float)
    if values.ndim != 2 or d["form"] not in FORMS:
        raise ValueError("it holds no table of figures")
    return ItemTable(d["metric"], d["unit"], d["form"], float(d["scale"]), values)
