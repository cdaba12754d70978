"""Gradient noise: the laws of every trick, and the variance that the paper states."""

import pytest
import torch
from rnnbench.contract import Moment
from rnnbench.testing import TrickLaws

from rnnbench_mgu.gradient_noise import GradientNoise


class TestGradientNoise(TrickLaws):
    tiny = GradientNoise()


@pytest.mark.parametrize(("step", "sigma"), [(0, 0.1), (99, 0.1 / 100**0.275)])
def test_the_noise_has_the_stated_deviation(step, sigma):
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.zeros(100_000))
    p.grad = torch.full_like(p, 3.0)
    GradientNoise(eta=0.01).gradient([p], Moment(step, 0.0))
    assert p.grad.std().item() == pytest.approx(sigma, rel=0.02)
    assert p.grad.mean().item() == pytest.approx(3.0, abs=5 * sigma / 100_000**0.5)
