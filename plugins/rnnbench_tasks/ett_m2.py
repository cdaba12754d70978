"""Forecasting the quarter-hourly oil temperature and load of a second transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rnnbench_tasks._ett import ETT


@dataclass(frozen=True)
class ETTm2(ETT):
    """Forecast the quarter-hourly oil temperature and load of a second transformer.

    69,680 quarters of an hour of `ett-h2`'s station; all else is as in `ett-m1`.

    Source: Zhou et al. (2021), Informer, arXiv:2012.07436, section 5.1; see `ett-h1`.
    """

    name: ClassVar[str] = "ett-m2"
    file: ClassVar[str] = "ETTm2.csv"
    a_day: ClassVar[int] = 96
