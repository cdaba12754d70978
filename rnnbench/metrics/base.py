"""Meters of classes and numbers, and the parts that all meters share."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnbench.contract import Batch, ItemScores, Meter, Prediction
from rnnbench.errors import EmptySplitError

__all__ = [
    "Accuracy", "CountingMeter", "ForecastErrors", "MeanSquaredError", "decoded_output",
    "masked_sum",
]  # fmt: skip


class CountingMeter(Meter):
    """A meter that counts the targets it has seen in `count`, and divides by that at the end."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self) -> int:
        """Return how many targets were seen.

        Raises:
            EmptySplitError: none, so there is nothing to report.
        """
        if not self.count:
            raise EmptySplitError(
                f"{type(self).__name__} saw no target: the split was empty or wholly masked"
            )
        return self.count


class Accuracy(CountingMeter):
    """Measures "accuracy": the share of targets whose class has the greatest output."""

    def __init__(self) -> None:
        super().__init__()
        self.right = 0
        self.rows: list[list[int]] = []  # of each row how many are right, and how many count

    def update(self, batch: Batch, prediction: Prediction) -> None:
        right = (prediction.out.argmax(-1) == batch.y) & prediction.mask
        right_B, counted_B = (v.reshape(len(v), -1).sum(1) for v in (right, prediction.mask))
        self.rows += torch.stack([right_B, counted_B], 1).tolist()
        self.right += int(right_B.sum())
        self.count += int(counted_B.sum())

    def compute(self) -> dict[str, float]:
        return {"accuracy": self.right / self.counted()}

    def items(self, metric: str) -> ItemScores | None:
        return ItemScores("row", "ratio", self.rows) if metric == "accuracy" else None


class MeanSquaredError(CountingMeter):
    """Measures "mse", the mean squared error of the outputs as trained; nothing is decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.squares = 0.0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        self.squares += masked_sum(prediction.nll, prediction.mask)
        self.count += int(prediction.mask.sum())

    def compute(self) -> dict[str, float]:
        return {"mse": self.squares / self.counted()}


class ForecastErrors(CountingMeter):
    """Measures "mse", "mae" and "mase" of forecasts made without seeing the target.

    Missing (NaN) targets are left out, and every other target weighs the same.

    Args:
        scale: the in-sample error of the naive forecast, in the targets' unit: mase = mae / scale.
    Source: Hyndman & Koehler (2006), Int. J. Forecasting 22, 679-688, section 3.
    """

    decodes = True

    def __init__(self, scale: float) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"the scale of MASE must be positive, got {scale}")
        self.scale, self.squares, self.absolutes = scale, 0.0, 0.0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        forecast = decoded_output(self, prediction)
        if forecast.shape != batch.y.shape:
            raise ValueError(f"forecast {tuple(forecast.shape)} for y {tuple(batch.y.shape)}")
        mask = prediction.mask & ~batch.y.isnan()
        error = forecast - batch.y
        self.squares += masked_sum(error.square(), mask)
        self.absolutes += masked_sum(error.abs(), mask)
        self.count += int(mask.sum())

    def compute(self) -> dict[str, float]:
        mae = self.absolutes / self.counted()
        return {"mse": self.squares / self.count, "mae": mae, "mase": mae / self.scale}


def masked_sum(values: Tensor, mask: Tensor) -> float:
    """Return the sum of the unmasked values, in double precision.

    It is computed on the CPU, since not every accelerator has doubles.
    """
    values, mask = values.detach().cpu(), mask.cpu()
    return float(torch.where(mask, values, torch.zeros_like(values)).double().sum())


def decoded_output(meter: Meter, prediction: Prediction) -> Tensor:
    """Return what the model decoded without seeing the target.

    Raises:
        ValueError: nothing was decoded.
    """
    if prediction.decoded is None:
        raise ValueError(f"{type(meter).__name__} needs decoded output, and got none")
    return prediction.decoded
