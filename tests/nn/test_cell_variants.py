"""Variants of the gated cells against hand-worked steps and torch: peepholes, projections."""

import math

import pytest
import torch
from torch import nn

from rnnbench.contract import Refusal
from rnnbench.nn import GatedCell, scan
from rnnbench_architectures.elman import Elman, ElmanCell
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.lstm import LSTM, LSTMCell


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def filled(cell, value=0.5):
    """A cell of one unit whose weights are all `value` and whose biases are 0."""
    with torch.no_grad():
        for name, p in cell.named_parameters():
            p.fill_(0.0 if "bias" in name else value)
    return cell.double()


def two_steps(cell):
    """Outputs for the inputs 1 and 2, of a cell whose weights are 0.5 and biases 0."""
    y, state = filled(cell).scan(torch.tensor([[[1.0], [2.0]]]).double())
    return y.flatten().tolist(), [s.item() for s in state]


def lstm_by_hand(forget, peep=0.0, coupled=False):
    """Two steps of one unit: all weights 0.5, all peepholes `peep`."""
    h = c = 0.0
    outputs = []
    for x in (1.0, 2.0):
        a = 0.5 * x + 0.5 * h
        i = sigmoid(a + peep * c)
        f = (1 - i) if coupled else sigmoid(a + peep * c) if forget else 1.0
        c = f * c + i * math.tanh(a)
        h = sigmoid(a + peep * c) * math.tanh(c)  # the output gate sees the new c
        outputs.append(h)
    return outputs, [h, c]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"forget_gate": False}, lstm_by_hand(False)),
        ({"peepholes": True}, lstm_by_hand(True, peep=0.5)),
        ({"coupled": True}, lstm_by_hand(True, coupled=True)),
        ({"coupled": True, "peepholes": True}, lstm_by_hand(True, 0.5, coupled=True)),
        ({"forget_gate": False, "peepholes": True}, lstm_by_hand(False, 0.5)),
    ],
)
def test_two_steps_of_the_lstm_s_variants_by_hand(settings, expected):
    outputs, state = two_steps(LSTMCell(1, 1, **settings))
    assert outputs == pytest.approx(expected[0], abs=1e-14)
    assert state == pytest.approx(expected[1], abs=1e-14)


def test_the_input_and_the_forget_gate_have_peepholes_of_their_own():
    cell = filled(LSTMCell(1, 1, peepholes=True))
    x, state = (
        torch.tensor([[1.0]]).double(),
        (torch.zeros(1, 1).double(), torch.ones(1, 1).double()),
    )
    with torch.no_grad():
        cell.peephole_i.fill_(0.1)
        cell.peephole_f.fill_(0.2)
        cell.peephole_o.fill_(0.3)
    _, (h, c) = cell.step(x, state)
    expected = sigmoid(0.5 + 0.2) * 1.0 + sigmoid(0.5 + 0.1) * math.tanh(0.5)
    assert c.item() == pytest.approx(expected, abs=1e-14)
    assert h.item() == pytest.approx(sigmoid(0.5 + 0.3 * expected) * math.tanh(expected), abs=1e-14)


def test_two_steps_of_a_projected_lstm_by_hand():
    cell = filled(LSTMCell(1, 1, projection=1))
    with torch.no_grad():
        cell.weight_r.fill_(2.0)
    y, (r, c) = cell.scan(torch.tensor([[[1.0], [2.0]]]).double())
    a = 0.5
    c1 = sigmoid(a) * math.tanh(a)
    r1 = 2 * sigmoid(a) * math.tanh(c1)
    a = 1.0 + 0.5 * r1
    c2 = sigmoid(a) * c1 + sigmoid(a) * math.tanh(a)
    r2 = 2 * sigmoid(a) * math.tanh(c2)
    assert y.flatten().tolist() == pytest.approx([r1, r2], abs=1e-14)
    assert (r.item(), c.item()) == pytest.approx((r2, c2), abs=1e-14)


def test_a_projected_lstm_is_torch_s_with_copied_weights():
    theirs = nn.LSTM(3, 5, proj_size=2, batch_first=True).double()
    cell = LSTMCell(3, 5, projection=2).double()
    names = ("weight_x", "weight_h", "bias_x", "bias_h", "weight_r")
    with torch.no_grad():
        for name, p in zip(names, theirs.parameters(), strict=True):
            getattr(cell, name).copy_(p)
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    expected, (h, c) = theirs(x)
    expected.square().sum().backward()
    for run in (cell, cell.scan):
        cell.zero_grad()
        y, state = run(x)
        torch.testing.assert_close(y, expected, atol=1e-12, rtol=0)
        torch.testing.assert_close(state, (h[0], c[0]), atol=1e-12, rtol=0)
        y.square().sum().backward()
        for name, p in zip(names, theirs.parameters(), strict=True):
            torch.testing.assert_close(getattr(cell, name).grad, p.grad, atol=1e-12, rtol=0)


def test_a_fresh_projected_cell_starts_where_torch_starts():
    torch.manual_seed(3)
    theirs = nn.LSTM(3, 4, proj_size=2)
    torch.manual_seed(3)
    ours = LSTMCell(3, 4, projection=2)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_two_steps_of_a_projected_gru_by_hand():
    cell = filled(GRUCell(1, 1, projection=1))
    with torch.no_grad():
        cell.weight_r.fill_(2.0)
    y, (r, h) = cell.scan(torch.tensor([[[1.0], [2.0]]]).double())
    h1 = (1 - sigmoid(0.5)) * math.tanh(0.5)
    q = 0.5 * 2 * h1  # the products read the projection, the mixture reads h itself
    g = sigmoid(1.0 + q)
    h2 = (1 - g) * math.tanh(1.0 + g * q) + g * h1
    assert y.flatten().tolist() == pytest.approx([2 * h1, 2 * h2], abs=1e-14)
    assert (r.item(), h.item()) == pytest.approx((2 * h2, h2), abs=1e-14)


def test_two_steps_of_a_projected_elman_by_hand():
    cell = filled(ElmanCell(1, 1, projection=1))
    with torch.no_grad():
        cell.weight_r.fill_(2.0)
    y, _ = cell.scan(torch.tensor([[[1.0], [2.0]]]).double())
    h1 = math.tanh(0.5)
    assert y.flatten().tolist() == pytest.approx([2 * h1, 2 * math.tanh(1.0 + h1)], abs=1e-14)


def test_two_steps_of_the_gru_of_cho_by_hand():
    # Two units, so that U (r * h) is not r * (U h).
    cell = GRUCell(1, 2, reset="before").double()
    with torch.no_grad():
        for p in cell.parameters():
            p.copy_(torch.linspace(-0.9, 0.8, p.numel()).view(p.shape))
    w, u = cell.weight_x.flatten().tolist(), cell.weight_h.tolist()
    bx, bh = cell.bias_x.tolist(), cell.bias_h.tolist()
    h = [0.0, 0.0]
    outputs = []
    for x in (1.0, 2.0):

        def gate(k, read, x=x):
            return w[k] * x + bx[k] + bh[k] + sum(u[k][j] * read[j] for j in range(2))

        r = [sigmoid(gate(k, h)) for k in (0, 1)]
        z = [sigmoid(gate(k, h)) for k in (2, 3)]
        n = [math.tanh(gate(k, [r[j] * h[j] for j in range(2)])) for k in (4, 5)]
        h = [(1 - z[k]) * n[k] + z[k] * h[k] for k in range(2)]
        outputs += h
    for run in (cell, cell.scan):
        y, _ = run(torch.tensor([[[1.0], [2.0]]]).double())
        assert y.flatten().tolist() == pytest.approx(outputs, abs=1e-14)


def test_the_irnn_starts_as_the_identity_and_counts():
    cell = ElmanCell(3, 4, "relu", "identity")
    assert torch.equal(cell.weight_h, torch.eye(4))
    assert not cell.bias_x.any()
    assert not cell.bias_h.any()
    with torch.no_grad():
        cell.weight_x.fill_(1.0)
    y, _ = cell(torch.ones(1, 5, 3))
    assert y[0, :, 0].tolist() == [3.0, 6.0, 9.0, 12.0, 15.0]


def test_an_orthogonal_recurrent_matrix_is_orthogonal():
    w = ElmanCell(3, 8, initialisation="orthogonal").weight_h
    torch.testing.assert_close(w @ w.t(), torch.eye(8))


def test_relu_runs_torch_s_kernel():
    theirs = nn.RNN(3, 4, nonlinearity="relu", batch_first=True).double()
    cell = ElmanCell(3, 4, "relu").double()
    with torch.no_grad():
        names = ("weight_x", "weight_h", "bias_x", "bias_h")
        for name, p in zip(names, theirs.parameters(), strict=True):
            getattr(cell, name).copy_(p)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    scan.use()
    torch.testing.assert_close(cell(x)[0], theirs(x)[0], atol=1e-13, rtol=0)
    torch.testing.assert_close(cell.scan(x)[0], theirs(x)[0], atol=1e-13, rtol=0)
    assert [row["tier"] for row in scan.report()] == ["fused"]


def test_the_forget_bias_is_the_sum_of_both_bias_vectors():
    cell = LSTMCell(3, 4, forget_bias=1.5)
    total = cell.bias_x + cell.bias_h
    assert total[4:8].tolist() == [1.5] * 4
    assert not (total[:4] == 1.5).any()
    layer = LSTM(hidden=4, forget_bias=-1.0).build(3, causal=True).layers[0]
    assert (layer.bias_x + layer.bias_h)[4:8].tolist() == [-1.0] * 4


@pytest.mark.parametrize(
    ("make", "both"),
    [
        (lambda: LSTM(coupled=True, forget_gate=False), ("coupled = true", "forget_gate = false")),
        (lambda: LSTM(coupled=True, forget_bias=1.0), ("forget_bias = 1.0", "coupled = true")),
        (
            lambda: LSTM(forget_gate=False, forget_bias=1.0),
            ("forget_bias = 1.0", "forget_gate = false"),
        ),
        (lambda: GRU(projection=3, reset="before"), ("projection = 3", "reset = before")),
        (
            lambda: Elman(projection=3, initialisation="identity"),
            ("projection = 3", "initialisation = identity"),
        ),
        (lambda: GRU(residual=True), ("residual = true", "one layer")),
    ],
)
def test_settings_that_contradict_each_other_are_refused_with_both_names(make, both):
    with pytest.raises(Refusal) as refusal:
        make()
    assert all(name in str(refusal.value) for name in both)


def test_a_reader_s_gated_cell_with_a_projection_keeps_what_its_update_reads():
    class Leaky(GatedCell):
        def update(self, gates_x, gates_h, state):
            return (0.5 * state[0] + 0.5 * torch.tanh(gates_x + gates_h),)

    cell = Leaky(3, 4, projection=2).double()
    y, (r, h) = cell(torch.randn(2, 5, 3, dtype=torch.float64))
    assert (y.shape, r.shape, h.shape) == ((2, 5, 2), (2, 2), (2, 4))
    torch.testing.assert_close(r, h @ cell.weight_r.t())
