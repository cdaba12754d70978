"""Tricks with one fault each in training, at evaluation or in their settings."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from laws.broken.trick_refusals import DroppedEmbedding, InputDropout
from rnnbench.contract import Refusal, Trick, setting
from rnnbench.nn import CellWrapper, GatedCell
from rnnbench.testing.fixtures.small_architectures import ScannedCell


@dataclass(frozen=True)
class DropsAlways(InputDropout):
    """Dropout that stays on at evaluation.

    Source: made up.
    """

    def wrap(self, embed):
        return DroppedEmbedding(embed, self.rate, always=True)


class WeightDropCell(CellWrapper):
    """Dropped recurrent weights, at evaluation too: the mask is a fixed one by then."""

    def __init__(self, inner, rate):
        super().__init__(inner)
        self.rate, self.mask = rate, None

    def advance(self, p_BG, state, seen_BH=None):
        h = state[0] if seen_BH is None else seen_BH
        if self.training or self.mask is None:
            self.mask = F.dropout(torch.ones_like(h[:1]), self.rate)
        return self.inner.advance(p_BG, state, h * self.mask)


@dataclass(frozen=True)
class WeightDrop(Trick):
    """Weight drop whose last mask stays in place at evaluation.

    Source: Merity, Keskar & Socher (2018), arXiv:1708.02182, done wrong.
    """

    rate: float = setting(0.5, "dropped share", low=0.0, high=0.9)

    def cell(self, cell):
        return WeightDropCell(cell, self.rate)


class DelayedCell(CellWrapper):
    """Adds what came out a step before, which it keeps on itself and not in the state."""

    def advance(self, p_BG, state, seen_BH=None):
        y, state = self.inner.advance(p_BG, state, seen_BH)
        before, self.before = getattr(self, "before", None), y
        fits = before is not None and before.shape == y.shape and before.device == y.device
        return (y + before.detach() if fits else y), state


@dataclass(frozen=True)
class Delay(Trick):
    """A shortcut from the step before, done wrong.

    Source: made up.
    """

    def cell(self, cell):
        return DelayedCell(cell)


@dataclass(frozen=True)
class CutsTheInput(Trick):
    """Stops the gradient of what the model reads, so that it is never learnt.

    Source: made up.
    """

    def model(self, model, task):
        if not hasattr(model, "embed"):
            raise Refusal(f"{self.name}: the model has no embedding.\n  Drop {self.name}.")
        model.embed.register_forward_hook(lambda module, inputs, y: y.detach())
        return model


@dataclass(frozen=True)
class SmoothsTheReport(Trick):
    """Label smoothing that changes what is reported and compared.

    Source: Szegedy et al. (2016), arXiv:1512.00567, done wrong.
    """

    def model(self, model, task):
        if not task.target.classes:
            raise Refusal(f"{self.name} smooths labels; there are none.\n  Drop {self.name}.")

        def loss(out, batch):
            y = model.gold(batch).flatten()
            return F.cross_entropy(out.flatten(0, -2), y, ignore_index=-100, label_smoothing=0.1)

        model.loss = loss
        return model


@dataclass(frozen=True)
class WritesIntoTheBatch(Trick):
    """Replaces the first target, in place.

    Source: made up.
    """

    def batch(self, batch, at):
        batch.y[:1] = batch.y[1:2]
        return batch


@dataclass(frozen=True)
class TrueNoise(Trick):
    """Gradient noise from the machine's own randomness.

    Source: made up.
    """

    def gradient(self, parameters, at):
        for p in parameters:
            p.grad += int.from_bytes(os.urandom(2), "big") / 2**16
        return parameters


@dataclass(frozen=True)
class SeedsEachStep(Trick):
    """Gradient noise that is the same at every step, since it sets the seed.

    Source: made up.
    """

    def gradient(self, parameters, at):
        torch.manual_seed(7)
        for p in parameters:
            p.grad += 0.1 * torch.randn_like(p.grad)
        return parameters


@dataclass(frozen=True)
class SeedsPython(SeedsEachStep):
    """Source: made up."""

    def gradient(self, parameters, at):
        random.seed(7)
        for p in parameters:
            p.grad += random.random()
        return parameters


@dataclass(frozen=True)
class ForgetsAtResume(Trick):
    """Momentum kept on the trick itself, of which no checkpoint knows.

    Source: made up.
    """

    def estimator(self, inner):
        kept = self.__dict__.setdefault("kept", {})

        def estimate(learning):
            state = inner(learning)
            for name, p in learning.model.named_parameters():
                if p.grad is not None:
                    kept[name] = 0.5 * kept.get(name, 0) + p.grad.detach()
                    p.grad = kept[name].clone()
            return state

        return estimate


@dataclass(frozen=True)
class NeedsWeights(Trick):
    """Reads the cell's own weights, which a wrapper of another trick does not have.

    Source: made up.
    """

    def cell(self, cell):
        inner = cell.mix.weight if hasattr(cell, "mix") else cell.weight_h
        with torch.no_grad():
            inner.mul_(0.5)
        return cell


@dataclass(frozen=True)
class ReplacesTheCell(Trick):
    """Puts a cell of its own in, and whatever another trick had put around it is lost.

    Source: made up.
    """

    def cell(self, cell):
        while hasattr(cell, "inner"):
            cell = cell.inner
        if not isinstance(cell, GatedCell):
            raise Refusal(f"{self.name} replaces gated cells.\n  Drop {self.name}.")
        return ScannedCell(cell.weight_x.shape[1], cell.width)


@dataclass(frozen=True)
class NoHelp(InputDropout):
    """Dropout without a word.

    Source: made up.
    """

    share: float = 0.3


@dataclass(frozen=True)
class Misread(InputDropout):
    """A version that only running it tells.

    Source: made up.
    """


Misread.version = 3


@dataclass(frozen=True)
class Unfrozen(InputDropout):
    """A setting that no spec can hold.

    Source: made up.
    """

    table: str = setting("", "made in __post_init__")

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "table", {"a": torch.float32})


BROKEN = [
    ("evaluation_is_deterministic", DropsAlways(), "draws random numbers"),
    ("evaluation_depends_on_weights_only", WeightDrop(), "a fresh model with these weights"),
    ("refused_or_trained", CutsTheInput(), "embed.map.weight gets no gradient any more"),
    ("models_keep_their_laws", Delay(), "when it is alone"),
    ("reported_loss_is_bare", SmoothsTheReport(), "for the same outputs the loss differs"),
    ("batch_is_left_alone", WritesIntoTheBatch(), "batch.y in place"),
    ("same_seed_same_training", TrueNoise(), "two runs with one seed differ"),
    ("seeds_are_left_alone", SeedsEachStep(), "it sets the seed of torch's random numbers"),
    ("seeds_are_left_alone", SeedsPython(), "it sets the seed of python's random numbers"),
    ("resumes_bitwise", ForgetsAtResume(), "after a resume differ"),
    ("composes", NeedsWeights(), "fails its dry run"),
    ("composes", ReplacesTheCell(), "has no effect beside the other"),
    ("documented", NoHelp(), "share has no help"),
    ("described_from_source", Misread(), "version = 1, but it is 3"),
    ("settings_survive", Unfrozen(), "unhashable"),
]
