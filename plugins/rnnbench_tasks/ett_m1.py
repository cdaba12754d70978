"""Forecasting the quarter-hourly oil temperature and load of a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rnnbench_tasks._ett import ETT


@dataclass(frozen=True)
class ETTm1(ETT):
    """Forecast the quarter-hourly oil temperature and load of a transformer.

    69,680 quarters of an hour of `ett-h1`'s station and two years. The split is that of `ett-h1`
    in months, 34,560 and twice 11,520 rows; scaling, windows, metrics and baselines are as there,
    the seasonal one a day of 96 rows before.

    Source: Zhou et al. (2021), Informer, arXiv:2012.07436, section 5.1; see `ett-h1`.
    """

    name: ClassVar[str] = "ett-m1"
    file: ClassVar[str] = "ETTm1.csv"
    a_day: ClassVar[int] = 96
