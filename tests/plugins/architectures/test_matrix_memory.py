"""xLSTM, DeltaNet and RetNet against loops over the papers' equations; steps against one pass."""

import math

import pytest
import torch

from rnnbench.contract import Refusal
from rnnbench.registry.registry import load
from rnnbench.testing import ArchitectureLaws
from rnnbench_architectures.deltanet import DeltaMixer, DeltaNet
from rnnbench_architectures.retnet import Retention, RetNet
from rnnbench_architectures.xlstm import XLSTM, MLSTMMixer, SLSTMCell
from rnnbench_tricks.zoneout import Zoneout


class TestXLSTM(ArchitectureLaws):
    tiny = XLSTM(hidden=8, heads=2)


class TestDeltaNet(ArchitectureLaws):
    tiny = DeltaNet(hidden=4, layers=1, heads=2, expand=1)


class TestRetNet(ArchitectureLaws):
    tiny = RetNet(hidden=4, layers=1, heads=2, expand=1)


def drawn(*shape, seed=3):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


SETTINGS = {
    "mingru": {"hidden": 4}, "minlstm": {"hidden": 4}, "mgu": {"hidden": 4},
    "indrnn": {"hidden": 4}, "ran": {"hidden": 4}, "sru": {"hidden": 4, "peephole": False},
    "qrnn": {"hidden": 4}, "hawk": {"hidden": 4}, "lru": {"hidden": 4, "units": 3},
    "s4d": {"hidden": 4, "units": 3}, "mamba": {"hidden": 4, "units": 3},
    "xlstm": {"hidden": 8, "heads": 2}, "deltanet": {"hidden": 4, "heads": 2},
    "retnet": {"hidden": 4, "heads": 2},
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", SETTINGS)
def test_one_pass_over_many_blocks_equals_steps(name, dtype):
    torch.manual_seed(0)
    backbone = load("architectures", name)(**SETTINGS[name]).build(3, causal=True).to(dtype)
    steps = 130
    x, state, outputs = drawn(2, steps, 3).to(dtype), None, []
    with torch.no_grad():
        whole, _ = backbone(x)
        for t in range(steps):
            y, state = backbone(x[:, t : t + 1], state)
            outputs.append(y)
    # Each CPU adds in its own order: a sum of `steps` terms is off by as many roundings of the
    # largest number in it, and what follows (deltanet solves a system of a block's rows, a norm
    # divides) makes some times as much of that. float64 tells a fault from rounding.
    largest = max(float(whole.abs().max()), float(x.abs().max()))
    gap = 32 * steps * torch.finfo(dtype).eps * largest
    torch.testing.assert_close(torch.cat(outputs, 1), whole, atol=gap, rtol=0)


# --- xLSTM


def test_slstm_is_the_recurrence_without_its_stabiliser():
    torch.manual_seed(0)
    cell = SLSTMCell(3, 4).double()
    with torch.no_grad():
        cell.weight_h.copy_(drawn(16, 4))  # it starts at 0
    x = drawn(2, 12, 3)
    h, c, n, expected = (torch.zeros(2, 4).double() for _ in range(3)), None, None, []
    h, c, n = h
    for t in range(12):
        gates = x[:, t] @ cell.weight_x.T + cell.bias_x + h @ cell.weight_h.T + cell.bias_h
        i, f, z, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(z)
        n = torch.sigmoid(f) * n + torch.exp(i)
        h = torch.sigmoid(o) * c / n
        expected.append(h)
    torch.testing.assert_close(cell(x)[0], torch.stack(expected, 1), atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [-300.0, 300.0])
def test_slstm_stays_finite_where_exp_does_not(size):
    cell = SLSTMCell(1, 2)
    x = torch.full((1, 5, 1), 1.0, requires_grad=True)
    with torch.no_grad():
        cell.weight_x[:2] = size  # of the input gate: exp(±300) is beyond float32
    y, _ = cell(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert y.any()
    assert x.grad.isfinite().all()


def test_zoneout_keeps_h_of_an_slstm_and_no_memory_of_another_scale():
    cell = Zoneout(rate=1.0, cell_rate=1.0).cell(SLSTMCell(3, 4)).eval()
    y, (h, c, n, _) = cell(torch.randn(2, 5, 3))
    assert not y.any()
    assert not h.any()
    assert c.all()
    assert (n > 0).all()


@pytest.mark.parametrize("steps", [3, 64, 100])
def test_mlstm_is_the_recurrence_without_its_stabiliser(steps):
    q, k, v = (drawn(1, 2, steps, 4, seed=i) for i in range(3))
    i, f = 2 * drawn(1, 2, steps, seed=4), drawn(1, 2, steps, seed=5) + 1
    c, n, expected = torch.zeros(2, 4, 4).double(), torch.zeros(2, 4).double(), []
    for t in range(steps):
        for head in range(2):
            kept, written = torch.sigmoid(f[0, head, t]), torch.exp(i[0, head, t])
            key = k[0, head, t] / math.sqrt(4)
            c[head] = kept * c[head] + written * torch.outer(v[0, head, t], key)
            n[head] = kept * n[head] + written * key
        top = torch.einsum("hvk,hk->hv", c, q[0, :, t])
        bottom = torch.einsum("hk,hk->h", n, q[0, :, t]).abs().clamp(min=1)
        expected.append(top / bottom[:, None])
    h, _ = MLSTMMixer.run(q, k, v, i, f, MLSTMMixer.empty(k))
    torch.testing.assert_close(h[0], torch.stack(expected, 1), atol=1e-10, rtol=1e-10)


def test_mlstm_stays_finite_where_exp_does_not():
    q, k, v = (drawn(1, 1, 8, 4, seed=i).float() for i in range(3))
    for size in (-300.0, 300.0):
        gate = torch.full((1, 1, 8), size, requires_grad=True)
        h, _ = MLSTMMixer.run(q, k, v, gate, gate, MLSTMMixer.empty(k))
        h.sum().backward()
        assert h.isfinite().all()
        assert gate.grad.isfinite().all()


def test_blocks_of_xlstm_are_those_that_are_asked_for():
    def kinds(**settings):
        layers = XLSTM(hidden=8, heads=2, **settings).build(3, causal=True).layers[1:-1]
        return "".join(type(part.part).__name__[0] for part in layers)

    assert kinds(layers=3) == "MSEM"  # an sLSTM is followed by a map of each step
    assert kinds(layers=2, blocks="slstm") == "SESE"
    assert kinds(layers=2, blocks="mlstm") == "MM"
    with pytest.raises(Refusal, match="needs two kinds of block, and layers = 1"):
        XLSTM(layers=1)


@pytest.mark.parametrize("cls", [XLSTM, DeltaNet, RetNet])
def test_heads_that_do_not_share_the_width_are_refused(cls):
    with pytest.raises(Refusal, match=r"hidden = 10 is no multiple of"):
        cls(hidden=10, heads=4)
    with pytest.raises(Refusal, match="leave one unit a head"):
        cls(hidden=4, heads=4)


# --- DeltaNet


@pytest.mark.parametrize("steps", [3, 32])
def test_the_delta_rule_is_a_loop_over_its_equation(steps):
    q, v = drawn(1, 2, steps, 4), drawn(1, 2, steps, 4, seed=1)
    k = torch.nn.functional.normalize(drawn(1, 2, steps, 4, seed=2), dim=-1)
    b, start = torch.sigmoid(drawn(1, 2, steps, 1, seed=4)), drawn(1, 2, 4, 4, seed=5)
    o, last = DeltaMixer.run(q, k, v, b, start)
    for head in range(2):
        s, expected = start[0, head].T, []
        for t in range(steps):
            key, beta = k[0, head, t], b[0, head, t]
            s = s @ (torch.eye(4).double() - beta * torch.outer(key, key))
            s = s + beta * torch.outer(v[0, head, t], key)
            expected.append(s @ q[0, head, t])
        torch.testing.assert_close(o[0, head], torch.stack(expected), atol=1e-11, rtol=0)
        torch.testing.assert_close(last[0, head], s.T, atol=1e-11, rtol=0)


def test_a_key_that_is_written_again_gives_its_new_value_alone():
    k = torch.nn.functional.normalize(drawn(1, 1, 2, 4), dim=-1)[:, :, [0, 1, 0, 0]]
    v, b = drawn(1, 1, 4, 4, seed=1), torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 4, 1).double()
    o, _ = DeltaMixer.run(k, k, v, b, torch.zeros(1, 1, 4, 4).double())
    torch.testing.assert_close(o[0, 0, 3], v[0, 0, 2])


# --- RetNet


def test_retention_is_a_sum_over_the_past_that_fades_and_turns():
    torch.manual_seed(0)
    part = Retention(8, 2).double()
    q, k, v = (drawn(1, 2, 70, 4, seed=i) for i in range(3))
    y, _ = part.run(q[:, :, :40], k[:, :, :40], v[:, :, :40], (torch.zeros(1, 2, 4, 4).double(),))
    z, _ = part.run(
        q[:, :, 40:], k[:, :, 40:], v[:, :, 40:],
        part.run(q[:, :, :40], k[:, :, :40], v[:, :, :40], (torch.zeros(1, 2, 4, 4).double(),))[1],
    )  # fmt: skip
    found = torch.cat([y, z], 2)
    angle = torch.tensor([1.0, 1 / 10000]).double()
    for head, gamma in enumerate((1 - 1 / 32, 1 - 1 / 64)):
        for t in (0, 1, 39, 40, 69):
            expected = torch.zeros(4).double()
            for s in range(t + 1):
                pairs = [torch.view_as_complex(x[0, head, at].view(2, 2).contiguous())
                         for x, at in ((q, t), (k, s))]  # fmt: skip
                turned = pairs[0] * torch.exp(1j * angle * (t - s)) * pairs[1].conj()
                expected += gamma ** (t - s) * turned.real.sum() * v[0, head, s]
            torch.testing.assert_close(found[0, head, t], expected, atol=1e-5, rtol=1e-5)
