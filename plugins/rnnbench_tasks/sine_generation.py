"""Sine generation: reproduce a curve from memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Task, setting
from rnnbench.data import Items
from rnnbench.metrics import MeanSquaredError


class CurveErrors(MeanSquaredError):
    """Measures "mse", and "nmse" = mse / variance of the curve."""

    def __init__(self, variance: float) -> None:
        super().__init__()
        self.variance = variance

    def compute(self) -> dict[str, float]:
        mse = super().compute()["mse"]
        return {"mse": mse, "nmse": mse / self.variance}


@dataclass(frozen=True)
class SineGeneration(Task):
    """Generate a curve of 320 samples without any input, from the network's own dynamics.

    The input is 0 at every step. The target is one curve, a sum of sines,
    y_t ∝ Σ_k sin(2π f_k t / length + φ_k) / f_k,   t = 0 … length - 1,
    whose frequencies f_k are spread evenly in log scale from 1 to `fastest` cycles (each moved by
    up to half a step at random) and whose phases φ_k are random, scaled so that max |y| = 1.
    `curve` draws another one. Training, validation and test are this same single curve: what is
    measured is memorisation, as in the paper, and nothing is said about generalisation.

    Variant: the paper's curves are clips of music of as many samples, scaled to [-1, 1]; sums of
    sines with amplitudes 1 / f stand for their spectrum, and need no recording.
    Trivial baseline: the curve's mean at every step, nmse 1.
    Solved: nmse below 0.01; the paper's clockwork networks reach about 0.007.

    Source: Koutník, Greff, Gomez & Schmidhuber (2014), arXiv:1402.3511, section 4.1.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "squared", help="mean squared error over the curve, which spans [-1, 1]"),
        Metric("nmse", "of the variance", help="mse over the curve's variance"),
    )
    selection: ClassVar[str] = "loss"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 1,
        "optimizer.lr": 3e-3,
        "budget.steps": 1000,
        "budget.validate_every": 50,
    }
    memorised: ClassVar[bool] = True

    length: int = setting(320, "samples of the curve", unit="steps", low=4)
    sines: int = setting(8, "sines that are summed", low=1, search=(2, 16))
    fastest: float = setting(32.0, "highest frequency, in cycles over the curve", low=1.0)
    curve: int = setting(0, "which curve: seeds its frequencies and phases", low=0)

    @property
    def source(self) -> Port:
        return Port(width=1)

    @property
    def target(self) -> Port:
        return Port(width=1)

    def data(self, split: str, seed: int) -> Data:
        y_1T1 = self._curve[None, :, None]
        return Items(Batch(torch.zeros_like(y_1T1), y_1T1))

    def meter(self, split: str) -> Meter:
        return CurveErrors(self._variance)

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score answering the curve's mean at every step."""
        return {"mean": {"mse": self._variance, "nmse": 1.0}}

    @cached_property
    def _curve(self) -> Tensor:
        """Return the curve (T,) in float32, with max |y| = 1."""
        # RandomState, because NumPy promises that its streams never change.
        rng = np.random.RandomState(self.curve)
        step = math.log(self.fastest) / max(1, self.sines - 1)
        log_f_K = np.arange(self.sines) * step + rng.uniform(-0.5, 0.5, self.sines) * step
        f_K = np.exp(np.clip(log_f_K, 0, math.log(self.fastest)))
        phase_K = rng.uniform(0, 2 * np.pi, self.sines)
        t_T1 = np.arange(self.length)[:, None] / self.length
        y_T = (np.sin(2 * np.pi * f_K * t_T1 + phase_K) / f_K).sum(1)
        return torch.from_numpy(y_T / np.abs(y_T).max()).float()

    @cached_property
    def _variance(self) -> float:
        return float(self._curve.double().var(correction=0))
