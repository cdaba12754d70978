"""Forecasting tasks share windows, errors of free-running forecasts, and naive rivals."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, DataCard, Kind, Meter, Metric, Port, Task, setting
from rnnbench.data.cards.series_card import series_card
from rnnbench.data.series.naive_forecasts import naive_scores
from rnnbench.data.series.series import Series, Windows
from rnnbench.metrics.forecasting import Forecasts
from rnnbench.nn.distributions import Forecaster, distribution

__all__ = ["Forecast"]

_ERRORS = (
    Metric("mse", "z-score squared", help="mean squared error"),
    Metric("mae", "z-score", help="mean absolute error"),
    Metric("mase", "", help="mae / in-sample mae of the seasonal naive forecast"),
    Metric("smape", "%", help="mean of 200 |y - f| / (|y| + |f|), in the data's own unit"),
    Metric("rse", "", help="root of squared errors over squared deviations from the mean"),
    Metric("corr", "", True, help="correlation of forecast and truth, mean over the columns"),
)
_CRPS = Metric("crps", "z-score", help="continuous ranked probability score")
_COVERAGE = (
    Metric("coverage_80", "share", True, help="of truths in the central 80%; 0.8 is calibrated"),
    Metric("coverage_90", "share", True, help="of truths in the central 90%; 0.9 is calibrated"),
)


@dataclass(frozen=True)
class Forecast(Task):
    """A task that reads a window of one or several series and forecasts the steps after it.

    Subclasses are dataclasses that give these fields defaults of their own, and write `series`
    (best cached), `source` and `table` besides what every task writes.

    Metrics are those of `rnnbench.metrics.forecasting.Forecasts`. With an `output` other than
    "point" the model puts out a distribution (`rnnbench.nn.distributions`), whose negative
    log-likelihood (of quantiles: twice the pinball loss) is the loss; decoders read its mean (the
    median of quantiles) as their next input, and CRPS, the headline then, and coverage are of
    the distributions of a free-running forecast, each step's given the points before it.

    With `output_steps` "direct" a recurrent encoder has a head for the whole horizon in place of a
    decoder: training then minimises what is scored, while a decoder that was trained on the truth
    meets its own errors at evaluation. Architectures that forecast at once, such as dlinear, are
    the same either way; those with a decoder of their own are refused.
    """

    kind: ClassVar[Kind] = Kind.UNALIGNED
    eval_batch: ClassVar[int] = 512

    context: int = setting(52, "steps that are read", unit="steps", low=1)
    horizon: int = setting(26, "steps that are forecast", unit="steps", low=1)
    centre: Literal["last", "none"] = setting("last", "what value of a window becomes zero")
    output: Literal["point", "gaussian", "student-t", "quantiles"] = setting(
        "point",
        "what is forecast: values, or distributions of them",
        revised=("quantiles",),  # their CRPS was a twentieth too high
    )
    output_steps: Literal["free-running", "direct"] = setting(
        "free-running",
        "each step from the forecast before it, or all at once by a head for the whole horizon",
        added=True,
    )
    stride: int = setting(1, "from a window of validation or test to the next", unit="steps", low=1)

    @property
    def metrics(self) -> tuple[Metric, ...]:  # type: ignore[override]
        return _ERRORS if self.output == "point" else (_CRPS, *_ERRORS, *_COVERAGE)

    @property
    def selection(self) -> str:  # type: ignore[override]
        return "mse" if self.output == "point" else "crps"

    @property
    def series(self) -> Series:
        """Return the whole series with its splits, scaled by the training part."""
        raise NotImplementedError

    @property
    def window(self) -> tuple[int, int]:
        """Return how many steps are read and how many are forecast."""
        return self.context, self.horizon

    @property
    def source(self) -> Port:
        return Port(width=self.series.width, longest=self.window[0])

    @property
    def target(self) -> Port:
        width = len(self.series.target)
        return Port(width=width, longest=self.window[1], distribution=self._distribution)

    @property
    def _distribution(self) -> Forecaster | None:
        return None if self.output == "point" else distribution(self.output)

    @property
    def at_once(self) -> bool:
        return self.output_steps == "direct"

    @property
    def past(self) -> tuple[int, ...]:
        return self.series.target

    @property
    def season(self) -> int:
        return self.series.season

    @property
    def period(self) -> int:
        return self.series.season

    def data(self, split: str, seed: int) -> Windows:
        stride = 1 if split == "train" else self.stride
        return self.series.windows(split, *self.window, self.centre, stride)

    def meter(self, split: str) -> Meter:
        return self._meter(self.data(split, 0), as_points=False)

    def _meter(self, windows: Windows, as_points: bool) -> Meter:
        names = self.series.names
        return Forecasts(
            windows.unit, len(names), self._distribution, as_points=as_points, names=names,
            notes=self.figure_notes(),
        )  # fmt: skip

    def figure_notes(self) -> tuple[str, ...]:
        """Say what a reader must know of the figures, the same in every run; () by default."""
        return ()

    def card_facts(self) -> Mapping[str, str]:
        """Return what the task knows of columns and times, by name, for its card; {} by default."""
        return {}

    def card(self) -> DataCard:
        facts = self.card_facts() or {"season": f"{self.series.season} steps"}
        steps = self.steps_in_words()
        return series_card(self.series, self.window, facts, steps=steps, stride=self.stride)

    def steps_in_words(self) -> str:
        """Say what a step is, such as "steps of 1 hour"."""
        return "steps"

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the naive forecasts on the same windows.

        The seasonal one is among them where a season lies before every window.
        """
        windows = self.data(split, 0)
        return naive_scores(windows, partial(self._meter, windows, as_points=True))

    def table(self, rows: Sequence[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return columns (N, D) of a file's rows, NaN where missing, and what is known ahead (N,
        K)."""
        raise NotImplementedError

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read the tail of a CSV with the columns of the task's own file.

        Forecasts are in their unit, a line a step, with a header where there is more than one
        column.
        """
        context = self.window[0]
        rows = list(csv.DictReader(io.StringIO(text)))
        if len(rows) < context:
            raise ValueError(
                f"{self.name} reads a CSV with a header and {context} or more rows after it; "
                f"got {len(rows)}"
            )
        try:
            values_ND, known_NK = self.table(rows)
        except KeyError as error:
            raise ValueError(
                f"{self.name}: the CSV has no column {error}; it has {', '.join(rows[0])}"
            ) from error
        x, restore = self.series.tail(values_ND, known_NK, self.centre, context=context)
        names = [self.series.columns[d] for d in self.series.target]

        def answer(y_SV: Tensor) -> str:
            lines = [",".join(f"{v:g}" for v in row) for row in restore(y_SV.double().numpy())]
            return "\n".join(([",".join(names)] if len(names) > 1 else []) + lines)

        return self.row(x), answer

    def row(self, x_1TI: np.ndarray) -> Batch:
        """Return a batch of one window, whose target nobody knows."""
        y_1SV = torch.zeros(1, self.window[1], len(self.series.target))
        return Batch(torch.from_numpy(x_1TI), y_1SV)

    def show(self, batch: Batch, prediction: Any) -> list[dict[str, str]]:
        """Show the forecast of the first column beside the truth, in z-scores of the window."""
        if prediction.decoded is None:
            return []
        pairs = zip(batch.y[:, :, 0].tolist(), prediction.decoded[:, :, 0].tolist(), strict=True)
        return [
            {"truth": " ".join(f"{v:.3g}" for v in truth),
             "forecast": " ".join(f"{v:.3g}" for v in guess)}
            for truth, guess in pairs
        ]  # fmt: skip
