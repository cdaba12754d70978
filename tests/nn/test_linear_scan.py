"""The scan of linear recurrences against a loop, and the cells that are made of it."""

import argparse
import re

import pytest
import torch

from rnnbench.benchmarks import linear
from rnnbench.contract import Refusal
from rnnbench.nn import linear_scan
from rnnbench.testing import ArchitectureLaws
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.training.dry_run import check
from rnnbench_architectures.hawk import Hawk
from rnnbench_architectures.mingru import MinGRU, MinGRUCell
from rnnbench_architectures.minlstm import MinLSTM, MinLSTMCell
from rnnbench_tricks.omega import Omega
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout


class TestMinGRU(ArchitectureLaws):
    tiny = MinGRU(hidden=4)


class TestMinLSTM(ArchitectureLaws):
    tiny = MinLSTM(hidden=4, candidate="linear")


def drawn(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def by_loop(a, b, start):
    a, states = a.expand_as(b), []
    for t in range(b.shape[1]):
        start = a[:, t] * start + b[:, t]
        states.append(start)
    return torch.stack(states, 1)


@pytest.mark.parametrize("width", [3, 9000])
@pytest.mark.parametrize("steps", [1, 2, 31, 32, 50, 100])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_scan_and_its_gradients_are_those_of_the_loop(dtype, steps, width):
    a = (0.7 * drawn(2, steps, width, dtype=dtype)).requires_grad_()
    b = drawn(2, steps, width, dtype=dtype, seed=2).requires_grad_()
    start = drawn(2, width, dtype=dtype, seed=3).requires_grad_()
    weight = drawn(2, steps, width, dtype=dtype, seed=4)
    found = []
    for run in (linear_scan, by_loop):
        h = run(a, b, start)
        loss = torch.view_as_real(h * weight).sum() if h.is_complex() else (h * weight).sum()
        found.append((h, *torch.autograd.grad(loss, (a, b, start))))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_first_and_second_derivatives_are_those_of_finite_differences(dtype):
    given = [drawn(*shape, dtype=dtype, seed=i).requires_grad_()
             for i, shape in enumerate([(1, 36, 1), (1, 36, 1), (1, 1)])]  # fmt: skip
    given[0] = (0.5 * given[0].detach()).requires_grad_()
    assert torch.autograd.gradcheck(linear_scan, given)
    assert torch.autograd.gradgradcheck(linear_scan, given)


@pytest.mark.parametrize(("steps", "cut"), [(5, 2), (100, 1), (100, 37), (100, 99)])
def test_two_chunks_with_the_carried_state_equal_one_pass(steps, cut):
    a, b, start = torch.sigmoid(drawn(2, steps, 3)), drawn(2, steps, 3, seed=2), drawn(2, 3, seed=3)
    whole = linear_scan(a, b, start)
    first = linear_scan(a[:, :cut], b[:, :cut], start)
    second = linear_scan(a[:, cut:], b[:, cut:], first[:, -1])
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-12, rtol=0)


def test_factors_of_zero_and_of_one_are_exact():
    b = torch.ones(1, 1000, 1)
    a = torch.ones(1, 1000, 1)
    a[:, 500] = 0.0  # a division by the product of factors would give NaN from here on
    h = linear_scan(a, b).flatten()
    assert h.tolist() == [*range(1, 501), *range(1, 501)]


def test_long_products_that_underflow_lose_nothing():
    b = drawn(1, 4096, 2).float()
    a = torch.full_like(b, 0.01)
    exact = by_loop(a.double(), b.double(), torch.zeros(1, 2, dtype=torch.float64))
    torch.testing.assert_close(linear_scan(a, b).double(), exact, atol=1e-6, rtol=1e-5)


def test_factors_that_stay_fixed_may_be_given_once():
    b = drawn(2, 40, 3)
    a = torch.rand(3, dtype=torch.float64, requires_grad=True)
    h = linear_scan(a, b)
    torch.testing.assert_close(h, by_loop(a, b, torch.zeros(2, 3, dtype=torch.float64)))
    (ours,) = torch.autograd.grad(h.sum(), a)
    (theirs,) = torch.autograd.grad(by_loop(a, b, torch.zeros_like(b[:, 0])).sum(), a)
    torch.testing.assert_close(ours, theirs)


def test_half_precision_is_summed_in_single():
    b = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    h = linear_scan(torch.ones_like(b), b)
    assert h.dtype is torch.bfloat16
    assert h[0, -1].item() == 1000  # bfloat16 cannot count beyond 256


def test_what_is_no_recurrence_is_refused_with_its_shapes():
    with pytest.raises(ValueError, match=r"\(2, 0, 3\) has no time steps"):
        linear_scan(torch.ones(2, 0, 3), torch.ones(2, 0, 3))
    with pytest.raises(ValueError, match=r"shapes \(2, 4, 4\) and \(2, 4, 3\)"):
        linear_scan(torch.ones(2, 4, 4), torch.ones(2, 4, 3))


# --- minimal cells


def test_mingru_is_the_paper_s_parallel_form_in_log_space():
    """Appendix B: log h = a* + logcumsumexp(log b - a*), a* the cumulative sum of log(1 - z)."""
    cell = MinGRUCell(3, 4, "positive").double()
    x = drawn(2, 60, 3)
    k, c = (x @ cell.weight_x.T + cell.bias_x).chunk(2, -1)
    log_g = torch.where(c >= 0, (torch.relu(c) + 0.5).log(), -torch.nn.functional.softplus(-c))
    total = -torch.nn.functional.softplus(k).cumsum(1)
    log_b = -torch.nn.functional.softplus(-k) + log_g
    expected = (total + torch.logcumsumexp(log_b - total, 1)).exp()
    torch.testing.assert_close(cell(x)[0], expected, atol=1e-12, rtol=1e-12)


def test_two_steps_of_minlstm_by_hand():
    cell = MinLSTMCell(1, 1, "linear").double()
    with torch.no_grad():
        cell.weight_x.copy_(torch.tensor([[1.0], [-1.0], [2.0]]))  # f, i, candidate
        cell.bias_x.zero_()
    y, _ = cell(torch.tensor([[[1.0], [2.0]]]).double())
    # x = 1: σ(1) = 0.731059, σ(-1) = 0.268941, which sum to 1:  h = 0.268941 · 2 = 0.537883
    # x = 2: σ(2) = 0.880797, σ(-2) = 0.119203: h = 0.880797 · 0.537883 + 0.119203 · 4 = 0.950577
    assert y.flatten().tolist() == pytest.approx([0.537883, 0.950577], abs=2e-6)


def test_the_gates_of_minlstm_stay_finite_where_both_are_shut():
    cell = MinLSTMCell(1, 1, "positive")
    with torch.no_grad():
        cell.weight_x.fill_(0.0)
        cell.bias_x.copy_(torch.tensor([-200.0, -200.0, 0.5]))  # σ is 0 in single precision
    y, _ = cell(torch.zeros(1, 2, 1))
    assert y.flatten().tolist() == pytest.approx([0.5, 0.75])


def test_zoneout_acts_on_a_linear_cell_and_a_trick_on_its_missing_product_is_refused():
    cell = MinGRUCell(3, 4, "positive").eval()
    x = drawn(2, 9, 3).float()
    still, _ = Zoneout(rate=1.0).cell(cell)(x)
    assert not still.any()
    with pytest.raises(Refusal, match="has no product by a recurrent matrix"):
        VariationalDropout().cell(cell).train()(x)


def test_omega_is_refused_where_a_step_holds_nothing_that_it_could_teach():
    with pytest.raises(Refusal, match="its gates see the input alone"):
        check(MinGRU(hidden=4), TOYS["lm"], [Omega()], batch=TOYS["lm"].example())
    check(Hawk(hidden=4), TOYS["lm"], [Omega()], batch=TOYS["lm"].example())  # its decay is learnt


# --- the benchmark


def test_the_benchmark_measures_what_it_names(capsys):
    parser = argparse.ArgumentParser()
    linear.options(parser)
    linear.run(parser.parse_args(
        ["--architectures", "minlstm", "--lengths", "64", "128", "--rounds", "1", "--steps", "32"]
    ))  # fmt: skip
    shown = capsys.readouterr().out
    assert re.search(r"minlstm +time( +[\d.]+ ms){2} +-?[\d.]+", shown)
    assert re.search(r"mingru [\d.]+ ms, nn.GRU [\d.]+ ms, ratio [\d.]+", shown)
    assert linear.growth(2.0, 8.0, [10, 20]) == pytest.approx(2.0)


@pytest.mark.slow
def test_linear_recurrences_grow_no_faster_than_their_sequences_and_mingru_beats_torch_s_gru(
    capsys,
):
    parser = argparse.ArgumentParser()
    linear.options(parser)
    linear.run(parser.parse_args([]))
    shown = capsys.readouterr().out
    print(shown)
    rows = re.findall(r"(?m)^(\S+) +(time|memory) .* +(-?[\d.]+)$", shown)
    assert len(rows) == 2 * len(linear.ARCHITECTURES)
    assert [row for row in rows if float(row[2]) > 1.1] == []
    assert "(met: below 1)" in shown
