"""Gradients on a short stream with frozen parameters, for the tests of estimators."""

import torch

from rnnbench.contract import Moment
from rnnbench.testing.fixtures.backbones import doubled
from rnnbench.training.train_step import TrickFold, assemble, training_step
from support.toys import TOYS

LM = TOYS["lm"]
NOW = Moment(0, 0.0)


def model_of(architecture, *tricks):
    torch.manual_seed(0)
    return assemble(architecture, LM, TrickFold(tricks)).double()


def stream(batches=3):
    return [doubled(LM.example(i)) for i in range(batches)]


def last_gradients(model, trick, batches):
    """Return gradients of the last batch's loss; the others were read with frozen parameters."""
    tricks, state, memory = TrickFold([trick]), None, {}
    for batch in batches:
        model.zero_grad()
        done = training_step(model, tricks, batch, state, NOW, carried=True, memory=memory)
        state = done.state
    return {n: p.grad for n, p in model.named_parameters()}, done.loss
