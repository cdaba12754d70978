"""What forecasting tasks share: windows, errors of free-running forecasts, naive rivals."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from rnnbench.contract import Data, Kind, Meter, Metric, Port, Task
from rnnbench.data.windows import Series, naive_scores
from rnnbench.nn.meters import ForecastErrors


class Forecast(Task):
    """A task that reads a window of a series and forecasts the steps after it.

    Subclasses are dataclasses with the fields `context`, `horizon` and `centre`, and write
    `series` (best cached) besides what every task writes.
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
        return Port(width=1)

    def data(self, split: str, seed: int) -> Data:
        return self.series.windows(split, self.context, self.horizon, self.centre)

    def meter(self, split: str) -> Meter:
        return ForecastErrors(self.series.naive_scale)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """The naive forecasts on the same windows; none where a season does not lie before all."""
        windows = self.series.windows(split, self.context, self.horizon, self.centre)
        return naive_scores(windows, partial(self.meter, split))
