"""What forecasting tasks share: windows, errors of free-running forecasts, naive rivals."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Task
from rnnbench.data.windows import Series, naive_scores
from rnnbench.nn.meters import ForecastErrors


class Forecast(Task):
    """A task that reads a window of a series and forecasts the steps after it.

    Subclasses are dataclasses with the fields `context`, `horizon` and `centre`, and write
    `table` and `series` (best cached) besides what every task writes.
    """

    kind: ClassVar[Kind] = Kind.UNALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "z-score squared", help="mean squared error"),
        Metric("mae", "z-score", help="mean absolute error"),
        Metric("mase", "", help="mae / in-sample mae of the seasonal naive forecast"),
    )
    selection: ClassVar[str] = "mse"
    eval_batch: ClassVar[int] = 512

    if TYPE_CHECKING:
        context: int
        horizon: int
        centre: Literal["last", "none"]

    @property
    def series(self) -> Series:
        """The whole series with its splits, scaled by the training part."""
        raise NotImplementedError

    @property
    def target(self) -> Port:
        return Port(width=1, longest=self.horizon)

    @property
    def past(self) -> tuple[int, ...]:
        return (self.series.target,)

    def data(self, split: str, seed: int) -> Data:
        return self.series.windows(split, self.context, self.horizon, self.centre)

    def meter(self, split: str) -> Meter:
        return ForecastErrors(self.series.naive_scale)

    def table(self, rows: Sequence[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray | None]:
        """The columns (N, D) of a file's rows, NaN where missing, and what else is known (N, K)."""
        raise NotImplementedError

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """The tail of a CSV with the columns of the task's own file; forecasts in their unit."""
        rows = list(csv.DictReader(io.StringIO(text)))[-self.context :]
        if len(rows) < self.context:
            raise ValueError(
                f"{self.name} reads a CSV with a header and {self.context} or more rows after it; "
                f"got {len(rows)}"
            )
        try:
            values_ND, known_NK = self.table(rows)
        except KeyError as error:
            raise ValueError(
                f"{self.name}: the CSV has no column {error}; it has {', '.join(rows[0])}"
            ) from error
        series = self.series
        x, last = series.tail(values_ND, known_NK, self.centre)
        mean, std = series.mean_D[series.target], series.std_D[series.target]

        def answer(y_S1: Tensor) -> str:
            return "\n".join(f"{(v + last) * std + mean:g}" for v in y_S1[:, 0].double().tolist())

        return Batch(torch.from_numpy(x), torch.zeros(1, self.horizon, 1)), answer

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """The naive forecasts on the same windows; none where a season does not lie before all."""
        windows = self.series.windows(split, self.context, self.horizon, self.centre)
        return naive_scores(windows, partial(self.meter, split))
