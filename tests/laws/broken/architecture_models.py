"""Architectures with one fault each in their whole models or in how they are built.

They obey the other laws as far as the fault lets them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from laws.broken.built import Made, architecture
from rnnbench.contract import Backbone, setting
from rnnbench.nn import Stack
from rnnbench.testing.fixtures.small_architectures import RunningMean, ScannedCell, WholeCell

# --------------------------------------------------------------------------- whole models, builds


class PeekingDecoder(Backbone):
    """Attends to the memory, and to what it is yet to say."""

    def __init__(self, d_in, hidden, memory_width):
        super().__init__()
        self.width = hidden
        self.now, self.all = nn.Linear(d_in, hidden), nn.Linear(d_in, hidden)
        self.read = nn.Linear(memory_width, hidden)

    def attend_to(self, memory_BTE, mask_BT):
        mask = mask_BT[..., None].to(memory_BTE.dtype)
        return ((memory_BTE * mask).sum(1) / mask.sum(1),)

    def forward(self, x_BTD, state=None, layout=None):
        seen = self.all(x_BTD.mean(1, keepdim=True)) + self.read(state[0])[:, None]
        return torch.tanh(self.now(x_BTD) + seen), state


@dataclass(frozen=True)
class Peeking(Made):
    """Brings a decoder that is not causal.

    Source: made up.
    """

    def decoder(self, d_in, memory_width):
        return PeekingDecoder(d_in, self.hidden, memory_width)


@dataclass(frozen=True)
class DropsAlways(Made):
    """Drops at evaluation too; at its default rate nobody sees it.

    Source: made up.
    """

    dropout: float = setting(0.0, "between layers", low=0.0, high=0.9)

    def build(self, d_in, *, causal):
        class Dropping(Stack):
            def forward(self, x_BTD, state=None, layout=None):
                return super().forward(F.dropout(x_BTD, self.dropout, training=True), state)

        return Dropping([ScannedCell(d_in, self.hidden)], self.dropout)


class NoisyAlways(ScannedCell):
    def forward(self, x_BTD, state=None, layout=None):
        y, state = self.scan(x_BTD, state)
        return y + 0.01 * torch.randn_like(y), state


class OwnSeed(ScannedCell):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        generator = torch.Generator().manual_seed(0)
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=generator).to(p)


class SeedsTorch(ScannedCell):
    def __init__(self, d_in, hidden):
        torch.manual_seed(0)
        super().__init__(d_in, hidden)


class NoSeed(ScannedCell):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        nn.init.constant_(self.bias_h, uuid.uuid4().int % 1000 / 1000)


class Unregistered(RunningMean):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.scale = torch.rand(hidden)

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return y * self.scale, state


class StaysOnTheCPU(WholeCell):
    def initial(self, x_BD):
        zero = torch.zeros(x_BD.shape[0], self.width, dtype=x_BD.dtype, device="cpu")
        return zero, zero


class NotSaved(RunningMean):
    """Draws its scale at the first use and keeps it as a number."""

    scale = None

    def forward(self, x_BTD, state=None, layout=None):
        if self.scale is None:
            self.scale = 0.5 + float(self.now.weight[0, 0].detach().abs())
        y, state = super().forward(x_BTD, state)
        return y * self.scale, state


class HoldsALambda(RunningMean):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.squash = lambda y: y

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return self.squash(y), state


class MoreOnTheCPU(RunningMean):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        if not self.now.weight.is_meta:
            self.extra = nn.Linear(hidden, hidden)

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return (self.extra(y) if hasattr(self, "extra") else y), state


class FailsItsDryRun(RunningMean):
    def forward(self, x_BTD, state=None, layout=None):
        if x_BTD.is_meta:
            raise KeyError("meta")
        return super().forward(x_BTD, state)


# ---------------------------------------------------------------------- what every plugin may lack


@dataclass(frozen=True)
class Undocumented(Made):
    pass


Undocumented.__doc__ = None


@dataclass(frozen=True)
class NoSource(Made):
    """A layer."""


@dataclass(frozen=True)
class NoHelp(Made):
    """A layer.

    Source: made up.
    """

    layers: int = 1


@dataclass(frozen=True)
class Misread(Made):
    """A layer, whose version nobody sees who reads its source.

    Source: made up.
    """


Misread.version = 7


@dataclass(frozen=True)
class Rounds(Made):
    """A layer of an even number of units.

    Source: made up.
    """

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "hidden", self.hidden + 2)


BROKEN = [
    ("decoding_equals_teacher_forcing", Peeking(), "teacher forcing differ"),
    ("evaluation_is_deterministic", DropsAlways(), "draws random numbers"),
    ("evaluation_is_deterministic", architecture(NoisyAlways), "draws random numbers"),
    ("seeded_weights", architecture(OwnSeed), "another seed gives the same"),
    ("seeded_weights", architecture(SeedsTorch), "seeds torch's generator"),
    ("seeded_weights", architecture(NoSeed), "bias_h differs between two builds"),
    ("follows_its_device", architecture(Unregistered), "Unregistered.scale is a tensor"),
    ("follows_its_device", architecture(StaysOnTheCPU), "on another device"),
    ("state_dict_round_trip", architecture(Unregistered), "in a fresh model"),
    ("state_dict_round_trip", architecture(NotSaved), "in a fresh model"),
    ("pickles", architecture(HoldsALambda), "lambda"),
    ("check_tells_the_truth", architecture(MoreOnTheCPU), "check counts"),
    ("check_tells_the_truth", architecture(FailsItsDryRun), "fails its dry run"),
    ("documented", Undocumented(), "no docstring"),
    ("documented", NoSource(), "Source:"),
    ("documented", NoHelp(), "layers has no help"),
    ("described_from_source", Misread(), "version = 1, but it is 7"),
    ("settings_survive", Rounds(), "comes back"),
]
