"""Electricity transformer temperatures: what the four tasks on them share."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from rnnbench.contract import Port, Source, setting
from rnnbench.data.fetching.sources import fetch
from rnnbench.data.series.series import Series, Windows
from rnnbench.data.tasks.forecasting import Forecast
from rnnbench.errors import SpecError

__all__ = ["ETT"]

_ETT = Source(
    name="ett",
    origin="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/",
    files={
        "ETTh1.csv": "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        "ETTh2.csv": "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
        "ETTm1.csv": "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e",
        "ETTm2.csv": "db973ca252c6410a30d0469b13d696cf919648d0f3fd588c60f03fdbdbadd1fd",
    },
    size=25_045_484,
    licence="CC BY-ND 4.0",
    citation="Zhou et al. (2021), Informer, arXiv:2012.07436",
)
_COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
_DAYS = (360, 480, 600)  # 12, 4 and 4 months of 30 days
_OLD_BATCH = 32


@dataclass(frozen=True)
class ETT(Forecast):
    """All seven columns are read and forecast; see `rnnbench_tasks.ett_h1`."""

    file: ClassVar[str]
    a_day: ClassVar[int]
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "budget.steps": 2000,
        "budget.validate_every": 250,
    }

    context: int = setting(96, "steps that are read", unit="steps", low=1)
    horizon: int = setting(96, "steps that are forecast", unit="steps", low=1)
    centre: Literal["last", "none"] = setting("none", "what value of a window becomes zero")
    legacy_drop_last: bool = setting(
        False,
        "leave out the last windows of the test, which fill no batch of 32, as older code did",
    )

    @property
    def source(self) -> Port:
        return Port(width=len(_COLUMNS), longest=self.context)

    def sources(self) -> tuple[Source, ...]:
        return (_ETT,)

    @cached_property
    def series(self) -> Series:
        with (fetch(_ETT) / self.file).open(newline="") as f:
            rows = list(csv.DictReader(f))
        values_ND, _ = self.table(rows)
        train, valid, test = (days * self.a_day for days in _DAYS)
        every = range(len(_COLUMNS))
        return Series(
            values_ND[:test],
            ends=(train, valid, test),
            season=self.a_day,
            target=every,
            columns=_COLUMNS,
        )

    def data(self, split: str, seed: int) -> Windows:
        windows = super().data(split, seed)
        if split == "test" and self.legacy_drop_last:
            kept = len(windows) - len(windows) % _OLD_BATCH
            if not kept:
                raise SpecError(
                    f"{self.name}: the {len(windows)} test windows fill no batch of {_OLD_BATCH}; "
                    "set task.legacy_drop_last=false"
                )
            windows.times_W = windows.times_W[:kept]
        return windows

    def table(self, rows: Sequence[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray | None]:
        return np.array([[float(row[c] or "nan") for c in _COLUMNS] for row in rows]), None
