"""Cells of which torch has a kernel, in the C tier: the same function, and the path is named."""

import pytest
import torch
from support.small_runs import small

from rnnbench.nn import scan
from rnnbench.nn.scan.c.linear import agrees
from rnnbench.nn.scan.dispatch import KERNELS
from rnnbench.nn.scan.unsupported import Unsupported
from rnnbench.registry.registry import load
from rnnbench.results.store import Store
from rnnbench.training.execute import execute

pytestmark = pytest.mark.skipif(not agrees(torch.float32), reason="no C compiler is here")
SETTINGS = [
    ("gru", {}), ("elman", {}), ("elman", {"activation": "relu"}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_choice():
    yield
    scan.use()


def cell_of(name, settings, dtype=torch.float64):
    cell = load("architectures", name)(hidden=5, **settings).build(3, causal=True).layers[0]
    return cell.to(dtype)


def outcome(cell, plain, steps=120, twice=False):
    """Return output, last state and all gradients, and what ran."""
    scan.use("auto", plain=plain)
    torch.manual_seed(2)
    dtype = cell.weight_h.dtype
    x = torch.randn(2, steps, 3, dtype=dtype, requires_grad=True)
    state = tuple(s + 0.1 for s in cell.initial(x[:, 0].detach()))
    y, last = cell(x, state)
    inputs = [x, *cell.parameters()]
    loss = (y * torch.linspace(-1, 1, y.numel(), dtype=dtype).view_as(y)).sum() + last[0].sum()
    gradients = torch.autograd.grad(loss, inputs, create_graph=twice)
    if twice:
        squares = sum((g**2).sum() for g in gradients)
        gradients = torch.autograd.grad(squares, inputs, allow_unused=True)
    (row,) = scan.report()
    return [y, *last, *gradients], row["tier"]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_the_c_tier_gives_what_torchs_kernel_gives(name, settings):
    cell = cell_of(name, settings)
    ours, ran = outcome(cell, plain=True)
    torchs, ran_before = outcome(cell, plain=False)
    assert (ran, ran_before) == ("c", "fused")
    torch.testing.assert_close(ours, torchs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_second_derivatives_are_those_of_torchs_kernel(name, settings):
    cell = cell_of(name, settings)
    ours, _ = outcome(cell, plain=True, twice=True)
    torchs, _ = outcome(cell, plain=False, twice=True)
    torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-11)


def test_the_same_input_gives_the_same_bits():
    cell = cell_of("gru", {}, torch.float32)
    first, second = (outcome(cell, plain=True)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_lstm_runs_by_torchs_kernel_which_is_as_quick():
    assert outcome(cell_of("lstm", {}), plain=True)[1] == "fused"


def test_torchs_kernel_runs_where_the_c_tier_cannot():
    cell = cell_of("gru", {})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scan.use("auto", plain=True)
        cell.float()(torch.randn(2, 8, 3))
        assert scan.report()[0]["tier"] == "fused"
    torch.set_num_threads(2)
    try:
        scan.use("auto", plain=True)
        cell(torch.randn(2, 8, 3))
        assert scan.report()[0]["tier"] == "fused"
    finally:
        torch.set_num_threads(1)


def test_torchs_kernel_runs_where_no_kernel_can_be_built_and_the_report_says_why(monkeypatch):
    def fails(*arguments):
        raise Unsupported("no C compiler is here")

    monkeypatch.setitem(KERNELS, "c", fails)
    cell = load("architectures", "gru")(hidden=7).build(3, causal=True).layers[0]
    scan.use("auto", plain=True)
    x = torch.randn(2, 8, 3)
    y, _ = cell(x)
    (row,) = scan.report()
    assert (row["tier"], row["reason"]) == ("fused", "c: no C compiler is here")
    scan.use()
    assert torch.equal(y, cell(x)[0])


def test_a_run_of_100_steps_takes_the_c_tier_and_its_record_says_so(tmp_path):
    tiers = []
    for steps in (60, 100):
        spec = small("gru", budget__steps=steps, budget__validate_every=steps)
        record = execute(spec, store=Store(tmp_path / str(steps)))
        assert record.status == "done", record.reason
        tiers.append([row["tier"] for row in record.provenance["scan"]["cells"]])
    assert tiers == [["fused"], ["c"]]
