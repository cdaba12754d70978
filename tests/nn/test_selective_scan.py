"""The selective scan in C gives what the plain scan gives, with all of its derivatives."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rnnbench.nn import scan
from rnnbench.nn.linear import selective
from rnnbench.nn.linear.selective import plain, selective_scan
from rnnbench.nn.linear.selective_source import CHUNK, LANES
from rnnbench.nn.scan.unsupported import Unsupported

NAMES = ("x", "step", "b", "c", "rate", "start")


@pytest.fixture(autouse=True)
def _own_choice():
    scan.use()
    yield
    scan.use()


def inputs_of(rows, steps, width, units, dtype=torch.float64):
    torch.manual_seed(3)
    values = (
        torch.randn(rows, steps, width), torch.rand(rows, steps, width),
        torch.randn(rows, steps, units), torch.randn(rows, steps, units),
        -torch.rand(width, units) * units, torch.randn(rows, width, units),
    )  # fmt: skip
    return [v.to(dtype).requires_grad_() for v in values]


def outcome(function, inputs, twice=False):
    y, end = function(*inputs)
    loss = (y * torch.cos(torch.arange(y.numel()).view_as(y))).sum() + (end**2).sum()
    gradients = torch.autograd.grad(loss, inputs, create_graph=twice)
    if not twice:
        return [y, end, *gradients]
    return torch.autograd.grad(sum((g**2).sum() for g in gradients), inputs)


@pytest.mark.parametrize(
    ("rows", "steps", "width", "units"),
    [
        (1, 2, 1, 1),
        (2, CHUNK, LANES, 3),
        (2, CHUNK + 1, LANES + 1, 3),
        (3, 3 * CHUNK - 1, 3 * LANES - 2, 5),
        (2, 300, 7, 16),
    ],
)
def test_outputs_and_all_gradients_are_those_of_the_plain_scan(rows, steps, width, units):
    inputs = inputs_of(rows, steps, width, units)
    computed = outcome(selective_scan, inputs)
    assert [(r["cell"], r["tier"]) for r in scan.report()] == [("selective scan", "c")]
    torch.testing.assert_close(computed, outcome(plain, inputs), rtol=1e-10, atol=1e-11)


def test_single_precision_is_as_exact_as_its_sums_allow():
    inputs = inputs_of(2, 100, 40, 16, torch.float32)
    exact = outcome(plain, [v.detach().double().requires_grad_() for v in inputs])
    for ours, theirs, true in zip(
        outcome(selective_scan, inputs), outcome(plain, inputs), exact, strict=True
    ):
        scale = true.abs().max()
        error, allowed = ((v - true).abs().max() / scale for v in (ours, theirs))
        assert error <= 4 * allowed + 1e-6


def test_second_derivatives_are_those_of_the_plain_scan():
    inputs = inputs_of(2, CHUNK + 2, 5, 3)
    ours, theirs = (outcome(f, inputs, twice=True) for f in (selective_scan, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_the_same_input_gives_the_same_bits():
    inputs = inputs_of(2, 70, 20, 4, torch.float32)
    first, second = (outcome(selective_scan, inputs) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_only_what_asks_for_it_gets_a_gradient():
    inputs = [v.detach() for v in inputs_of(2, 40, 6, 3)]
    y, _ = selective_scan(*inputs)
    assert not y.requires_grad
    inputs[2].requires_grad_()
    (alone,) = torch.autograd.grad(selective_scan(*inputs)[0].sum(), inputs[2])
    (expected,) = torch.autograd.grad(plain(*inputs)[0].sum(), inputs[2])
    torch.testing.assert_close(alone, expected, rtol=1e-10, atol=1e-11)


def test_what_is_not_finite_comes_through():
    inputs = [v.detach() for v in inputs_of(1, 40, 20, 3, torch.float32)]
    inputs[0][0, 5, 18] = float("nan")
    y, end = selective_scan(*inputs)
    assert y[0, 5:, 18].isnan().all()
    assert end[0, 18].isnan().all()
    assert y[0, :, :18].isfinite().all()


def test_the_plain_scan_runs_where_it_is_asked_for_or_c_cannot(monkeypatch):
    inputs = inputs_of(2, 40, 6, 3)
    scan.use("eager")
    expected = outcome(selective_scan, inputs)
    assert scan.report()[0]["tier"] == "eager"

    def fails(*arguments):
        raise Unsupported("no C compiler was found")

    monkeypatch.setattr(selective, "_library", fails)
    selective.agreed.cache_clear()
    scan.use()
    assert all(map(torch.equal, outcome(selective_scan, inputs), expected))
    (row,) = scan.report()
    assert (row["tier"], row["reason"]) == ("eager", "no C compiler was found")
    selective.agreed.cache_clear()


def test_a_kernel_that_differs_is_not_used_and_it_is_said(monkeypatch):
    wrong = selective.source(3).replace("into[j] * bt[i]", "into[j]")
    assert wrong != selective.source(3)
    monkeypatch.setattr(selective, "source", lambda units: wrong)
    for cached in (selective.agreed, selective._library):
        cached.cache_clear()
    inputs = inputs_of(2, 40, 6, 3)
    with pytest.warns(RuntimeWarning, match="selective scan does not run in C: y differs by"):
        computed = outcome(selective_scan, inputs)
    for cached in (selective.agreed, selective._library):
        cached.cache_clear()
    assert all(map(torch.equal, computed, outcome(plain, inputs)))


def test_what_counts_operators_sees_them():
    inputs = inputs_of(2, 12, 4, 3)
    with FlopCounterMode(display=False) as counter:
        selective_scan(*inputs)
    assert counter.get_total_flops() > 0
    assert scan.report()[0]["reason"] == "something looks into its operators"
