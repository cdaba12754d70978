"""Reads what each item of the test split added to a run's headline. No torch here.

A run on test keeps these figures beside its record; `rnnbench.stats.item_bootstrap` compares rows
by them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.errors import RunError
from rnnbench.results.run_folder import ITEM_SCORES
from rnnbench.results.store import Store
from rnnbench.stats.item_bootstrap import FORMS, ItemTable


def items_of(store: Store) -> Callable[[str], ItemTable | None]:
    """Return a reader of the items beside a run's record; it gives None where there are none."""

    def read(run_id: str) -> ItemTable | None:
        try:
            folder = store.fetch(run_id, [ITEM_SCORES])
        except OSError as error:  # the address is away; what this machine knows of boards stays
            warnings.warn(f"{error}; items of {run_id} are left out", RuntimeWarning, stacklevel=2)
            return None
        return read_items(folder / ITEM_SCORES)

    return read


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
