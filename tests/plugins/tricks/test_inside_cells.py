"""Tricks between the products and the update of a cell, and around it."""

import math

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn
from torch.nn import functional as F

from rnnbench.contract import Refusal
from rnnbench.nn import Stack, scan
from rnnbench.testing.fixtures.small_architectures import WholeLayer
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.elman import ElmanCell
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.lstm import LSTM, LSTMCell
from rnnbench_architectures.seq2seq import Seq2Seq
from rnnbench_tricks.delays import Delays
from rnnbench_tricks.forget_bias import ForgetBias
from rnnbench_tricks.highway import Highway
from rnnbench_tricks.layer_norm import LayerNorm
from rnnbench_tricks.recurrent_batch_norm import RecurrentBatchNorm
from rnnbench_tricks.recurrent_dropout import RecurrentDropout
from rnnbench_tricks.residual import Residual
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout


def randomised(cell):
    """Gains and the like away from their first values, so that each shows."""
    with torch.no_grad():
        for p in cell.parameters():
            p.copy_(torch.randn_like(p))
    return cell


def normal(values, epsilon=1e-5):
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(variance + epsilon) for v in values]


def product(matrix, vector):
    return [sum(w * v for w, v in zip(row, vector, strict=True)) for row in matrix.tolist()]


def updated(cell, a_x, a_h, h, c):
    """The next (h, c) of an LSTM, GRU or Elman cell from pre-activations, unit by unit."""

    def s(v):
        return 1 / (1 + math.exp(-v))

    size, new = cell.hidden, []
    for u in range(size):
        x, r = a_x[u::size], a_h[u::size]
        if isinstance(cell, LSTMCell):
            i, f, g, o = (v + w for v, w in zip(x, r, strict=True))
            c[u] = s(f) * c[u] + s(i) * math.tanh(g)
            new.append(s(o) * math.tanh(c[u]))
        elif isinstance(cell, GRUCell):
            z = s(x[1] + r[1])
            n = math.tanh(x[2] + s(x[0] + r[0]) * r[2])
            new.append((1 - z) * n + z * h[u])
        else:
            new.append(math.tanh(x[0] + r[0]))
    return new, c


# -------------------------------------------------------------------------------------- layer norm


@pytest.mark.parametrize("over", ["all", "gate"])
@pytest.mark.parametrize("kind", [LSTMCell, GRUCell, ElmanCell])
def test_layer_norm_equals_the_papers_equations_unit_by_unit(kind, over):
    torch.manual_seed(0)
    cell = randomised(LayerNorm(over=over).cell(kind(2, 3)).double())
    bare, x = cell.inner, torch.randn(4, 2, dtype=torch.float64)
    y, _ = cell(x[None])
    gates = len(bare.weight_h) // 3
    if over == "gate":
        groups = [3] * gates
    else:
        groups = [6, 3] if kind is GRUCell else [3 * gates]

    def apart(values, gain, bias):
        out, begin = [], 0
        for size in groups:
            out += normal(values[begin : begin + size])
            begin += size
        return [g * v + b for g, v, b in zip(gain.tolist(), out, bias.tolist(), strict=True)]

    h, c = [0.0] * 3, [0.0] * 3
    for t, x_t in enumerate(x.tolist()):
        a_x = apart(product(bare.weight_x, x_t), cell.gain_x, bare.bias_x)
        a_h = apart(product(bare.weight_h, h), cell.gain_h, bare.bias_h)
        h, c = updated(bare, a_x, a_h, h, c)
        assert y[0, t].tolist() == pytest.approx(h, abs=1e-9)


def test_layer_norm_is_blind_to_the_scale_of_the_recurrent_matrix():
    torch.manual_seed(0)
    cell = LayerNorm(epsilon=1e-12).cell(LSTMCell(2, 5).double())
    x = torch.randn(2, 4, 2, dtype=torch.float64)
    before, _ = cell(x)
    with torch.no_grad():
        cell.inner.weight_h *= 7
    torch.testing.assert_close(cell(x)[0], before)


def test_a_forget_bias_keeps_its_meaning_under_layer_norm():
    """The bias stands outside of the normalisation."""
    torch.manual_seed(0)
    model = assemble(LSTM(hidden=6), TOYS["lm"], TrickFold([LayerNorm(), ForgetBias(bias=3.0)]))
    (cell,) = (m for m in model.modules() if isinstance(m, LSTMCell))
    assert (cell.bias_x + cell.bias_h)[6:12].tolist() == pytest.approx([3.0] * 6)
    p, q = torch.randn(500, 24), torch.randn(500, 24)
    wrapper = model.backbone.layers[0]
    p = wrapper.normalised(p + cell.bias_x, wrapper.gain_x, cell.bias_x)
    _, q = wrapper.gates(p, q + cell.bias_h, (), ())
    free = (p + q)[:, [*range(6, 12)]] - 3.0
    assert free.mean().item() == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("trick", [LayerNorm(), RecurrentBatchNorm(), Delays()])
def test_what_acts_on_pre_activations_is_refused_where_a_cell_has_none(trick):
    for architecture in (WholeLayer(hidden=4), GRU(hidden=4, reset="before")):
        with pytest.raises(Refusal, match="another step"):
            check(architecture, TOYS["lm"], [trick])


# -------------------------------------------------------------------------------------- batch norm


def test_recurrent_batch_norm_equals_the_papers_equations_unit_by_unit():
    torch.manual_seed(0)
    cell = randomised(RecurrentBatchNorm(steps=10).cell(LSTMCell(2, 3).double()))
    bare, x = cell.inner, torch.randn(4, 3, 2, dtype=torch.float64)
    y, _ = cell(x)
    h, c = [[0.0] * 3 for _ in range(4)], [[0.0] * 3 for _ in range(4)]

    def over_rows(products, gain, bias):
        columns = [normal([row[k] for row in products]) for k in range(len(gain))]
        return [
            [g * columns[k][b] + v for k, (g, v) in enumerate(zip(gain, bias, strict=True))]
            for b in range(len(products))
        ]

    for t in range(3):
        a_x = over_rows([product(bare.weight_x, x[b, t].tolist()) for b in range(4)],
                        cell.gain_x.tolist(), bare.bias_x.tolist())  # fmt: skip
        a_h = over_rows([product(bare.weight_h, h[b]) for b in range(4)],
                        cell.gain_h.tolist(), bare.bias_h.tolist())  # fmt: skip
        for b in range(4):
            h[b], c[b] = updated(bare, a_x[b], a_h[b], h[b], c[b])
            assert y[b, t].tolist() == pytest.approx(h[b], abs=1e-7)


def test_recurrent_batch_norm_keeps_statistics_for_each_step_and_later_ones_share_the_last():
    torch.manual_seed(0)
    cell = RecurrentBatchNorm(steps=2, momentum=1.0).cell(LSTMCell(2, 3))
    x = torch.randn(8, 4, 2)
    _, state = cell(x)
    p = F.linear(x, cell.inner.weight_x)
    torch.testing.assert_close(cell.mean_x[0], p[:, 0].mean(0))
    torch.testing.assert_close(cell.mean_x[1], p[:, 3].mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(cell.variance_x[0], p[:, 0].var(0))
    assert not cell.mean_h[0].any(), "before the first step h is 0"
    assert state[-1].tolist() == [[4]] * 8


def test_recurrent_batch_norm_at_evaluation_reads_each_row_by_itself_from_where_it_stands():
    torch.manual_seed(0)
    cell = RecurrentBatchNorm(steps=5).cell(LSTMCell(2, 3))
    for _ in range(3):
        cell(torch.randn(8, 4, 2))
    cell.eval()
    x = torch.randn(3, 4, 2)
    together, _ = cell(x)
    first, state = cell(x[:1, :2])
    rest, _ = cell(x[:1, 2:], state)
    torch.testing.assert_close(torch.cat([first, rest], 1), together[:1])


def test_gains_of_batch_norm_begin_at_a_tenth():
    cell = RecurrentBatchNorm().cell(LSTMCell(2, 3))
    for gain in (cell.gain_h, cell.gain_x):
        assert gain.tolist() == pytest.approx([0.1] * 12)


# ------------------------------------------------------------------------------------------ delays


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell, ElmanCell])
def test_delays_add_the_hidden_state_of_d_steps_ago(kind):
    torch.manual_seed(0)
    cell = Delays(delay=3).cell(kind(2, 3).double())
    bare, x = cell.inner, torch.randn(7, 2, dtype=torch.float64)
    y, _ = cell(x[None])
    h, c, past = [0.0] * 3, [0.0] * 3, [[0.0] * 3] * 3
    for t, x_t in enumerate(x.tolist()):
        late = product(cell.weight_delay, past[-3])
        a_x = [v + w + b for v, w, b in zip(
            product(bare.weight_x, x_t), late, bare.bias_x.tolist(), strict=True)]  # fmt: skip
        a_h = [v + b for v, b in zip(
            product(bare.weight_h, h), bare.bias_h.tolist(), strict=True)]  # fmt: skip
        h, c = updated(bare, a_x, a_h, h, c)
        past.append(h)
        assert y[0, t].tolist() == pytest.approx(h, abs=1e-9)


def test_delays_carry_the_past_over_chunks_and_run_in_the_fast_tier():
    torch.manual_seed(0)
    cell = Delays(delay=3).cell(LSTMCell(2, 4))
    x = torch.randn(2, 8, 2)
    scan.use("c")
    whole, _ = cell(x)
    assert [r["tier"] for r in scan.report()] == ["c"]
    scan.use()
    first, state = cell(x[:, :2])
    torch.testing.assert_close(torch.cat([first, cell(x[:, 2:], state)[0]], 1), whole)
    torch.testing.assert_close(cell.scan(x)[0], whole)


def test_tricks_on_units_leave_the_past_alone():
    cell = Zoneout(rate=0.5).cell(Delays(delay=3).cell(LSTMCell(2, 4)))
    *_, line = cell.initial(torch.zeros(1, 2))
    assert line.shape == (1, 8)
    assert cell.apart == (2,)
    outside = Delays(delay=3).cell(Zoneout(rate=0.5).cell(LSTMCell(2, 4)))
    assert outside.apart == (2,), "a wrapper that is there already learns of the past too"
    assert type(outside.inner).__name__ == "DelaysCell"


def test_tricks_on_gates_compose_in_any_order_and_keep_the_fixed_masks_last():
    torch.manual_seed(0)
    tricks = [VariationalDropout(), LayerNorm(), Delays(delay=2), RecurrentBatchNorm()]
    for order in (tricks, tricks[::-1]):
        cell = LSTMCell(3, 4)
        for trick in (*order, RecurrentDropout()):
            cell = trick.cell(cell)
        cell.eval()
        x = torch.randn(2, 5, 3)
        whole, _ = cell(x)
        first, state = cell(x[:, :2])
        torch.testing.assert_close(torch.cat([first, cell(x[:, 2:], state)[0]], 1), whole)
        torch.testing.assert_close(cell.scan(x)[0], whole)
        innermost = cell
        while hasattr(innermost.inner, "inner"):
            innermost = innermost.inner
        assert type(innermost).__name__ == "RecurrentDropoutCell"


# --------------------------------------------------------------------------------------- shortcuts


def stacked(trick, *cells):
    model = nn.Sequential(Stack(cells))
    trick.model(model, TOYS["lm"])
    return model[0]


def test_residual_adds_the_input_of_every_layer():
    torch.manual_seed(0)
    below, above = LSTMCell(4, 4), GRUCell(4, 4)
    x = torch.randn(2, 5, 4)
    h, _ = below(x)
    expected = above(h + x)[0] + h + x
    torch.testing.assert_close(stacked(Residual(), below, above)(x)[0], expected)


def test_highway_gates_the_output_of_every_layer():
    torch.manual_seed(0)
    cell = LSTMCell(4, 4)
    x = torch.randn(2, 5, 4)
    (layer,) = stacked(Highway(bias=-1.5), cell).layers
    assert set(layer.gate.bias.tolist()) == {-1.5}
    t = torch.sigmoid(x @ layer.gate.weight.T + layer.gate.bias)
    torch.testing.assert_close(layer(x)[0], t * cell(x)[0] + (1 - t) * x)


@pytest.mark.parametrize("trick", [Residual(), Highway()])
def test_a_shortcut_keeps_the_fused_kernel_and_agrees_with_the_scan(trick):
    torch.manual_seed(0)
    (layer,) = stacked(trick, LSTMCell(4, 4)).layers
    x = torch.randn(2, 5, 4)
    scan.use()
    y, state = layer(x)
    assert [r["tier"] for r in scan.report()] == ["fused"]
    torch.testing.assert_close(layer.scan(x)[0], y)
    torch.testing.assert_close(layer.step(x[:, 0], layer.initial(x[:, 0]))[0], y[:, 0])
    assert state[0].shape == (2, 4)


def test_the_state_under_a_shortcut_is_the_cells_own():
    torch.manual_seed(0)
    cell = Zoneout(rate=0.5).cell(LSTMCell(4, 4)).eval()
    x = torch.randn(2, 5, 4)
    bare, (h, _) = cell(x)
    y, (own, _) = stacked(Residual(), cell).layers[0](x)
    torch.testing.assert_close(y, bare + x)
    assert torch.equal(own, h)


@pytest.mark.parametrize("trick", [Residual(), Highway()])
def test_shortcuts_are_refused_where_widths_differ_or_one_is_there(trick):
    with pytest.raises(Refusal, match=r"5 wide and the output 6.*\n.*architecture.embedding"):
        check(TinyLSTM(embedding=5), TOYS["lm"], [trick])
    with pytest.raises(Refusal, match="does already"):
        check(TinyLSTM(layers=2, residual=True), TOYS["lm"], [trick])
    with pytest.raises(Refusal, match="does already"):
        check(TinyLSTM(), TOYS["lm"], [Residual(), Highway()])
    with pytest.raises(Refusal, match="wide"):
        check(Seq2Seq(hidden=6), TOYS["translate"], [trick])
