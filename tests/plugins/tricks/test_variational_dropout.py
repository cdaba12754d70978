"""Dropout with masks that stay over time: variational, of the output, and of words."""

import pytest
import torch
from support.toys import TOYS
from torch import nn

from rnnbench.contract import Cell, Port, Refusal
from rnnbench.nn import Embed
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.lstm import LSTMCell
from rnnbench_tricks._word_dropout import WordDropout
from rnnbench_tricks.variational_dropout import VariationalDropout


def test_variational_dropout_keeps_one_mask_for_all_steps():
    cell = VariationalDropout(input=0.5, hidden=0.5).cell(GRUCell(6, 4))
    x = torch.randn(3, 8, 6)
    _, (_, first_x, first_h) = cell(x[:, :4])
    state = cell.initial(x[:, 0])
    _, (_, mask_x, mask_h) = cell(x, state)
    assert torch.equal(mask_x, state[1])
    assert torch.equal(mask_h, state[2])
    assert set(mask_x.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(first_x, mask_x), "another sequence has other masks"
    assert first_h.shape == (3, 4)


def test_variational_dropout_masks_what_the_linear_maps_read_and_nothing_else():
    inner = GRUCell(3, 4)
    cell = VariationalDropout(input=0.5, hidden=0.5).cell(inner)
    x, h = torch.randn(2, 3), torch.randn(2, 4)
    mask_x, mask_h = torch.tensor([[2.0, 0, 2]] * 2), torch.tensor([[0, 2.0, 0, 2]] * 2)
    y, _ = cell.step(x, (h, mask_x, mask_h))
    expected = inner.update(
        nn.functional.linear(x * mask_x, inner.weight_x, inner.bias_x),
        nn.functional.linear(h * mask_h, inner.weight_h, inner.bias_h),
        (h,),
    )[0]
    torch.testing.assert_close(y, expected)


def test_variational_dropout_draws_new_masks_for_the_next_batch_of_a_stream():
    torch.manual_seed(0)
    cell = VariationalDropout(input=0.5, hidden=0.5).cell(GRUCell(30, 40))
    _, state = cell(torch.randn(2, 3, 30))
    carried = cell.carry(state)
    assert torch.equal(carried[0], state[0])
    assert not torch.equal(carried[1], state[1])


def test_variational_dropout_does_nothing_at_evaluation():
    inner = LSTMCell(3, 4)
    cell = VariationalDropout(input=0.5, hidden=0.5).cell(inner).eval()
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(cell(x)[0], inner(x)[0])


def test_variational_dropout_of_the_output_keeps_one_mask_for_all_steps_and_the_state_whole():
    trick = TrickFold([VariationalDropout(input=0.0, hidden=0.0, output=0.5)])
    torch.manual_seed(0)
    model = assemble(GRU(hidden=32), TOYS["lm"], trick)
    batch = TOYS["lm"].example()
    dropped, whole = model.train()(batch), model.eval()(batch)
    mask = dropped.hidden / whole.hidden
    assert torch.equal(mask.round(), mask[:, :1].round().expand_as(mask))
    assert set(mask.round().unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped.out, model.readout(dropped.hidden))
    for a, b in zip(dropped.state, whole.state, strict=True):
        assert torch.equal(a[0], b[0])


def test_variational_dropout_of_the_output_is_refused_where_outputs_come_step_by_step():
    trick = TrickFold([VariationalDropout(input=0.0, hidden=0.0, output=0.5)])
    with pytest.raises(Refusal, match=r"output = 0\.5 drops what a readout reads"):
        assemble(GRU(hidden=4), TOYS["translate"], trick)


def test_variational_dropout_is_refused_by_a_cell_whose_product_it_cannot_see():
    class Whole(Cell):
        width = 3

        def initial(self, x_BD):
            return (torch.zeros_like(x_BD),)

        def step(self, x_BD, state):
            h = torch.tanh(x_BD + state[0])
            return h, (h,)

    with pytest.raises(Refusal, match="GatedCell"):
        VariationalDropout().cell(Whole())(torch.randn(2, 4, 3))


def test_word_dropout_drops_all_occurrences_of_a_word_together():
    torch.manual_seed(0)
    dropped = WordDropout(Embed(Port(classes=20), 4), 0.5)
    x = torch.arange(20).repeat(2, 1)
    y = dropped(x)
    assert torch.equal(y[0], y[1])
    assert 2 < (y[0] == 0).all(-1).sum() < 18
    assert not (dropped.eval()(x) == 0).all(-1).any()
