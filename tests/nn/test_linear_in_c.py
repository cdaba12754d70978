"""Linear recurrences in C give what a loop over their own steps gives, with all derivatives."""

import ctypes

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rnnbench.nn import LinearCell, scan
from rnnbench.nn.linear import oscillators
from rnnbench.nn.linear.oscillators_source import CHUNK, LANES
from rnnbench.nn.scan.c.compiler import library
from rnnbench.nn.scan.c.math_functions import MATHS
from rnnbench.nn.scan.unsupported import Unsupported
from rnnbench_architectures.hawk import RGLRUCell
from rnnbench_architectures.lru import LRUCell
from rnnbench_architectures.mingru import MinGRUCell
from rnnbench_architectures.minlstm import MinLSTMCell
from rnnbench_architectures.qrnn import QRNNCell
from rnnbench_architectures.s4d import S4DCell
from rnnbench_architectures.sru import SRUCell

D, H = 5, 7
CELLS = {
    "mingru": lambda: MinGRUCell(D, H, "positive"),
    "mingru-linear": lambda: MinGRUCell(D, H, "linear"),
    "minlstm": lambda: MinLSTMCell(D, H, "positive"),
    "hawk": lambda: RGLRUCell(D),
    "qrnn": lambda: QRNNCell(D, H, 2, "fo"),
    "qrnn-f": lambda: QRNNCell(D, H, 1, "f"),
    "qrnn-ifo": lambda: QRNNCell(D, H, 3, "ifo"),
    "sru": lambda: SRUCell(D, H, False, -1.0),
    "sru-square": lambda: SRUCell(D, D, False, -1.0),
    "lru": lambda: LRUCell(D, 6, 0.9, 0.99, 6.0),
    "s4d": lambda: S4DCell(D, 3, "linear", 0.01, 0.1),
}


@pytest.fixture(autouse=True)
def _own_choice():
    scan.use()
    yield
    scan.use()


def made(name, steps=37, rows=3, dtype=torch.float64):
    torch.manual_seed(4)
    cell = CELLS[name]().to(dtype)
    x = torch.randn(rows, steps, D, dtype=dtype, requires_grad=True)
    start = tuple(torch.randn_like(s).requires_grad_() for s in cell.initial(x[:, 0]))
    return cell, x, start


def by_steps(cell, x, state):
    outputs = []
    for x_BD in x.unbind(1):
        y, state = cell.step(x_BD, state)
        outputs.append(y)
    return torch.stack(outputs, 1), state


def outcome(compute, cell, x, start, twice=False):
    y, end = compute(x, start)
    weight = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape)
    loss = (y * weight).sum() + sum((s**2).sum() for s in end)
    inputs = [x, *start, *cell.parameters()]
    gradients = torch.autograd.grad(loss, inputs, create_graph=twice, materialize_grads=True)
    if not twice:
        return [y, *end, *gradients]
    total = sum((g**2).sum() for g in gradients)
    return torch.autograd.grad(total, inputs, materialize_grads=True)


@pytest.mark.parametrize("name", CELLS)
def test_outputs_states_and_gradients_are_those_of_the_steps(name):
    cell, x, start = made(name)
    ours = outcome(cell, cell, x, start)
    assert [row["tier"] for row in scan.report()] == ["c"]
    theirs = outcome(lambda *given: by_steps(cell, *given), cell, x, start)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    scan.use("eager")
    plain = outcome(cell, cell, x, start)
    assert "c" not in {row["tier"] for row in scan.report()}
    torch.testing.assert_close(plain, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_second_derivatives_are_those_of_the_steps(name):
    cell, x, start = made(name, steps=20)
    ours = outcome(cell, cell, x, start, twice=True)
    theirs = outcome(lambda *given: by_steps(cell, *given), cell, x, start, twice=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_the_same_input_gives_the_same_bits_close_to_the_exact_ones(name):
    cell, x, start = made(name, steps=70, dtype=torch.float32)
    first, second = (outcome(cell, cell, x, start) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    double = cell.double()
    given = x.detach().double().requires_grad_(), [s.detach().double() for s in start]
    given[1][:] = [s.requires_grad_() for s in given[1]]
    exact = outcome(lambda *g: by_steps(double, *g), double, given[0], tuple(given[1]))
    for ours, true in zip(first, exact, strict=True):
        assert (ours.double() - true).abs().max() <= 2e-5 * true.abs().max() + 1e-6


@pytest.mark.parametrize("name", CELLS)
def test_a_number_that_is_none_comes_through(name):
    cell, x, start = made(name, dtype=torch.float32)
    spoilt = x.detach().clone()
    spoilt[1, 9, 2] = float("nan")
    y, _ = cell(spoilt, start)
    assert y[1, 9:].isnan().any(1).any()
    assert not y[1, :9].isnan().any()
    assert not y[[0, 2]].isnan().any()


@pytest.mark.parametrize("name", CELLS)
def test_operators_can_be_counted_without_memory_or_kernels(name):
    cell, x, start = made(name)
    with FlopCounterMode(display=False) as counter:
        y, _ = cell.to("meta")(x.detach().to("meta"), [s.detach().to("meta") for s in start])
        y.sum().backward()
    assert y.is_meta
    assert name == "s4d" or counter.get_total_flops() > 0
    assert "c" not in {row["tier"] for row in scan.report()}


class Summing(LinearCell):
    """A linear cell whose factors the emitted C cannot make."""

    def project(self, x_BTD, state):
        return x_BTD

    def factors(self, p):
        return torch.sigmoid(p.mean(-1, keepdim=True)), p


def test_a_cell_that_does_not_fit_is_scanned_as_before_and_the_report_says_why():
    x = torch.randn(2, 9, 4)
    y, _ = Summing(4)(x)
    (row,) = scan.report()
    assert (row["cell"], row["tier"]) == ("Summing", "eager")
    assert "mean" in row["reason"] or "sum" in row["reason"]
    torch.testing.assert_close(y, by_steps(Summing(4), x, Summing(4).initial(x[:, 0]))[0])


def test_inductor_is_never_tried_on_a_linear_cell():
    scan.use("auto", long=True)
    Summing(4)(torch.randn(2, 9, 4))
    assert [row["tier"] for row in scan.report()] == ["eager"]


@pytest.mark.parametrize(
    ("rows", "steps", "width", "units"),
    [(1, 1, 1, 1), (2, CHUNK, LANES, 3), (2, 3 * CHUNK + 1, 2 * LANES + 1, 2)],
)
def test_oscillators_of_any_size_are_those_laid_out(rows, steps, width, units):
    torch.manual_seed(0)
    inputs = [
        torch.randn(rows, steps, width), torch.randn(width, units, 2) / 2,
        torch.randn(width, units, 2), torch.randn(rows, width, units, 2),
    ]  # fmt: skip
    inputs = [v.double().requires_grad_() for v in inputs]
    found = []
    for compute in (oscillators.oscillate, oscillators.expanded):
        y, end = compute(*inputs)
        loss = (y * torch.cos(torch.arange(y.numel()).view_as(y))).sum() + (end**2).sum()
        found.append([y, end, *torch.autograd.grad(loss, inputs)])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)


def test_without_a_compiler_s4d_runs_by_blocks(monkeypatch):
    def none(dtype):
        raise Unsupported("no C compiler was found")

    cell, x, start = made("s4d")
    expected = cell(x, start)[0]
    monkeypatch.setattr(oscillators, "_library", none)
    oscillators.agreed.cache_clear()
    scan.use()
    torch.testing.assert_close(cell(x, start)[0], expected, rtol=1e-10, atol=1e-10)
    assert scan.report()[0]["reason"] == "no C compiler was found"
    oscillators.agreed.cache_clear()


@pytest.mark.parametrize("name", ["expm1", "log", "log1p", "erf"])
def test_functions_of_one_number_are_exact_in_single_precision(name):
    code = f"""void each(int64_t n, const real *x, real *y) {{
      for (int64_t i = 0; i < n; i++) y[i] = k_{name}(x[i]);
    }}"""
    each = library(MATHS + code, double=False).each
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 200_000, dtype=np.uint64).astype(np.uint32)
    edges = [0.0, -1.0, 1.0, np.inf, -np.inf, np.nan, 1e-45, 3.4e38, 88.7, 88.8, -104.0, 40.0]
    near = random.normal(size=200_000)
    x = np.concatenate([bits.view(np.float32), np.array([*edges, *near], dtype=np.float32)])
    y = np.empty_like(x)
    each(ctypes.c_int64(x.size), *(ctypes.c_void_p(v.ctypes.data) for v in (x, y)))
    exact = getattr(torch, name)(torch.from_numpy(x).double())
    single = exact.float()
    ours = torch.from_numpy(y)
    finite = single.isfinite()
    assert torch.equal(ours[~finite].nan_to_num(0.5), single[~finite].nan_to_num(0.5))
    error = (ours.double() - exact).abs()[finite]
    assert (error <= 6e-7 * exact.abs()[finite] + 1e-41).all()
