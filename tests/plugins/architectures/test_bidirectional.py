"""Bidirectional layers against torch's, and what surrounds them."""

import pytest
import torch
from torch import nn

from rnnbench.contract import Layout, Refusal
from rnnbench.nn import Attention, Decoder, ends
from rnnbench.testing import ArchitectureLaws
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.bidirectional import Bidirectional, reversed_rows
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.zoneout import Zoneout


class TestBidirectional(ArchitectureLaws):
    tiny = Bidirectional(hidden=4)


class TestTwoSummedLayersOfGRU(ArchitectureLaws):
    tiny = Bidirectional(hidden=4, cell="gru", combine="sum", layers=2, dropout=0.2)


WIDTH, HIDDEN = 3, 4
LENGTHS = torch.tensor([6, 2, 1, 5])


def built(architecture):
    torch.manual_seed(0)
    return architecture.build(WIDTH, causal=False).double().eval()


def inputs():
    return torch.randn(4, 6, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def torchs(kind, layers, backbone):
    """torch's own, with the same weights."""
    theirs = kind(WIDTH, HIDDEN, layers, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for i, layer in enumerate(backbone.layers):
            for suffix, cell in (("", layer.forwards), ("_reverse", layer.backwards)):
                for ours, name in (("weight_x", "weight_ih"), ("weight_h", "weight_hh"),
                                   ("bias_x", "bias_ih"), ("bias_h", "bias_hh")):  # fmt: skip
                    getattr(theirs, f"{name}_l{i}{suffix}").copy_(getattr(cell, ours))
    return theirs


@pytest.mark.parametrize(("cell", "kind"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("elman", nn.RNN)])
@pytest.mark.parametrize("layers", [1, 2])
def test_it_equals_torch_over_packed_rows_with_gradients(cell, kind, layers):
    backbone = built(Bidirectional(hidden=HIDDEN, cell=cell, layers=layers))
    theirs = torchs(kind, layers, backbone)

    def packed(x):
        rows = nn.utils.rnn.pack_padded_sequence(x, LENGTHS, True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(theirs(rows)[0], True, total_length=6)[0]

    mask = (torch.arange(6) < LENGTHS[:, None])[..., None]
    results = []
    for run in (lambda x: backbone(x, None, Layout(LENGTHS))[0] * mask, packed):
        x = inputs().requires_grad_()
        y = run(x)
        y.square().sum().backward()
        results.append((y.detach(), x.grad))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(
        backbone.layers[-1].backwards.weight_h.grad,
        getattr(theirs, f"weight_hh_l{layers - 1}_reverse").grad,
    )


def test_rows_are_reversed_by_their_own_length_and_padding_stays():
    x = torch.arange(1, 5).expand(3, 4)[..., None]
    back = reversed_rows(x, torch.tensor([4, 2, 1]))[..., 0]
    assert back.tolist() == [[4, 3, 2, 1], [2, 1, 3, 4], [1, 2, 3, 4]]
    assert reversed_rows(x, None)[0, :, 0].tolist() == [4, 3, 2, 1]


def test_summed_directions_are_the_sum_of_those_side_by_side():
    apart, summed = (built(Bidirectional(hidden=HIDDEN, combine=c)) for c in ("concatenate", "sum"))
    layout = Layout(LENGTHS)
    y, _ = apart(inputs(), None, layout)
    assert apart.width == 2 * summed.width
    torch.testing.assert_close(summed(inputs(), None, layout)[0], sum(y.chunk(2, -1)))


def test_a_task_of_one_vector_reads_each_direction_where_it_ends():
    """Return the final hidden states in torch's order."""
    backbone = built(Bidirectional(hidden=HIDDEN))
    rows = nn.utils.rnn.pack_padded_sequence(inputs(), LENGTHS, True, enforce_sorted=False)
    _, (h, _) = torchs(nn.LSTM, 1, backbone)(rows)
    y, _ = backbone(inputs(), None, Layout(LENGTHS))
    torch.testing.assert_close(ends(y, LENGTHS), torch.cat([h[0], h[1]], -1))
    toy = TOYS["classify"]
    model = assemble(Bidirectional(hidden=HIDDEN), toy, TrickFold()).eval()
    batch = toy.example()
    result = model(batch)
    torch.testing.assert_close(result.out, model.readout(ends(result.hidden, batch.x_len)))


def test_what_is_read_of_either_direction_has_seen_the_whole_row():
    backbone, x = built(Bidirectional(hidden=HIDDEN)), inputs().requires_grad_()
    for half in ends(backbone(x, None, Layout(LENGTHS))[0], LENGTHS).chunk(2, -1):
        (gradient,) = torch.autograd.grad(half.sum(), x, retain_graph=True)
        assert torch.equal(gradient.abs().sum(-1) > 0, torch.arange(6) < LENGTHS[:, None])


@pytest.mark.parametrize("toy", ["lm", "tagging", "caption"])
def test_it_is_refused_where_what_comes_later_is_not_to_be_seen(toy):
    with pytest.raises(Refusal, match=r"bidirectional looks ahead.*\n +Choose lstm itself"):
        check(Bidirectional(hidden=4), TOYS[toy], batch=TOYS[toy].example())


def test_it_is_accepted_where_looking_ahead_is_allowed():
    for toy in (MORE_TOYS["look-ahead"], TOYS["classify"], TOYS["translate"], MORE_TOYS["grid"]):
        check(Bidirectional(hidden=4), toy, batch=toy.example())


def test_a_decoder_reads_left_to_right_with_the_same_cell_and_attends():
    toy = TOYS["translate"]
    model = assemble(Bidirectional(hidden=4, cell="gru", layers=2), toy, TrickFold())
    assert isinstance(model, Decoder)
    assert model.encoder.width == 2 * model.backbone.width
    assert isinstance(model.luong, Attention)
    assert [type(layer).__name__ for layer in model.backbone.layers] == ["GRUCell"] * 2
    own = assemble(Transformer(hidden=8, heads=2), toy, TrickFold())
    assert own.luong is None  # a decoder that attends by itself gets no second attention


def test_the_decoder_is_conditioned_on_both_ends():
    toy = TOYS["translate"]
    model = assemble(Bidirectional(hidden=4), toy, TrickFold()).eval()
    batch = toy.example()
    _, c_BD, m_BTE, *_ = model.begin(batch)
    torch.testing.assert_close(c_BD, model.condition(ends(m_BTE, batch.x_len)))


def test_tricks_reach_the_cells_of_both_directions():
    model = assemble(Bidirectional(hidden=4), TOYS["classify"], TrickFold([Zoneout(rate=0.5)]))
    layer = model.backbone.layers[0]
    assert type(layer.forwards) is type(layer.backwards)
    assert hasattr(layer.forwards, "inner")


def test_streams_and_carried_states_are_refused():
    backbone = built(Bidirectional(hidden=4))
    with pytest.raises(Refusal, match="batches continue each other"):
        backbone.carry((None,))
    with pytest.raises(Refusal, match="goes on from no state"):
        backbone(inputs(), (torch.zeros(4, 1),))


def test_a_cell_that_is_no_cell_is_refused():
    with pytest.raises(Refusal, match="bidirectional looks ahead"):
        Bidirectional(hidden=4, cell="bidirectional").build(4, causal=False)
    with pytest.raises(Refusal, match="sets layers, which bidirectional decides"):
        Bidirectional(hidden=4, cell="lstm:layers=2").build(4, causal=False)
