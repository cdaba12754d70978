"""Forecasting the hourly oil temperature and load of an electricity transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rnnbench_tasks._ett import ETT


@dataclass(frozen=True)
class ETTh1(ETT):
    """Forecast the hourly oil temperature and load of an electricity transformer.

    17,420 hours from July 2016 to June 2018: six loads and the oil temperature.
    Split as the papers do, in months of 30 days: training 12 months (8,640 rows), validation 4 and
    test 4 (2,880 each); the file's tail is not used. Columns are z-scores by the mean and deviation
    of the training part, and all seven are read and forecast. Every window whose whole target lies
    in a split is one item of it; its context may begin before the split.

    Metrics are over all windows, horizons and columns, in z-scores; the papers' MSE and MAE are
    "mse" and "mae". The last, smaller batch counts; `legacy_drop_last` leaves out the last test
    windows that fill no batch of 32, as the code behind older tables did.
    A number means nothing without its context: papers read 96, 336, 512 or 720 steps.
    Baselines: the value a day before, the last value, the training part's mean.

    Source: Zhou et al. (2021), Informer, arXiv:2012.07436, section 5.1; the split and scaling as
    in its code and in Wu et al. (2021), Autoformer, arXiv:2106.13008.
    """

    name: ClassVar[str] = "ett-h1"
    file: ClassVar[str] = "ETTh1.csv"
    a_day: ClassVar[int] = 24
