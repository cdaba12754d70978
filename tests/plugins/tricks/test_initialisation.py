"""Initialisation tricks: what the parameters are at the start, and which cells are refused."""

import math

import pytest
import torch
from support.toys import TOYS, TinyLSTM

from rnnbench.contract import Refusal
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.clockwork import Clockwork
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.narx import NARX
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.chrono_init import ChronoInit
from rnnbench_tricks.forget_bias import ForgetBias
from rnnbench_tricks.identity_init import IdentityInit
from rnnbench_tricks.orthogonal_init import OrthogonalInit
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout


def cell_of(architecture, *tricks):
    """The one cell of a model for a language task, without wrappers."""
    model = assemble(architecture, TOYS["lm"], TrickFold(tricks))
    cell = model.backbone.layers[0] if hasattr(model.backbone, "layers") else model.backbone
    while hasattr(cell, "inner"):
        cell = cell.inner
    return cell


def assert_orthogonal(block, gain=1.0):
    tall = block if block.shape[0] >= block.shape[1] else block.T
    torch.testing.assert_close(tall.T @ tall, gain**2 * torch.eye(tall.shape[1]))


@pytest.mark.parametrize(
    ("architecture", "rows", "columns"),
    [
        (Elman(hidden=6), 6, 6),
        (LSTM(hidden=6), 6, 6),
        (GRU(hidden=6, reset="before"), 6, 6),
        (LSTM(hidden=6, projection=4), 6, 4),
        (LSTM(hidden=6, coupled=True), 6, 6),
        (NARX(hidden=6, delays=3), 6, 6),
    ],
    ids=str,
)
def test_every_gate_s_recurrent_matrix_is_orthogonal(architecture, rows, columns):
    cell = cell_of(architecture, OrthogonalInit(gain=0.8))
    blocks = [
        block
        for gate in cell.weight_h.detach().split(rows)
        for block in gate.split(columns, 1)
    ]  # fmt: skip
    assert len(blocks) * rows * columns == cell.weight_h.numel()
    for block in blocks:
        assert_orthogonal(block, 0.8)
    assert len({tuple(b.flatten().tolist()) for b in blocks}) == len(blocks)


def test_orthogonal_init_reaches_every_layer_and_both_ends_and_cells_within_wrappers():
    tricks = [VariationalDropout(), OrthogonalInit(), Zoneout()]
    model = assemble(TinyLSTM(layers=2), TOYS["translate"], TrickFold(tricks))
    found = [p for name, p in model.named_parameters() if name.endswith("weight_h")]
    assert len(found) == 4
    for matrix in found:
        for block in matrix.detach().split(6):
            assert_orthogonal(block)


def test_an_identity_keeps_what_a_relu_network_has_seen():
    """The IRNN: without input h stays as it is."""
    cell = cell_of(Elman(hidden=6, activation="relu"), IdentityInit())
    h = torch.rand(3, 6)
    x = torch.zeros(3, cell.weight_x.shape[1])
    torch.testing.assert_close(cell.step(x, (h,))[0], h)


@pytest.mark.parametrize(
    ("architecture", "candidate"),
    [(LSTM(hidden=5), 2), (GRU(hidden=5), 2), (LSTM(hidden=5, coupled=True), 1)],
)
def test_in_a_gated_cell_the_candidate_s_matrix_is_the_identity(architecture, candidate):
    torch.manual_seed(0)
    cell = cell_of(architecture, IdentityInit(scale=0.5))
    torch.manual_seed(0)
    bare = cell_of(architecture)
    for i, (block, before) in enumerate(
        zip(cell.weight_h.split(5), bare.weight_h.split(5), strict=True)
    ):
        assert torch.equal(block, 0.5 * torch.eye(5) if i == candidate else before)
    bias = (cell.bias_x + cell.bias_h).split(5)
    assert not bias[candidate].any()
    assert torch.equal(cell.bias_x[:5], bare.bias_x[:5])


def test_of_several_delays_the_shortest_gets_the_identity():
    cell = cell_of(NARX(hidden=4, delays=3), IdentityInit())
    expected = torch.cat([torch.eye(4), torch.zeros(4, 8)], 1)
    assert torch.equal(cell.weight_h, expected)


def test_chrono_init_draws_time_scales_evenly_up_to_the_longest():
    torch.manual_seed(0)
    cell = cell_of(LSTM(hidden=4000, embedding=1), ChronoInit(longest=51.0))
    i, f, g, o = (cell.bias_x + cell.bias_h).detach().chunk(4)
    times = f.exp()
    assert 1 <= times.min() < 1.2
    assert 49.5 < times.max() <= 50.001
    assert times.mean().item() == pytest.approx(25.5, abs=0.7)
    assert times.std().item() == pytest.approx(49 / math.sqrt(12), rel=0.03)
    assert torch.equal(i, -f), "b_i = -b_f"
    bound = 2 / math.sqrt(4000)
    assert g.abs().max() <= bound, "the other biases stay"
    assert o.abs().max() <= bound


@pytest.mark.parametrize("reset", ["after", "before"])
def test_a_gru_with_chrono_biases_forgets_as_slowly_as_they_say(reset):
    """Without input and recurrent products z = σ(b_f): h is kept at 1 - 1/(1 + e^b) a step."""
    cell = cell_of(GRU(hidden=50, reset=reset), ChronoInit(longest=100.0))
    _, z, _ = (cell.bias_x + cell.bias_h).detach().chunk(3)
    with torch.no_grad():
        cell.weight_h.zero_()
        cell.weight_x.zero_()
        cell.bias_x[100:] = 0.0
        cell.bias_h[100:] = 0.0
        h = torch.ones(1, 50)
        y, _ = cell.step(torch.zeros(1, cell.weight_x.shape[1]), (h,))
    times = z.exp()
    assert (times >= 1).all()
    assert (times <= 99.001).all()
    torch.testing.assert_close(y[0], times / (1 + times))


def test_where_one_gate_writes_and_forgets_its_bias_is_turned_around():
    torch.manual_seed(0)
    cell = cell_of(LSTM(hidden=7, coupled=True), ChronoInit())
    write = (cell.bias_x + cell.bias_h).detach()[:7]
    assert (write <= 0).all()
    cell = cell_of(LSTM(hidden=7, coupled=True), ForgetBias(bias=2.0))
    assert torch.equal((cell.bias_x + cell.bias_h)[:7], torch.full((7,), -2.0))


@pytest.mark.parametrize(("architecture", "place"), [(LSTM(hidden=4), 1), (GRU(hidden=4), 1)])
def test_forget_bias_opens_the_forget_gate_and_leaves_the_others(architecture, place):
    torch.manual_seed(0)
    cell = cell_of(architecture, ForgetBias(bias=1.5))
    torch.manual_seed(0)
    bare = cell_of(architecture)
    for i, (found, before) in enumerate(
        zip((cell.bias_x + cell.bias_h).split(4), (bare.bias_x + bare.bias_h).split(4), strict=True)
    ):
        assert torch.equal(found, torch.full((4,), 1.5) if i == place else before)


@pytest.mark.parametrize(
    ("trick", "architecture", "message"),
    [
        (OrthogonalInit(), Transformer(hidden=8, heads=2), "no.. has none|this model has none"),
        (ChronoInit(), Elman(hidden=4), "forget gate"),
        (ChronoInit(), LSTM(hidden=4, forget_gate=False), "names none"),
        (ForgetBias(), LSTM(hidden=4, forget_gate=False), "forget gate"),
        (OrthogonalInit(), Clockwork(hidden=8, modules=2), "another form"),
        (IdentityInit(), LSTM(hidden=6, projection=3), "6 × 3"),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_cells_without_what_is_needed_are_refused_with_the_reason(trick, architecture, message):
    with pytest.raises(Refusal, match=message) as refused:
        assemble(architecture, TOYS["lm"], TrickFold([trick]))
    assert trick.name in str(refused.value)
    assert "Drop" in str(refused.value).splitlines()[-1]


@pytest.mark.parametrize(
    ("tricks", "architecture"),
    [
        ([OrthogonalInit(), IdentityInit()], Elman(hidden=4)),
        ([ChronoInit(), ForgetBias()], LSTM(hidden=4)),
        ([ForgetBias(), ChronoInit()], GRU(hidden=4)),
        ([ForgetBias()], LSTM(hidden=4, forget_bias=1.0)),
        ([OrthogonalInit()], Elman(hidden=4, initialisation="identity")),
    ],
)
def test_nothing_is_initialised_twice(tricks, architecture):
    with pytest.raises(Refusal, match="both initialise"):
        assemble(architecture, TOYS["lm"], TrickFold(tricks))


def test_orthogonal_init_and_chrono_init_go_together():
    cell = cell_of(LSTM(hidden=6), OrthogonalInit(), ChronoInit())
    assert_orthogonal(cell.weight_h[:6].detach())
    assert (cell.bias_x[6:12] >= 0).all()
