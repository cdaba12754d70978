"""Gated cells with few products: mgu, indrnn, ran, sru and qrnn against steps worked by hand."""

import math

import pytest
import torch
from support.small_runs import run_in, small

from rnnbench.contract import Moment, Refusal
from rnnbench.nn import scan
from rnnbench.results.record import Status
from rnnbench.spec.run_spec import Optimizer
from rnnbench.testing import ArchitectureLaws
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.training.train_step import (
    TrainStep,
    TrickFold,
    assemble,
    constrain,
    make_optimizer,
)
from rnnbench_architectures.indrnn import IndRNN, IndRNNCell
from rnnbench_architectures.mgu import MGU, MGUCell
from rnnbench_architectures.qrnn import QRNN, QRNNCell
from rnnbench_architectures.ran import RAN, RANCell
from rnnbench_architectures.sru import SRU, SRUCell
from rnnbench_tricks.layer_norm import LayerNorm
from rnnbench_tricks.zoneout import Zoneout


class TestMGU(ArchitectureLaws):
    tiny = MGU(hidden=4)


class TestIndRNN(ArchitectureLaws):
    tiny = IndRNN(hidden=6)


class TestRAN(ArchitectureLaws):
    tiny = RAN(hidden=4)


class TestSRU(ArchitectureLaws):
    tiny = SRU(hidden=4, peephole=False)


class TestQRNN(ArchitectureLaws):
    tiny = QRNN(hidden=4)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def drawn(*shape, seed=3):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def redraw(module, scale=0.5):
    module = module.double()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(scale * drawn(*p.shape, seed=i))
    return module


def test_two_steps_of_mgu_by_hand():
    cell = MGUCell(1, 1)
    with torch.no_grad():
        cell.weight_x.copy_(torch.tensor([[0.5], [2.0]]))
        cell.weight_h.copy_(torch.tensor([[-1.0], [1.5]]))
        cell.bias_x.copy_(torch.tensor([0.1, -0.2]))
        cell.bias_h.zero_()
    y, _ = cell.scan(torch.tensor([[[1.0], [-0.5]]]))
    # x = 1, h = 0:  f = σ(0.6) = 0.645656, h̃ = tanh(1.8) = 0.946806, h = 0.611311
    # x = -0.5:      f = σ(-0.25 - 0.611311 + 0.1) = 0.318362
    #                h̃ = tanh(-1 + 1.5 · 0.318362 · 0.611311 - 0.2) = -0.720206
    #                h = 0.681638 · 0.611311 - 0.318362 · 0.720206 = 0.187407
    assert y.flatten().tolist() == pytest.approx([0.611311, 0.187407], abs=1e-6)


def test_a_weight_of_indrnn_that_an_update_takes_beyond_its_limit_stands_at_it_and_comes_back():
    """The authors' projection; within the step a clamp would leave it without a gradient."""
    cell = IndRNNCell(1, 2, "relu", limit=1.2, last=False)
    with torch.no_grad():
        cell.recurrent.copy_(torch.tensor([3.0, -3.0]))
    constrain(cell)
    assert cell.recurrent.tolist() == pytest.approx([1.2, -1.2])
    with torch.no_grad():
        cell.weight_x.fill_(1.0)
    y, _ = cell.scan(torch.ones(1, 2, 1))
    y.sum().backward()
    assert cell.recurrent.grad.tolist() == pytest.approx([1.0, 0.0]), "the second unit is at rest"
    free = IndRNNCell(1, 2, "relu", limit=math.inf, last=False)
    with torch.no_grad():
        free.recurrent.fill_(3.0)
    constrain(free)
    assert free.recurrent.tolist() == [3.0, 3.0]


def test_a_run_holds_limits_after_each_of_its_updates(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(IndRNNCell, "constrain", lambda cell: calls.append(torch.is_grad_enabled()))
    spec = small("indrnn", **{"architecture.layers": 1})
    _, record = run_in(tmp_path, spec)
    assert record.status == Status.DONE, record.reason
    assert calls == [False] * int(record.cost["steps"])


def test_an_update_within_a_batch_holds_the_limit_too():
    torch.manual_seed(0)
    tricks = TrickFold()
    model = assemble(IndRNN(hidden=8, layers=1, horizon=1000), TOYS["lm"], tricks)
    optimizer = make_optimizer(Optimizer(name="sgd", lr=30.0), model.parameters(), tricks)
    step = TrainStep(model, tricks, optimizer=optimizer)
    step.take(TOYS["lm"].example(), None, Moment(0, 0.0))
    step.update()
    recurrent = model.backbone.layers[0].recurrent.detach()
    assert float(recurrent.abs().max()) <= 2 ** (1 / 1000) + 1e-7
    assert not torch.equal(recurrent, torch.ones(8)), "the update moved it"


def test_three_steps_of_indrnn_by_hand():
    cell = IndRNNCell(1, 2, "relu", limit=2.0, last=False)
    with torch.no_grad():
        cell.weight_x.copy_(torch.tensor([[1.0], [-1.0]]))
        cell.recurrent.copy_(torch.tensor([0.5, 2.0]))
    y, _ = cell.scan(torch.tensor([[[1.0], [-1.0], [2.0]]]))
    assert y[0].tolist() == [[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]
    y, _ = cell.scan(torch.tensor([[[-1.0], [-1.0], [0.0]]]))
    assert y[0].tolist() == [[0.0, 1.0], [0.0, 3.0], [0.0, 6.0]]


def test_indrnn_limits_its_weights_by_the_horizon_and_starts_its_last_layer_at_one():
    lower, upper = IndRNN(hidden=50, horizon=10).build(3, causal=True).layers
    assert lower.limit == pytest.approx(2 ** (1 / 10))
    assert torch.equal(upper.recurrent, torch.ones(50))
    assert 0 <= lower.recurrent.min() < 0.2 < 0.8 < lower.recurrent.max() <= 1
    (free,) = IndRNN(hidden=5, horizon=None, layers=1).build(3, causal=True).layers
    assert free.limit == math.inf


def test_two_steps_of_ran_by_hand():
    cell = RANCell(1, 1, "tanh").double()
    with torch.no_grad():
        cell.weight_x.copy_(torch.tensor([[1.0], [-1.0], [2.0]]))  # i, f, what is added
        cell.weight_h.copy_(torch.tensor([[0.5], [1.5]]))
        cell.bias_x.zero_()
        cell.bias_h.zero_()
    y, (h, c) = cell.scan(torch.tensor([[[1.0], [0.5]]]).double())
    c1 = sigmoid(1.0) * 2.0
    h1 = math.tanh(c1)
    c2 = sigmoid(0.5 + 0.5 * h1) * 1.0 + sigmoid(-0.5 + 1.5 * h1) * c1
    assert y.flatten().tolist() == pytest.approx([h1, math.tanh(c2)], abs=1e-12)
    assert (h.item(), c.item()) == pytest.approx((math.tanh(c2), c2), abs=1e-12)


def test_what_needs_the_same_gates_of_both_products_is_refused_on_ran():
    with pytest.raises(Refusal, match="RANCell has another step"):
        LayerNorm().cell(RANCell(3, 4, "tanh"))


@pytest.mark.parametrize("make", [
    lambda: MGUCell(3, 4), lambda: IndRNNCell(3, 4, "relu", 1.01, False),
    lambda: RANCell(3, 4, "tanh"), lambda: SRUCell(3, 4, True, 0.0),
], ids=["mgu", "indrnn", "ran", "sru"])  # fmt: skip
def test_the_cell_and_zoneout_on_it_run_in_the_compiled_tier(make):
    scan.use("c")
    try:
        for cell in (make(), Zoneout(rate=0.2).cell(make())):
            x = torch.randn(2, 5, 3)
            torch.manual_seed(1)
            fast, _ = cell(x)
            torch.manual_seed(1)
            slow, _ = cell.scan(x)
            torch.testing.assert_close(fast, slow, atol=1e-6, rtol=1e-5)
    finally:
        scan.use("auto")


def test_sru_starts_as_its_authors_code_does():
    """sru/modules.py: maps of variance 1/D, of the gates with peepholes half of it, peepholes 1/2;
    the highway's map α times as large, and α only where the highway has no map."""
    torch.manual_seed(0)
    hidden, d_in = 400, 300
    alpha = math.sqrt(1 + 2 * math.exp(-3.0))
    cell = SRUCell(d_in, hidden, True, -3.0)
    variances = [float(part.detach().var() * d_in) for part in cell.weight_x.chunk(4)]
    assert variances == pytest.approx([1.0, 0.5, 0.5, alpha**2], rel=0.02)
    assert float(cell.peephole_f.detach().var()) == pytest.approx(0.5, rel=0.15)
    assert float(cell.peephole_r.detach().abs().max()) == pytest.approx(math.sqrt(1.5), rel=0.02)
    assert cell.scale == 1.0
    plain = SRUCell(hidden, hidden, False, -3.0)
    assert [float(p.detach().var() * hidden) for p in plain.weight_x.chunk(3)] == pytest.approx(
        [1] * 3, rel=0.02
    )
    assert plain.scale == pytest.approx(alpha)


@pytest.mark.parametrize("peephole", [True, False])
@pytest.mark.parametrize("width", [3, 4])
def test_sru_is_a_loop_over_the_paper_s_equations(width, peephole):
    cell = redraw(SRUCell(width, 4, peephole, -1.0))
    x = drawn(2, 40, width)
    w = cell.weight_x.chunk(3 if width == 4 else 4)
    v_f = cell.peephole_f if peephole else 0.0
    v_r = cell.peephole_r if peephole else 0.0
    alpha, c, expected = math.sqrt(1 + 2 * math.exp(-1.0)), torch.zeros(2, 4).double(), []
    for t in range(40):
        f = torch.sigmoid(x[:, t] @ w[1].T + v_f * c + cell.bias_f)
        r = torch.sigmoid(x[:, t] @ w[2].T + v_r * c + cell.bias_r)
        c = f * c + (1 - f) * (x[:, t] @ w[0].T)
        around = x[:, t] if width == 4 else x[:, t] @ w[3].T
        expected.append(r * c + (1 - r) * (alpha if width == 4 else 1.0) * around)
    torch.testing.assert_close(cell(x)[0], torch.stack(expected, 1), atol=1e-12, rtol=0)


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_qrnn_is_a_masked_convolution_and_a_loop_of_pooling(kernel, pooling):
    cell = redraw(QRNNCell(3, 4, kernel, pooling))
    x, hidden = drawn(2, 40, 3), 4
    padded = torch.cat([torch.zeros(2, kernel - 1, 3).double(), x], 1)
    gates = torch.nn.functional.conv1d(
        padded.transpose(1, 2), cell.weight.transpose(1, 2), cell.bias
    ).transpose(1, 2).split(hidden, -1)  # fmt: skip
    z, f, o, i = [torch.tanh(gates[0]), *(torch.sigmoid(g) for g in gates[1:]), None, None][:4]
    c, expected = torch.zeros(2, hidden).double(), []
    for t in range(40):
        c = f[:, t] * c + (i[:, t] if pooling == "ifo" else 1 - f[:, t]) * z[:, t]
        expected.append(c if pooling == "f" else o[:, t] * c)
    torch.testing.assert_close(cell(x)[0], torch.stack(expected, 1), atol=1e-12, rtol=0)


def test_a_kernel_of_layers_that_do_not_exist_is_refused():
    with pytest.raises(Refusal, match="kernel_above = 2 is of the layers above the first"):
        QRNN(layers=1, kernel_above=2)
