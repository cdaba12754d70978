"""Functions of rows in C give what torch's give, with all of their derivatives."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnnbench.nn import RowNorm, ShortConvolution, one_pass, scan
from rnnbench.nn.one_pass.functions import BLOCKS, CONVOLUTIONS, GATES, HALVES, SCALED_SUM, norm_of

NORM = norm_of(1e-6)
CASES = [
    *((f, [(3, 9, 35)] * 2) for f in GATES.values()),
    *((f, [(3, 9, 70)]) for f in HALVES.values()),
    *((BLOCKS, [(3, 9, 12 * size), (12, size, size)]) for size in (1, 2, 4)),
    (SCALED_SUM, [(3, 9, 35), (35,), (3, 9, 35)]),
    (NORM, [(3, 9, 35), (35,)]),
    *(
        (f, [(2, steps, 35), (2, taps - 1, 35), (taps, 35), (35,)])
        for f in CONVOLUTIONS.values()
        for taps, steps in ((1, 3), (2, 1), (4, 2), (4, 20))
    ),
]


@pytest.fixture(autouse=True)
def _own_choice():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    scan.use()
    yield
    scan.use()
    torch.set_num_threads(threads)


def drawn(shapes, dtype=torch.float64, time_first=False):
    torch.manual_seed(2)
    values = [torch.randn(shape, dtype=dtype) for shape in shapes]
    if time_first:
        values = [v.transpose(0, 1).contiguous().transpose(0, 1) if v.dim() == 3 else v
                  for v in values]  # fmt: skip
    return [v.requires_grad_() for v in values]


def outcome(compute, inputs, twice=False):
    y = compute(*inputs)
    loss = (y * torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)).sum()
    gradients = torch.autograd.grad(loss, inputs, create_graph=twice, materialize_grads=True)
    if not twice:
        return [y, *gradients]
    total = sum((g**2).sum() for g in gradients)
    return torch.autograd.grad(total, inputs, materialize_grads=True)


def in_c(function):
    return lambda *inputs: one_pass.run(function, *inputs)


@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize(("function", "shapes"), CASES)
def test_values_and_gradients_are_those_of_torch(function, shapes, time_first):
    inputs = drawn(shapes, time_first=time_first)
    ours = outcome(in_c(function), inputs)
    assert [row["tier"] for row in scan.report()] == ["c"]
    torch.testing.assert_close(ours, outcome(function.plain, inputs), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("function", "shapes"), CASES)
def test_second_derivatives_are_those_of_torch(function, shapes):
    inputs = drawn(shapes)
    ours, theirs = (outcome(f, inputs, twice=True) for f in (in_c(function), function.plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("function", "shapes"), CASES)
def test_single_precision_repeats_bit_for_bit_and_is_as_exact_as_torch(function, shapes):
    inputs = drawn(shapes, torch.float32)
    first, second = (outcome(in_c(function), inputs) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    exact = outcome(function.plain, [v.detach().double().requires_grad_() for v in inputs])
    for ours, true in zip(first, exact, strict=True):
        torch.testing.assert_close(ours.double(), true, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("function", "shapes"), CASES)
def test_what_is_not_finite_stays_so(function, shapes):
    for value in (float("nan"), float("inf")):
        inputs = [v.detach() for v in drawn(shapes, torch.float32)]
        inputs[0][0, 0, 3] = value
        ours, theirs = one_pass.run(function, *inputs), function.plain(*inputs)
        assert torch.equal(ours.isnan(), theirs.isnan())
        assert torch.equal(ours.isinf(), theirs.isinf())


def test_what_torch_does_with_threads_or_another_precision_stays_with_torch():
    x = torch.randn(2, 3, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        one_pass.gated("silu", x, x)
    assert scan.report() == []
    torch.set_num_threads(2)
    one_pass.gated("silu", x, x)
    assert scan.report() == []
    scan.use("eager")
    torch.set_num_threads(1)
    one_pass.gated("silu", x, x)
    assert scan.report() == []


@pytest.mark.parametrize(("bias", "bent"), [(True, False), (False, True)])
def test_a_short_convolution_is_torch_s_grouped_one(bias, bent):
    torch.manual_seed(0)
    ours = ShortConvolution(6, 4, bias=bias, bent=bent).double()
    x = torch.randn(2, 11, 6, dtype=torch.float64)
    expected = ours.convolve(F.pad(x.transpose(1, 2), (3, 0))).transpose(1, 2)
    expected = F.silu(expected) if bent else expected
    torch.testing.assert_close(ours(x)[0], expected)
    parts, state = [], None
    for cut in (x[:, :2], x[:, 2:3], x[:, 3:]):
        y, state = ours(cut, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), expected)


@pytest.mark.parametrize("shape", [(4, 7), (2, 5, 7), (2, 3, 5, 7)])
def test_a_norm_of_rows_is_torch_s(shape):
    ours, theirs = RowNorm(7, eps=1e-5), nn.RMSNorm(7, eps=1e-5)
    torch.nn.init.uniform_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs(x))
