"""Columns of kinds, such as "sunny" and "rain": words as codes, and codes as indicators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnbench.data.series.gaps import carry_forward
from rnnbench.data.series.number_cells import MISSING
from rnnbench.errors import DataError

__all__ = ["Labels", "codes_of", "indicators"]

MOST_KINDS = 200  # of a column
Labels = Mapping[str, Sequence[str]]  # column -> its kinds, in the order of their codes from 1 on


def codes_of(
    name: str, columns: Sequence[str], cells: Sequence[Sequence[Any]], known: Labels | None
) -> tuple[np.ndarray, dict[str, tuple[str, ...]]]:
    """Return codes (N, K) of the cells of K columns, and the kinds that they stand for.

    NaN is a missing cell, and 0 a kind that is not among those that are known.

    Args:
        cells: of each row.
        known: the kinds of each column; None: those that are met.
    Raises:
        DataError: a column has so many kinds that it rather names or measures something.
    """
    code_NK = np.full((len(cells), len(columns)), np.nan)
    labels: dict[str, tuple[str, ...]] = {}
    for k, column in enumerate(columns):
        texts = [_text_of(row[k]) for row in cells]
        met = sorted(set(texts) - {""})
        if known is None and len(met) > MOST_KINDS:
            raise DataError(
                f"{name}: the column {column!r} has {len(met):,} kinds, and {MOST_KINDS} are the "
                "most: is it a name, or a number? Leave it out of task.categories"
            )
        labels[column] = tuple(met if known is None else known[column])
        code = {label: i for i, label in enumerate(labels[column], 1)}
        code_NK[:, k] = [code.get(text, 0) if text else np.nan for text in texts]
    return code_NK, labels


def _text_of(cell: Any) -> str:
    """Return a cell as a kind; "" where it is missing."""
    text = "" if cell is None else str(cell).strip()
    return "" if text.casefold() in MISSING else text


def indicators(code_NK: np.ndarray, labels: Labels, begin_N: np.ndarray) -> np.ndarray:
    """Return a column for each kind, 1 where a row is of it.

    A missing kind is the last one before it in its series; before the first all are 0, as they are
    for a kind that is not known. A model's first linear map turns each kind into a vector of its
    own, which is an embedding.

    Args:
        begin_N: the first row of each row's series.
    """
    filled_NK = carry_forward(code_NK, begin_N)
    return np.concatenate(
        [
            (filled_NK[:, k, None] == np.arange(1, len(kinds) + 1)).astype(np.float64)
            for k, kinds in enumerate(labels.values())
        ]
        or [np.empty((len(code_NK), 0))],
        1,
    )
