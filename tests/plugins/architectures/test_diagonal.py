"""Hawk, LRU, S4D and Mamba against loops over the papers' equations, in float64."""

import math

import numpy as np
import pytest
import torch

from rnnbench.contract import Refusal
from rnnbench.nn import ShortConvolution, scan
from rnnbench.nn.linear import selective
from rnnbench.testing import ArchitectureLaws
from rnnbench_architectures.hawk import Hawk, RGLRUCell
from rnnbench_architectures.lru import LRU, LRUCell
from rnnbench_architectures.mamba import Mamba, MambaMixer, Selection
from rnnbench_architectures.s4d import S4D, S4DCell


class TestHawk(ArchitectureLaws):
    tiny = Hawk(hidden=6, layers=1, expand=1)


class TestLRU(ArchitectureLaws):
    tiny = LRU(hidden=6, layers=1, units=4)


class TestS4D(ArchitectureLaws):
    tiny = S4D(hidden=6, layers=1, units=3)


class TestMamba(ArchitectureLaws):
    tiny = Mamba(hidden=6, layers=1, units=3)


def drawn(*shape, seed=3):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_two_steps_of_the_rg_lru_by_hand():
    cell = RGLRUCell(1).double()
    with torch.no_grad():
        cell.gates.weight.copy_(torch.tensor([[1.0], [-2.0]]))  # of r, of i
        cell.gates.bias.zero_()
        cell.decay.fill_(0.3)
    y, _ = cell(torch.tensor([[[1.0], [2.0]]]).double())
    h, expected = 0.0, []
    for x in (1.0, 2.0):
        a = math.exp(-8 * math.log(1 + math.exp(0.3)) * sigmoid(x))
        h = a * h + math.sqrt(1 - a * a) * sigmoid(-2 * x) * x
        expected.append(h)
    assert y.flatten().tolist() == pytest.approx(expected, abs=1e-14)


def test_lru_is_a_loop_over_complex_numbers():
    torch.manual_seed(0)
    cell = LRUCell(3, 5, 0.5, 0.9, 3.0).double()
    x = drawn(2, 50, 3)
    p = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    lam = np.exp(-np.exp(p["log_rate"]) + 1j * np.exp(p["log_angle"]))
    b, c = p["into"][:5] + 1j * p["into"][5:], p["out"][:, :5] + 1j * p["out"][:, 5:]
    h, expected = np.zeros((2, 5), complex), []
    for t in range(50):
        u = x[:, t].numpy()
        h = lam * h + np.exp(p["log_scale"]) * (u @ b.T)
        expected.append((h @ c.T).real + p["around"] * u)
    np.testing.assert_allclose(cell(x)[0].detach().numpy(), np.stack(expected, 1), atol=1e-12)


def test_lru_starts_on_the_ring_with_its_normalisation():
    torch.manual_seed(0)
    cell = LRUCell(3, 2000, 0.4, 0.8, 1.0).double()
    size = torch.exp(-cell.log_rate.exp())
    assert 0.4 <= size.min() < 0.41
    assert 0.79 < size.max() <= 0.8
    assert size.square().mean().item() == pytest.approx((0.16 + 0.64) / 2, abs=0.01)  # by area
    torch.testing.assert_close(cell.log_scale.exp(), (1 - size.square()).sqrt(), atol=1e-6, rtol=0)
    with pytest.raises(Refusal, match=r"r_min = 0\.9 is not below r_max = 0\.5"):
        LRU(r_min=0.9, r_max=0.5)


@pytest.mark.parametrize("steps", [5, 64, 150])
def test_s4d_is_the_sampled_differential_equation(steps):
    """h' = A h + x with x held over each step Δ: h(t + Δ) = e^{ΔA} h + (e^{ΔA} - 1) / A · x."""
    torch.manual_seed(0)
    cell = S4DCell(3, 4, "linear", 0.01, 0.5).double()
    x = drawn(2, steps, 3)
    p = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    a = -np.exp(p["log_decay"]) + 1j * p["frequency"]
    c, step = p["out"][..., 0] + 1j * p["out"][..., 1], np.exp(p["log_step"])[:, None]
    h, expected = np.zeros((2, 3, 4), complex), []
    for t in range(steps):
        u = x[:, t].numpy()
        h = np.exp(step * a) * h + (np.exp(step * a) - 1) / a * u[..., None]
        expected.append(2 * (c * h).sum(-1).real + p["around"] * u)
    np.testing.assert_allclose(cell(x)[0].detach().numpy(), np.stack(expected, 1), atol=1e-11)


@pytest.mark.parametrize(("spectrum", "first"), [("linear", [0.0, math.pi]), ("inverse", None)])
def test_s4d_starts_with_the_frequencies_of_the_paper(spectrum, first):
    found = S4DCell(2, 8, spectrum, 0.01, 0.1).frequency[0]
    whole = 16  # N, of which half are conjugates
    wanted = first or [whole / math.pi * (whole / (2 * n + 1) - 1) for n in range(2)]
    assert found[:2].tolist() == pytest.approx(wanted, rel=1e-6)


def test_the_selective_scan_is_a_loop_over_its_equations():
    torch.manual_seed(0)
    part = Selection(4, 3, 2).double()
    x, a = drawn(2, 9, 4), -part.log_decay.exp()
    h, expected = torch.zeros(2, 4, 3).double(), []
    for t in range(9):
        low, b, c = part.select(x[:, t]).split([2, 3, 3], -1)
        step = torch.log(1 + torch.exp(part.steps(low)))
        for row in range(2):
            for e in range(4):
                for n in range(3):
                    h = h.clone()
                    h[row, e, n] = (
                        torch.exp(step[row, e] * a[e, n]) * h[row, e, n]
                        + step[row, e] * b[row, n] * x[row, t, e]
                    )
        expected.append((h * c[:, None]).sum(-1) + part.around * x[:, t])
    torch.testing.assert_close(part(x)[0], torch.stack(expected, 1), atol=1e-12, rtol=0)


def test_mamba_starts_with_steps_between_a_thousandth_and_a_tenth():
    step = torch.nn.functional.softplus(Selection(500, 3, 2).steps.bias)
    assert 0.00099 < step.min() < 0.0015
    assert 0.08 < step.max() < 0.101


def test_states_that_are_made_anew_in_the_backward_pass_give_the_same_gradients(monkeypatch):
    torch.manual_seed(0)
    mixer, x = MambaMixer(4, 2, 3, 4).double(), drawn(2, 50, 4)
    found = []
    for tier, kept in (("auto", 100), ("eager", 100), ("eager", 16)):
        scan.use(tier)
        monkeypatch.setattr(selective, "KEPT", kept)
        y, (_, (h,)) = mixer(x)
        gradients = torch.autograd.grad(y.square().sum() + h.sum(), list(mixer.parameters()))
        found.append((y, h, *gradients))
    scan.use()
    first, *others = found
    for other in others:
        torch.testing.assert_close(first, other, atol=1e-11, rtol=1e-11)


def test_the_short_convolution_is_torch_s_with_zeros_before_the_first_step():
    part, x = ShortConvolution(3, 4).double(), drawn(2, 9, 3)
    padded = torch.nn.functional.pad(x.transpose(1, 2), (3, 0))
    torch.testing.assert_close(part(x)[0], part.convolve(padded).transpose(1, 2))
