"""Clipping of the gradient by its norm and by value."""

import pytest
import torch
from torch import nn

from rnnbench.contract import Moment
from rnnbench_tricks.clip import Clip

NOW = Moment(step=10, progress=0.5)


def parameters_with(*gradients):
    found = []
    for g in gradients:
        p = nn.Parameter(torch.zeros(len(g)))
        p.grad = torch.tensor(g)
        found.append(p)
    return found


def test_clip_by_norm_scales_all_gradients_by_one_factor():
    a, b = Clip(limit=1.0).gradient(parameters_with([3.0], [0.0, 4.0]), NOW)
    assert torch.cat([a.grad, b.grad]).tolist() == pytest.approx([0.6, 0.0, 0.8], abs=1e-5)


def test_clip_by_norm_leaves_a_short_gradient_alone():
    (a,) = Clip(limit=6.0).gradient(parameters_with([3.0, 4.0]), NOW)
    assert a.grad.tolist() == [3.0, 4.0]


def test_clip_by_value_bounds_every_component_by_itself():
    (a,) = Clip(by="value", limit=0.5).gradient(parameters_with([3.0, -0.1, -9.0]), NOW)
    assert a.grad.tolist() == pytest.approx([0.5, -0.1, -0.5])
