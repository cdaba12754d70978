"""Tricks with one fault each in sizes of steps, pairs of a batch, rows, or validations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from rnnbench.contract import Trick, WrappedOptimizer, setting
from rnnbench.nn import CellWrapper


@dataclass(frozen=True)
class ClipsWhatIsScaled(Trick):
    """Scales the loss, clips, and then scales the gradients back.

    Source: made up.
    """

    scale: float = setting(1024.0, "of the loss", low=1.0)

    def loss(self, loss, result, at):
        return loss * self.scale

    def gradient(self, parameters, at):
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for p in parameters:
            if p.grad is not None:
                p.grad.div_(self.scale)
        return parameters


@dataclass(frozen=True)
class ShufflesInputs(Trick):
    """Reads the rows in another order, and leaves the targets where they are.

    Source: made up.
    """

    def batch(self, batch, at):
        order = torch.arange(len(batch.x)).flip(0)
        lengths = None if batch.x_len is None else batch.x_len[order]
        return batch._replace(x=batch.x[order], x_len=lengths)


class ShuffledCell(CellWrapper):
    """Hands each row the state of its neighbour, in training."""

    def advance(self, p_BG, state, seen_BH=None):
        if self.training:
            state = tuple(s.roll(1, 0) for s in state)
        return self.inner.advance(p_BG, state, seen_BH)


@dataclass(frozen=True)
class MixesRows(Trick):
    """Mixes the rows of a batch in training alone.

    Source: made up.
    """

    def cell(self, cell):
        return ShuffledCell(cell)


class AveragedForGood(WrappedOptimizer):
    """Evaluates an average of the weights, and trains on from there."""

    def __init__(self, inner):
        super().__init__(inner)
        self.mean = [p.detach().clone() for p in self.parameters()]

    def parameters(self):
        return [p for group in self.param_groups for p in group["params"]]

    def step(self, closure=None):
        loss = self.inner.step(closure)
        for mean, p in zip(self.mean, self.parameters(), strict=True):
            mean.lerp_(p.detach(), 0.5)
        return loss

    def averaged(self):
        with torch.no_grad():
            for mean, p in zip(self.mean, self.parameters(), strict=True):
                p.copy_(mean)
        return self.inner.averaged() if isinstance(self.inner, WrappedOptimizer) else _nothing()


def _nothing():
    import contextlib

    return contextlib.nullcontext()


@dataclass(frozen=True)
class LeavesItsAverage(Trick):
    """Averages weights for evaluation, and leaves the average in them.

    Source: made up.
    """

    def optimizer(self, optimizer):
        return AveragedForGood(optimizer)


BROKEN = [
    ("inputs_keep_their_targets", ShufflesInputs(), "has the input of row"),
    ("validations_change_nothing", LeavesItsAverage(), "validated after each step"),
]
SUSPECT = [
    ("steps_keep_their_size", ClipsWhatIsScaled(), "times those without it, at most"),
    ("rows_keep_apart", MixesRows(), "another input in the first row"),
]
