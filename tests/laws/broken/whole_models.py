"""Architectures with one fault each in a whole model of their own.

They obey the other laws as far as the fault lets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from rnnbench.contract import Architecture, Kind, Refusal, Result, setting
from rnnbench.nn.models.base import Embed, Model
from rnnbench.testing.fixtures.small_architectures import RunningMean


class OwnModel(Model):
    """Reads out the mean of its outputs, padding included."""

    def __init__(self, hidden, task):
        super().__init__(task.target)
        self.pools = task.kind is Kind.SEQ_TO_VEC
        self.embed = Embed(task.source, hidden)
        self.backbone = RunningMean(hidden, hidden)
        self.readout = self.readout_for(hidden)

    def forward(self, batch, state=None, feed=None):
        hidden, state = self.backbone(self.embed(batch.x), state)
        return Result(self.readout(hidden.mean(1) if self.pools else hidden), hidden, state)


class Centred(OwnModel):
    """Takes the mean of the batch off its outputs."""

    def forward(self, batch, state=None, feed=None):
        result = super().forward(batch, state)
        return result._replace(out=result.out - result.out.mean(0, keepdim=True))


class ReadsOn(OwnModel):
    """Reads a step of the input before it is its turn."""

    def forward(self, batch, state=None, feed=None):
        return super().forward(batch._replace(x=batch.x.roll(-1, 1)), state)


class ReadsOnLater(OwnModel):
    """Reads whole blocks of 128 steps at once, from the second block on."""

    def forward(self, batch, state=None, feed=None):
        x = batch.x.clone()
        for since in range(128, x.shape[1], 128):
            x[:, since : since + 128] = x[:, since : since + 128].roll(-1, 1)
        return super().forward(batch._replace(x=x), state)


class Copies(OwnModel):
    """Puts its own target on top of what it says."""

    def forward(self, batch, state=None, feed=None):
        result = super().forward(batch, state)
        truth = F.one_hot(batch.y, result.out.shape[-1]) if self.target.classes else batch.y
        return result._replace(out=result.out + truth)


class Summed(OwnModel):
    def loss(self, out, batch):
        return self.nll(out, batch)[0].sum()


class Mixes(OwnModel):
    """Adds a cache's share to probabilities that have all of it already."""

    def nll(self, out, batch):
        nll, mask = super().nll(out, batch)
        return (-torch.log(nll.neg().exp() + 0.05) if self.target.classes else nll), mask

    def loss(self, out, batch):
        nll, mask = self.nll(out, batch)
        return nll.sum() / mask.sum()


class Seeds(OwnModel):
    """Drops the same units in each pass, since it sets the seed."""

    def forward(self, batch, state=None, feed=None):
        if self.training:
            torch.manual_seed(3)
            torch.rand(2)
        return super().forward(batch, state)


class CountsPadding(OwnModel):
    def gold(self, batch):
        return batch.y


@dataclass(frozen=True)
class Wired(Architecture):
    """Brings a whole model.

    Source: made up.
    """

    own: ClassVar[type[OwnModel]] = OwnModel

    hidden: int = setting(6, "units", low=2)

    def model(self, task):
        if task.kind not in (Kind.ALIGNED, Kind.SEQ_TO_VEC):
            raise Refusal(f"{self.name} decodes nothing.\n  Choose another task.")
        return self.own(self.hidden, task)


@dataclass(frozen=True)
class WiredCentred(Wired):
    """Source: made up."""

    own = Centred


@dataclass(frozen=True)
class WiredReadsOn(Wired):
    """Source: made up."""

    own = ReadsOn


@dataclass(frozen=True)
class WiredReadsOnLater(Wired):
    """Source: made up."""

    own = ReadsOnLater


@dataclass(frozen=True)
class WiredCopies(Wired):
    """Source: made up."""

    own = Copies


@dataclass(frozen=True)
class WiredMixes(Wired):
    """Source: made up."""

    own = Mixes


@dataclass(frozen=True)
class WiredSeeds(Wired):
    """Source: made up."""

    own = Seeds


@dataclass(frozen=True)
class WiredSummed(Wired):
    """Source: made up."""

    own = Summed


@dataclass(frozen=True)
class WiredCountsPadding(Wired):
    """Source: made up."""

    own = CountsPadding


BROKEN = [
    ("model_rows_are_independent", WiredCentred(), "when it is alone"),
    ("model_rows_are_independent", Wired(), "other padding of the source"),
    ("models_see_what_they_may", WiredReadsOn(), "step 1 changes when the input of step 2 does"),
    ("models_see_what_they_may", WiredReadsOnLater(), "looks ahead: the output of step 155"),
    ("models_see_what_they_may", WiredCopies(), "step 1 changes when its own target does"),
    ("models_see_what_they_may", WiredCentred(), "lets rows read each other"),
    ("probabilities_sum_to_one", WiredMixes(), "the probabilities of all classes sum to 1."),
    ("seeds_are_left_alone", WiredSeeds(), "a pass in training mode sets torch's seed"),
    ("loss_is_the_mean_of_nll", WiredSummed(), "loss and mean nll differ"),
    ("loss_is_the_mean_of_nll", WiredCountsPadding(), "targets counted, there are"),
]
