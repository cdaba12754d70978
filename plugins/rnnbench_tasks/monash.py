"""Forecasting the end of each series of a set of the Monash archive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from rnnbench.contract import Port, Source, setting
from rnnbench.data import Series, fetch
from rnnbench.data.tasks.forecasting import Forecast
from rnnbench_tasks._tsf import SEASON, Tsf, read_tsf

_CITATION = (
    "Godahewa et al. (2021), Monash Time Series Forecasting Archive, NeurIPS Datasets and "
    "Benchmarks, arXiv:2105.06643"
)
# set -> Zenodo's record, name of archive and file, sha256 of archive and of file
_SETS = {
    "sunspot": (
        4654722,
        "sunspot_dataset_without_missing_values",
        "e47ca44f2046a95eb539ada9f1eab7c0091483b4b872f8b6682987f67342cca8",
        "6c4137ec1b9b8f95c56dd9e60a06f8f68d2aa98164432a1f981be711c9902472",
    ),
    "us-births": (
        4656049,
        "us_births_dataset",
        "cca9ebce263e6a8cd7c776c002e01ff1f904d8bce5dd2c8103cbed8bc6f8b391",
        "7c5c0f85661592d30000aa8a9066d938629ee5f3f5a3f72c75517179a50b38bb",
    ),
    "saugeen": (
        4656058,
        "saugeenday_dataset",
        "061cb56ee6829d5686e5e08f1a61f4c0af682e32c37824e79926fc11148747df",
        "bfd2ad2d80d8f3b6cd55086716dc9047789ebd76e0c78c06bba7af5b812d95fc",
    ),
    "tourism-monthly": (
        4656096,
        "tourism_monthly_dataset",
        "6e434ad8a0ef6acb55ebee0e1d1ffe22707ea4e62c05e091326267f3a5b4a93c",
        "fba16c20b9c431406e4377aa61347e7310d4cd155033e2f93af4cbd0e8139b6e",
    ),
}
_HORIZON = {"daily": 30, "monthly": 12}  # where the file does not say
_LAGS = 1.25  # of a season, as in the archive's own global models


@dataclass(frozen=True)
class Monash(Forecast):
    """Forecast the end of each series of a set of the Monash archive.

    "sunspot" (73,924 days since 1818), "us-births" (7,305 days since 1969) and "saugeen" (a
    river's flow, 23,741 days since 1915) are one series each; "tourism-monthly" is 366 series of
    91 to 333 months. The last `horizon` steps of each series are its test, in one window; as many
    before them are validation, and the rest is training.
    Each series is scaled by the mean and deviation of its own training part. A series whose
    training part is too short for a window is evaluated all the same.

    Metrics are over all series and horizons together, each value weighing the same: MASE with the
    seasonal error of its own series (7 days, 12 months) over all that lies before the test (at
    validation: over the training part), sMAPE in the series' unit; MSE, MAE and
    RSE in z-scores. In the archive's tables each series weighs the same, which comes to the same,
    as all horizons of a set are equally long.
    Baselines: the value a season before, the last value, the training part's mean.

    Source: Godahewa et al. (2021), arXiv:2105.06643, section 4, for horizons, seasons and the
    context of 1.25 seasons.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "budget.steps": 1000,
        "budget.validate_every": 100,
    }

    dataset: Literal["sunspot", "us-births", "saugeen", "tourism-monthly"] = setting(
        "tourism-monthly", "which set of the archive"
    )
    context: int | None = setting(  # type: ignore[assignment]
        None, "steps that are read; null: 1.25 seasons", unit="steps", low=1
    )
    horizon: int | None = setting(  # type: ignore[assignment]
        None, "steps that are forecast and held out; null: the set's own", unit="steps", low=1
    )

    @property
    def source(self) -> Port:
        return Port(width=1, longest=self.window[0])

    def sources(self) -> tuple[Source, ...]:
        return (self._source,)

    @property
    def _source(self) -> Source:
        record, name, archive, file = _SETS[self.dataset]
        return Source(
            name=f"monash-{self.dataset}",
            origin=f"https://zenodo.org/records/{record}/files/{name}.zip",
            files={f"{name}.tsf": file},
            sha256=archive,
            licence="CC BY 4.0",
            citation=_CITATION,
        )

    @cached_property
    def _file(self) -> Tsf:
        return read_tsf(fetch(self._source) / f"{_SETS[self.dataset][1]}.tsf")

    @property
    def window(self) -> tuple[int, int]:
        horizon = self.horizon or self._file.horizon or _HORIZON[self._file.frequency]
        return self.context or math.ceil(_LAGS * SEASON[self._file.frequency]), horizon

    @cached_property
    def series(self) -> Series:
        horizon = self.window[1]
        lengths = np.array([len(values) for values in self._file.series])
        ends_P1 = np.cumsum(lengths)[:, None]
        return Series(
            np.concatenate(self._file.series)[:, None],
            ends=ends_P1 - np.array([2 * horizon, horizon, 0]),
            season=SEASON[self._file.frequency],
            names=self._file.names,
            columns=("value",),
            insample="before",
        )

    def table(self, rows: Sequence[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray | None]:
        if len(self.series.names) > 1:
            raise ValueError(
                f"{self.name}: {self.dataset} is {len(self.series.names)} series, each scaled by "
                "itself; a series of your own is read by csv-forecast"
            )
        return np.array([[float(row["value"] or "nan")] for row in rows]), None
