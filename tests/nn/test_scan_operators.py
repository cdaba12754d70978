"""Operators of the emitted C: values, derivatives, NaN and infinity as torch has them."""

import pytest
import torch
from nn.scan_cells import agree, needs_compiler, used
from torch import nn
from torch.nn import functional as F

from rnnbench.nn import GatedCell, scan


@pytest.fixture(autouse=True)
def _fresh():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    scan.use()


class Everything(GatedCell):
    """Every operator that the C tier knows, on arguments where it is smooth or tied."""

    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden, gates=2)
        self.scale = nn.Parameter(torch.rand(hidden) + 0.5)
        self.one = nn.Parameter(torch.tensor(0.7))
        self.register_buffer("table", torch.rand(3, hidden))

    def update(self, gates_x, gates_h, state):
        a, b = (gates_x * self.one).chunk(2, -1)
        c, d = gates_h.chunk(2, -1)
        u = torch.sin(a) * torch.cos(b) + torch.erf(c) / (2 + d.abs()) + F.silu(a) + F.gelu(b)
        u = u + F.softplus(c) + F.elu(d) + F.leaky_relu(a, 0.1) + F.hardtanh(b) + torch.relu(c)
        u = u + torch.maximum(a, c) - torch.minimum(b, d) + a.clamp(-0.3, 0.4) + b.clamp_min(0.1)
        u = u + torch.log1p(c * c) + torch.expm1(0.1 * d) + torch.sqrt(a * a + 1) - b**2 + c**3
        u = u + torch.exp(-a.square()) + torch.log(2 + d.square()) + torch.rsqrt(1 + b * b)
        u = u + torch.where((a > 0) & ~(b >= 0.2) | (c < -0.5), a * b, c - d) + torch.sign(a)
        u = u + torch.remainder(a, 0.7) + torch.floor(b) + torch.lerp(a, b, 0.3) + 1 / (3 + c * c)
        u = u + torch.addcmul(a, b, c, value=0.5) + (2 - d) + torch.reciprocal(4 + a * a)
        u = u + torch.stack([a, b], 1).flatten(1)[:, : self.hidden] * torch.ones_like(a)
        u = u * self.scale + self.table[1] + (a > b).to(a.dtype) * d
        return (torch.tanh(0.1 * u + 0.5 * state[0]) * torch.sigmoid(u),)


@needs_compiler
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 5e-4)])
def test_every_operator_and_its_derivative(dtype, atol):
    scan.use("c")
    torch.manual_seed(2)
    agree(Everything(5, 6).to(dtype), torch.randn(8, 5, 5, dtype=dtype), atol)


class Pass(GatedCell):
    """The state is a function of the input."""

    def __init__(self, function):
        super().__init__(1, 1)
        self.function = function

    def project(self, x, state):
        return x

    def update(self, gates_x, gates_h, state):
        return (self.function(gates_x) + 0 * gates_h * state[0],)


@needs_compiler
@pytest.mark.parametrize("function", [torch.exp, torch.tanh, torch.sigmoid])
def test_vectorised_functions_are_as_exact_as_single_precision_allows(function):
    scan.use("c")
    x = torch.cat([torch.linspace(-87, 88, 40_001), torch.randn(20_000), 1e-4 * torch.randn(9_999)])
    with torch.no_grad():
        y, _ = Pass(function)(x.view(2, -1, 1))
    exact = function(x.double()).view(2, -1, 1)
    assert ((y - exact).abs() / exact.abs()).max() < 2 * torch.finfo(torch.float32).eps
    assert used() == {"Pass": "c"}


@needs_compiler
@pytest.mark.parametrize("function", [torch.exp, torch.tanh, torch.sigmoid, torch.relu])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_and_infinity_are_seen(function, dtype):
    scan.use("c")
    x = torch.tensor([1.0, torch.nan, torch.inf, -torch.inf, 200.0, -200.0], dtype=dtype)
    x = torch.stack([x, x])[..., None]
    with torch.no_grad():
        y, _ = Pass(function).to(dtype)(x)
        expected, _ = Pass(function).to(dtype).scan(x)
    # 0 * q is 0 until a state is not finite, and NaN from then on.
    torch.testing.assert_close(y, expected, equal_nan=True)
    assert y[0, 1:].isnan().all()


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_linear_map_of_all_steps_is_torch_s(dtype):
    scan.use("c")
    torch.set_num_threads(1)
    x, w, b = torch.randn(7, 5, 33), torch.randn(70, 33), torch.randn(70)
    found = []
    for path in (scan.linear, F.linear):
        inputs = [t.clone().to(dtype).requires_grad_() for t in (x, w, b)]
        y = path(*inputs)
        grads = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        found.append([y, *grads, *torch.autograd.grad(sum(g.sum() for g in grads), inputs)])
    for a, c in zip(*found, strict=True):
        torch.testing.assert_close(a, c, atol=1e-3 if dtype is torch.float32 else 1e-10, rtol=1e-5)


@needs_compiler
def test_a_branch_that_is_not_taken_gives_no_nan_gradient():
    scan.use("c")

    class Soft(GatedCell):
        def update(self, gates_x, gates_h, state):
            return (torch.tanh(F.softplus(gates_x) + F.elu(-gates_x) + gates_h),)

    cell = Soft(1, 4)
    with torch.no_grad():
        cell.weight_x.fill_(1.0)
    agree(cell, torch.tensor([[[200.0], [-200.0], [1.0]]] * 2), 1e-5)
