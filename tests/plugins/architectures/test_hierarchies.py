"""Clockwork, hierarchical and HM-LSTM against loops over single units, written from the papers."""

import math

import pytest
import torch

from rnnbench.contract import Moment, Refusal
from rnnbench.testing import ArchitectureLaws
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.clockwork import Clockwork, ClockworkCell
from rnnbench_architectures.hierarchical import Hierarchical
from rnnbench_architectures.hm_lstm import HMLSTM, HMLSTMCell
from rnnbench_tricks.zoneout import Zoneout, ZoneoutCell


class TestClockwork(ArchitectureLaws):
    tiny = Clockwork(hidden=6, modules=3)


class TestHierarchical(ArchitectureLaws):
    tiny = Hierarchical(hidden=4, every=2, lower="lstm", upper="gru")


class TestHMLSTM(ArchitectureLaws):
    tiny = HMLSTM(hidden=4, levels=2)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def product(matrix, vector):
    """Matrix times vector, as lists of floats."""
    return [sum(w * v for w, v in zip(row, vector, strict=True)) for row in matrix]


def drawn(*shape, seed=3):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def redraw(module, scale):
    """The module in float64 with weights of some size, so that no term vanishes."""
    module = module.double()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(scale * drawn(*p.shape, seed=i))
    return module


# --- clockwork


def test_two_steps_of_clockwork_by_hand():
    cell = ClockworkCell(1, 2, (1, 2)).double()
    with torch.no_grad():
        cell.weight_x.copy_(torch.tensor([[1.0], [2.0]]))
        cell.weight_h[0].copy_(torch.tensor([[0.5, -1.0]]))  # the fast unit reads both
        cell.weight_h[1].copy_(torch.tensor([[0.25]]))  # the slow one reads itself
    y, (h, t) = cell(torch.tensor([[[1.0], [3.0], [1.0]]]).double())
    fast, slow = math.tanh(1.0), math.tanh(2.0)
    assert y[0, 0].tolist() == pytest.approx([fast, slow], abs=1e-14)
    fast = math.tanh(3.0 + 0.5 * fast - slow)
    assert y[0, 1].tolist() == pytest.approx([fast, slow], abs=1e-14)  # t = 1: slow keeps
    fast, slow = math.tanh(1.0 + 0.5 * fast - slow), math.tanh(2.0 + 0.25 * slow)
    assert y[0, 2].tolist() == pytest.approx([fast, slow], abs=1e-14)
    assert torch.equal(h, y[:, -1])
    assert t.tolist() == [[3]]


@pytest.mark.parametrize("periods", [(1, 2, 4), (1, 3, 3), (2, 3, 5)])
def test_clockwork_equals_a_loop_over_units(periods):
    size, steps = 2, 11
    units = size * len(periods)
    every = [periods[n // size] for n in range(units)]
    full, w_x, b = drawn(units, units, seed=1), drawn(units, 3, seed=2), drawn(units, seed=4)
    cell = ClockworkCell(3, units, periods).double()
    with torch.no_grad():
        cell.weight_x.copy_(w_x)
        cell.bias.copy_(b)
        for i, period in enumerate(periods):
            slower = [m for m in range(units) if every[m] >= period]
            cell.weight_h[i].copy_(full[i * size : (i + 1) * size][:, slower])
    x = drawn(1, steps, 3)
    h, expected = [0.0] * units, []
    for t in range(steps):
        old = list(h)
        for n in range(units):
            if t % every[n] == 0:
                s = float(b[n]) + sum(float(w_x[n, d] * x[0, t, d]) for d in range(3))
                for m in range(units):
                    if every[m] >= every[n]:
                        s += float(full[n, m]) * old[m]
                h[n] = math.tanh(s)
        expected.append(list(h))
    assert torch.allclose(cell(x)[0][0], torch.tensor(expected).double(), atol=1e-13)


def test_fast_clockwork_modules_never_reach_slow_ones():
    cell = redraw(ClockworkCell(2, 6, (1, 2, 4)), 1.0)
    h, t = cell.initial(drawn(1, 2))
    x = drawn(1, 9, 2)
    for module in range(3):
        moved = h.clone()
        moved[:, 2 * module : 2 * module + 2] += 1.0
        gap = (cell(x, (moved, t + 1))[0] - cell(x, (h, t + 1))[0])[0].abs().amax(0)
        assert gap[: 2 * module + 2].all()  # itself and all faster ones
        assert not gap[2 * module + 2 :].any()


def test_clockwork_has_no_parameters_below_the_triangle():
    hidden, modules, d_in = 12, 4, 5
    backbone = Clockwork(hidden=hidden, modules=modules).build(d_in, causal=True)
    blocks = (hidden // modules) ** 2 * modules * (modules + 1) // 2
    assert sum(p.numel() for p in backbone.parameters()) == hidden * d_in + hidden + blocks


def test_clockwork_refuses_what_cannot_be_shared_out():
    with pytest.raises(Refusal, match="multiple of 4"):
        Clockwork(hidden=10, modules=4)
    with pytest.raises(Refusal, match="2 periods for 3 modules"):
        Clockwork(hidden=6, modules=3, periods=(1, 2))
    with pytest.raises(Refusal, match="do not rise"):
        Clockwork(hidden=6, modules=3, periods=(4, 2, 1))


# --- hierarchical


def elman_step(cell, x, h):
    """One unit after the other."""
    w_x, w_h, b_x, b_h = (
        p.tolist() for p in (cell.weight_x, cell.weight_h, cell.bias_x, cell.bias_h)
    )
    return [
        math.tanh(a + b + p + q)
        for a, b, p, q in zip(product(w_x, x), product(w_h, h), b_x, b_h, strict=True)
    ]


@pytest.mark.parametrize("every", [1, 2, 3, 20])
def test_hierarchical_equals_a_loop_over_units(every):
    net = redraw(Hierarchical(hidden=3, every=every).build(2, causal=True), 0.5)
    x = drawn(1, 10, 2)
    low, high, expected = [0.0] * 3, [0.0] * 3, []
    for t in range(1, 11):
        low = elman_step(net.lower, x[0, t - 1].tolist() + high, low)
        if t % every == 0:
            high = elman_step(net.upper, low, high)
        expected.append(low + high)
    assert torch.allclose(net(x)[0][0], torch.tensor(expected).double(), atol=1e-13)


@pytest.mark.parametrize(
    "cells", [("lstm", "gru"), ("gru", "elman"), ("clockwork:modules=2", "lstm")]
)
def test_hierarchical_blocks_equal_single_steps_gradients_included(cells):
    lower, upper = cells
    net = Hierarchical(hidden=4, every=3, lower=lower, upper=upper).build(2, causal=True).double()
    x, results = drawn(2, 11, 2), []
    for path in (net.forward, lambda x, s: net.by_steps(x, s)):
        net.zero_grad()
        y, _ = path(x, net.initial(x[:, 0]))
        (y * drawn(*y.shape, seed=8)).sum().backward()
        results.append([y, *(p.grad for p in net.parameters())])
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_hierarchical_rows_may_stand_at_different_steps():
    net = Hierarchical(hidden=4, every=3).build(2, causal=True).double()
    x = drawn(2, 5, 2)
    states = [net(drawn(1, done, 2, seed=done))[1] for done in (1, 2)]
    alone = [net(x[i : i + 1], s)[0] for i, s in enumerate(states)]

    def joined(a, b):
        if isinstance(a, tuple):
            return tuple(joined(p, q) for p, q in zip(a, b, strict=True))
        return torch.cat([a, b])

    assert torch.allclose(net(x, joined(*states))[0], torch.cat(alone), atol=1e-14)


def test_hierarchical_refuses_a_level_that_is_no_cell():
    with pytest.raises(Refusal, match="transformer"):
        Hierarchical(hidden=8, upper="transformer").build(2, causal=True)


def test_cell_tricks_reach_both_levels_of_the_hierarchy():
    tricks = TrickFold([Zoneout(rate=0.3)])
    model = assemble(Hierarchical(hidden=4, every=2), TOYS["lm"], tricks).eval()
    assert isinstance(model.backbone.lower, ZoneoutCell)
    assert isinstance(model.backbone.upper, ZoneoutCell)
    assert model(TOYS["lm"].example()).out.isfinite().all()


# --- HM-LSTM


def hm_lstm_loop(cell, x, slope):
    """Outputs, and how often each operation was chosen, from the paper's case distinctions."""
    n, levels = cell.width, cell.levels
    rec, down, up = [], [], [None]
    for level, w in enumerate(cell.weight_h):
        parts = [block.tolist() for block in w.split(n, 1)]
        rec.append(parts[0])
        if level < levels - 1:
            down.append(parts[1])
        if level:
            up.append(parts[-1])
    bias = [b.tolist() for b in cell.bias]
    w_x, w_gate, w_out = (p.tolist() for p in (cell.weight_x, cell.weight_gate, cell.weight_out))
    h = [[0.0] * n for _ in range(levels)]
    c = [[0.0] * n for _ in range(levels)]
    z = [0.0] * levels
    outputs, chosen = [], {"update": 0, "copy": 0, "flush": 0}
    for x_t in x.tolist():
        h_old, c_old, z_old = [list(v) for v in h], [list(v) for v in c], list(z)
        below, fed = 1.0, x_t
        for level in range(levels):
            s = product(rec[level], h_old[level])
            if level < levels - 1 and z_old[level] == 1:
                s = [a + b for a, b in zip(s, product(down[level], h_old[level + 1]), strict=True)]
            if below == 1:
                w = w_x if level == 0 else up[level]
                s = [a + b for a, b in zip(s, product(w, fed), strict=True)]
            s = [a + b for a, b in zip(s, bias[level], strict=True)]
            f, i, o, g = (s[k * n : (k + 1) * n] for k in range(4))
            if level < levels - 1 and z_old[level] == 1:
                operation = "flush"
                c[level] = [sigmoid(a) * math.tanh(b) for a, b in zip(i, g, strict=True)]
            elif below == 1:
                operation = "update"
                c[level] = [
                    sigmoid(p) * q + sigmoid(a) * math.tanh(b)
                    for p, q, a, b in zip(f, c_old[level], i, g, strict=True)
                ]
            else:
                operation = "copy"
            chosen[operation] += 1
            if operation != "copy":
                h[level] = [sigmoid(a) * math.tanh(b) for a, b in zip(o, c[level], strict=True)]
            if level < levels - 1:
                soft = max(0.0, min(1.0, (slope * s[4 * n] + 1) / 2))
                z[level] = below = 1.0 if soft > 0.5 else 0.0
            fed = h[level]
        together = [v for level in h for v in level]
        total = [0.0] * n
        for level in range(levels):
            gate = sigmoid(product([w_gate[level]], together)[0])
            block = [row[level * n : (level + 1) * n] for row in w_out]
            total = [a + gate * b for a, b in zip(total, product(block, h[level]), strict=True)]
        outputs.append([max(0.0, v) for v in total])
    return torch.tensor(outputs).double(), chosen


@pytest.mark.parametrize("levels", [2, 3])
def test_hm_lstm_equals_a_loop_over_its_case_distinctions(levels):
    cell = redraw(HMLSTMCell(3, 4, levels, 5.0, 1.0), 0.8)
    cell.schedule(Moment(0, 0.25))
    with torch.no_grad():
        for bias in cell.bias[:-1]:
            bias[-1] = -0.5  # so that levels also stand still
    x = drawn(1, 40, 3)
    expected, chosen = hm_lstm_loop(cell, x[0], slope=2.0)
    assert min(chosen.values()) >= 5  # every operation is really compared
    assert torch.allclose(cell(x)[0][0], expected, atol=1e-12)


def test_a_boundary_is_hard_forwards_and_passes_the_gradient_of_the_hard_sigmoid():
    cell = HMLSTMCell(1, 1, 2, 5.0, 1.0).double()
    cell.schedule(Moment(0, 0.5))
    s = torch.tensor([[-1.0], [-0.1], [0.1], [1.0]], dtype=torch.float64, requires_grad=True)
    z = cell.boundary(s)
    z.sum().backward()
    assert z.flatten().tolist() == [0, 0, 1, 1]
    assert cell.slope.item() == 3
    assert s.grad.flatten().tolist() == [0, 1.5, 1.5, 0]  # a / 2 where |a s| < 1


def test_the_slope_follows_the_papers_schedule_and_is_saved():
    epochs = 150
    cell = HMLSTM(hidden=2, anneal=100 / epochs).build(2, causal=True)
    assert cell.slope.item() == 1
    for epoch in (0, 10, 50, 100, 120, 150):
        cell.schedule(Moment(0, epoch / epochs))
        assert cell.slope.item() == pytest.approx(min(5, 1 + 0.04 * epoch), rel=1e-6)
    fresh = HMLSTM(hidden=2).build(2, causal=True)
    fresh.load_state_dict(cell.state_dict())
    assert fresh.slope.item() == 5
    assert HMLSTM(hidden=2, anneal=0.0).build(2, causal=True).slope.item() == 5


def test_a_level_whose_boundaries_never_close_below_only_copies():
    cell = redraw(HMLSTMCell(2, 3, 2, 1.0, 0.0), 0.5)
    with torch.no_grad():
        cell.bias[0][-1] = -100.0  # the lower level finds no boundary
    state = cell.initial(drawn(1, 2))
    state = (state[0] + 0.5, state[1] + 0.5, state[2])
    _, (h, c, z) = cell(drawn(1, 6, 2), state)
    assert h[:, 3:].tolist() == [[0.5] * 3]
    assert c[:, 3:].tolist() == [[0.5] * 3]
    assert not z.any()
