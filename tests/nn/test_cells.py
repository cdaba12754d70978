"""Recurrences against hand-worked steps and against torch, gradients included."""

import math

import pytest
import torch
from torch import nn

from rnnbench.contract import Layout, Refusal
from rnnbench.nn import Stack
from rnnbench_architectures.elman import Elman, ElmanCell
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.lstm import LSTM, LSTMCell
from rnnbench_architectures.transformer import Transformer

CELLS = {"elman": (ElmanCell, nn.RNN), "lstm": (LSTMCell, nn.LSTM), "gru": (GRUCell, nn.GRU)}


TINY = {
    "elman": Elman(hidden=8, layers=2),
    "lstm": LSTM(hidden=8, layers=2),
    "gru": GRU(hidden=8, layers=2),
    "transformer": Transformer(hidden=8, layers=2, heads=2, window=5),
}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def filled(cell, value=0.5):
    """A cell of one unit whose weights are all `value` and whose biases are 0."""
    with torch.no_grad():
        for name, p in cell.named_parameters():
            p.fill_(0.0 if "bias" in name else value)
    return cell.double()


def test_two_steps_of_elman_by_hand():
    cell = filled(ElmanCell(1, 1))
    y, _ = cell.scan(torch.tensor([[[1.0], [2.0]]]).double())
    h1 = math.tanh(0.5)
    assert y.flatten().tolist() == pytest.approx([h1, math.tanh(1.0 + 0.5 * h1)], abs=1e-14)


def test_two_steps_of_lstm_by_hand():
    cell = filled(LSTMCell(1, 1))
    y, (h, c) = cell.scan(torch.tensor([[[1.0], [2.0]]]).double())
    a = 0.5
    c1 = sigmoid(a) * math.tanh(a)
    h1 = sigmoid(a) * math.tanh(c1)
    a = 1.0 + 0.5 * h1
    c2 = sigmoid(a) * c1 + sigmoid(a) * math.tanh(a)
    h2 = sigmoid(a) * math.tanh(c2)
    assert y.flatten().tolist() == pytest.approx([h1, h2], abs=1e-14)
    assert (h.item(), c.item()) == pytest.approx((h2, c2), abs=1e-14)


def test_two_steps_of_gru_by_hand():
    cell = filled(GRUCell(1, 1))
    y, _ = cell.scan(torch.tensor([[[1.0], [2.0]]]).double())
    h1 = (1 - sigmoid(0.5)) * math.tanh(0.5)
    g = sigmoid(1.0 + 0.5 * h1)
    h2 = (1 - g) * math.tanh(1.0 + g * 0.5 * h1) + g * h1
    assert y.flatten().tolist() == pytest.approx([h1, h2], abs=1e-14)


@pytest.mark.parametrize("name", CELLS)
def test_fused_kernel_scan_and_torch_agree_with_copied_weights(name):
    cell_class, torch_class = CELLS[name]
    cell, theirs = cell_class(3, 4).double(), torch_class(3, 4, batch_first=True).double()
    ours = dict(zip(("weight_x", "weight_h", "bias_x", "bias_h"), theirs.parameters(), strict=True))
    with torch.no_grad():
        for ours_name, p in ours.items():
            getattr(cell, ours_name).copy_(p)
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    expected, _ = theirs(x)
    expected.square().sum().backward()
    wanted = [p.grad for p in theirs.parameters()]
    for run in (cell, cell.scan):
        cell.zero_grad()
        y, _ = run(x)
        torch.testing.assert_close(y, expected, atol=1e-12, rtol=0)
        y.square().sum().backward()
        got = [getattr(cell, n).grad for n in ours]
        for g, w in zip(got, wanted, strict=True):
            torch.testing.assert_close(g, w, atol=1e-12, rtol=0)


def test_a_fresh_cell_starts_where_torch_starts():
    torch.manual_seed(3)
    theirs = nn.LSTM(3, 4)
    torch.manual_seed(3)
    ours = LSTMCell(3, 4)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cut", [1, 4, 9])
@pytest.mark.parametrize("name", TINY)
def test_two_chunks_with_the_carried_state_equal_one_pass(name, cut):
    backbone = TINY[name].build(3, causal=True).double().eval()
    x = torch.randn(2, 10, 3, dtype=torch.float64)
    whole, _ = backbone(x)
    first, state = backbone(x[:, :cut])
    second, _ = backbone(x[:, cut:], backbone.carry(state))
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", TINY)
def test_a_causal_backbone_does_not_look_ahead(name):
    backbone = TINY[name].build(3, causal=True).double().eval()
    x = torch.randn(2, 10, 3, dtype=torch.float64)
    before, _ = backbone(x)
    x[:, 6] += 1
    after, _ = backbone(x)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_an_encoding_transformer_ignores_padding_and_looks_ahead():
    backbone = TINY["transformer"].build(3, causal=False).double().eval()
    x, layout = torch.randn(2, 6, 3, dtype=torch.float64), Layout(torch.tensor([6, 4]))
    before, _ = backbone(x, None, layout)
    x[1, 4:] = 99
    padded, _ = backbone(x, None, layout)
    torch.testing.assert_close(before[1, :4], padded[1, :4], atol=1e-12, rtol=0)
    x[0, 5] += 1
    ahead, _ = backbone(x, None, layout)
    assert not torch.allclose(ahead[0, 0], before[0, 0])


def test_a_transformer_forgets_what_left_its_window():
    backbone = Transformer(hidden=8, layers=1, heads=2, window=3).build(8, causal=True).double()
    x = torch.randn(1, 8, 8, dtype=torch.float64)
    before, _ = backbone(x)
    x[:, 0] = torch.randn(8)
    after, _ = backbone(x)
    assert not torch.allclose(before[:, 2], after[:, 2])
    torch.testing.assert_close(before[:, 3:], after[:, 3:], atol=1e-13, rtol=0)


def test_attention_depends_on_distance_not_on_position():
    backbone = Transformer(hidden=8, layers=1, heads=2, window=3).build(8, causal=True).double()
    x = torch.randn(1, 8, 8, dtype=torch.float64)
    late, _ = backbone(x)
    early, _ = backbone(x[:, 2:])
    torch.testing.assert_close(late[:, 5:], early[:, 3:], atol=1e-12, rtol=0)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(Refusal, match="multiple of 8"):
        Transformer(hidden=30, heads=4)


def test_dropout_of_a_stack_acts_between_layers_in_training_only():
    stack = Stack([ElmanCell(3, 4), ElmanCell(4, 4)], dropout=0.5)
    x = torch.randn(2, 5, 3)
    assert not torch.equal(stack(x)[0], stack(x)[0])
    stack.eval()
    assert torch.equal(stack(x)[0], stack(x)[0])


def test_a_setting_out_of_range_is_refused_by_the_plugin_itself():
    with pytest.raises(ValueError, match=r"lstm: hidden = 0 is outside 1\.\."):
        LSTM(hidden=0)


@pytest.mark.parametrize("architecture", [Elman, LSTM, GRU])
def test_dropout_that_would_be_ignored_is_refused(architecture):
    with pytest.raises(Refusal, match="there is one layer"):
        architecture(hidden=4, dropout=0.5)
    architecture(hidden=4, layers=2, dropout=0.5)


@pytest.mark.parametrize("architecture", [Elman, LSTM, GRU])
@pytest.mark.parametrize("projection", [None, 2])
def test_residual_layers_add_their_input(architecture, projection):
    plain = architecture(hidden=4, layers=3, projection=projection)
    torch.manual_seed(0)
    without = plain.build(3, causal=True).double()
    torch.manual_seed(0)
    residual = architecture(hidden=4, layers=3, projection=projection, residual=True)
    stack = residual.build(3, causal=True).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    y, below = x, None
    for i, layer in enumerate(without.layers):
        y, below = layer(y)[0], y
        y = y + below if i else y
    torch.testing.assert_close(stack(x)[0], y)
    assert not torch.allclose(stack(x)[0], without(x)[0])
    assert stack.width == y.shape[-1] == (projection or 4)


def test_residual_connections_need_equal_widths():
    with pytest.raises(ValueError, match=r"equal width, not \[4, 5\]"):
        Stack([ElmanCell(3, 4), ElmanCell(4, 5)], residual=True)
