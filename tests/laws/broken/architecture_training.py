"""Architectures with one fault each in gradients, settings, weights, or what training leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from laws.broken.built import Made, architecture
from rnnbench.contract import setting
from rnnbench.testing.fixtures.small_architectures import RunningMean, ScannedCell, WholeCell

# --------------------------------------------------------------------------------- gradients


class CutEvery16(WholeCell):
    """Cuts the graph every 16 steps, longer than usual inputs of tests."""

    def forward(self, x_BTD, state=None, layout=None):
        state = self.initial(x_BTD[:, 0]) if state is None else state
        ys = []
        for t in range(x_BTD.shape[1]):
            if t and t % 16 == 0:
                state = tuple(s.detach() for s in state)
            y, state = self.step(x_BTD[:, t], state)
            ys.append(y)
        return torch.stack(ys, 1), state


class MemoryWithoutGradient(WholeCell):
    """Lets the gradient flow through h, and not through the memory c."""

    def step(self, x_BD, state):
        h, c = state
        return super().step(x_BD, (h, c.detach()))


class CutInTraining(RunningMean):
    """Sums a past without gradient, in training alone."""

    def forward(self, x_BTD, state=None, layout=None):
        y, new = super().forward(x_BTD, state)
        if self.training:
            with torch.no_grad():
                past, _ = super().forward(x_BTD, state)
            now = torch.tanh(self.now(x_BTD))
            y = past + now - now.detach()
        return y, new


class Rounded(ScannedCell):
    """Rounds its outputs, and learns as if it did not."""

    def forward(self, x_BTD, state=None, layout=None):
        y, state = self.scan(x_BTD, state)
        return y + ((y * 4).round() / 4 - y).detach(), state


# ----------------------------------------------------------------- what is kept, or not saved


class KeepsItsOutputs(RunningMean):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.seen = []

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        if self.training:
            self.seen.append(y)
        return y, state


class ScheduledInAnAttribute(RunningMean):
    """Opens over training, by a number that is not saved with the weights."""

    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.share = 0.1

    def schedule(self, at):
        self.share = 0.1 + at.progress

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return self.share * y, state


# -------------------------------------------------------------------- weights and settings


class OwnGenerator(RunningMean):
    """Draws one matrix from a generator of its own."""

    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        drawn = np.random.default_rng(0).normal(size=(hidden, d_in))
        self.extra = nn.Parameter(torch.tensor(drawn, dtype=torch.float32))

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return y + x_BTD @ self.extra.T, state


class TiedByACopy(RunningMean):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        with torch.no_grad():
            self.mean.weight.copy_(self.now.weight)


@dataclass(frozen=True)
class IgnoresASetting(Made):
    """Takes dropout, and does without.

    Source: made up.
    """

    dropout: float = setting(0.0, "between layers", low=0.0, high=0.9)


BROKEN = [
    ("earlier_batches_are_let_go", architecture(KeepsItsOutputs), "tensors that stay in memory"),
    ("state_dict_round_trip", architecture(ScheduledInAnAttribute), "in a fresh model"),
]
SUSPECT = [
    ("weights_are_drawn", architecture(OwnGenerator), "numpy.random.default_rng()"),
    ("gradients_are_true", architecture(CutEvery16), "70 steps: the gradient of step 1 is"),
    ("gradients_are_true", architecture(MemoryWithoutGradient), "7 steps: the gradient of step 1"),
    ("gradients_are_true", architecture(CutInTraining), "in training, 7 steps"),
    ("gradients_are_true", architecture(Rounded), "and what is computed moves by 0"),
    ("weights_are_drawn", architecture(TiedByACopy), "they part at the first step"),
    ("settings_do_something", IgnoresASetting(), "dropout (tried 0.0 and"),
]
