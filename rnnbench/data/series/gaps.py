"""Says what stands for missing values, and refuses rows that tell too little."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnbench.errors import SeriesError


def carry_forward(values_ND: np.ndarray, begin_N: np.ndarray) -> np.ndarray:
    """Replace each missing value by the last observed one of its column and series, or by 0.

    Args:
        begin_N: the first row of each row's series.
    """
    rows = np.arange(len(values_ND))
    row_ND = np.where(np.isnan(values_ND), begin_N[:, None], rows[:, None])
    filled_ND = np.take_along_axis(values_ND, np.maximum.accumulate(row_ND, 0), 0)
    return np.nan_to_num(filled_ND, copy=False, nan=0.0)


def refuse_unknown(
    values_ND: np.ndarray, context: int, columns: Sequence[str], *, begins_known: bool
) -> None:
    """Refuse rows of a user whose columns tell too little to forecast from.

    Args:
        values_ND: the rows up to now, NaN where missing.
        context: how many of the last of them a model reads.
        columns: the names of the D columns.
        begins_known: whether each column needs a value at or before the first row that is read.
    Raises:
        SeriesError: a column has no value, or none where it needs one.
    """
    gone_D = np.isnan(values_ND).all(0)
    if gone_D.any():
        names = ", ".join(columns[int(d)] for d in np.flatnonzero(gone_D))
        raise SeriesError(
            f"the input has no value of {names} in its {len(values_ND)} rows: there is nothing to "
            "forecast from.\n  Give rows that reach back to a value"
        )
    late_D = np.isnan(values_ND[: len(values_ND) - context + 1]).all(0)
    if begins_known and late_D.any():
        raise SeriesError(
            f"{columns[int(late_D.argmax())]} begins with a missing value: there is nothing to "
            "carry on"
        )
