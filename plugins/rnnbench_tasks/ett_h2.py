"""Forecasting the hourly oil temperature and load of a second transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rnnbench_tasks._ett import ETT


@dataclass(frozen=True)
class ETTh2(ETT):
    """Forecast the hourly oil temperature and load of a second transformer.

    17,420 hours of another station in the two years of `ett-h1`, whose split, scaling, windows,
    metrics and baselines are its own too.

    Source: Zhou et al. (2021), Informer, arXiv:2012.07436, section 5.1; see `ett-h1`.
    """

    name: ClassVar[str] = "ett-h2"
    file: ClassVar[str] = "ETTh2.csv"
    a_day: ClassVar[int] = 24
