"""Forecasting models in float64 with weights far from their start."""

import torch

from rnnbench.contract import Batch, Port
from rnnbench.testing.fixtures.toy_tasks import Toy
from rnnbench.training.train_step import TrickFold, assemble

H, CONTEXT, HORIZON = 4, 9, 3
SERIES = Toy(
    "UNALIGNED", (Port(width=3, longest=CONTEXT), Port(width=1, longest=HORIZON)), column=1
)


def windows(rows=2):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(rows, CONTEXT, 3, generator=g).double()
    return Batch(x, torch.randn(rows, HORIZON, 1, generator=g).double())


def built(plugin, task=SERIES):
    torch.manual_seed(3)
    model = assemble(plugin, task, TrickFold()).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model
