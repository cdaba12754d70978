"""Each trick against its paper's equations, at its null value, and where it cannot act."""

import dataclasses
import math

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn

from rnnbench.contract import Cell, Moment, Port, Refusal
from rnnbench.nn import Embed
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.lstm import LSTMCell
from rnnbench_tricks._word_dropout import WordDropout
from rnnbench_tricks.clip import Clip
from rnnbench_tricks.scheduled_sampling import ScheduledSampling
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout

NOW = Moment(step=10, progress=0.5)


def parameters_with(*gradients):
    found = []
    for g in gradients:
        p = nn.Parameter(torch.zeros(len(g)))
        p.grad = torch.tensor(g)
        found.append(p)
    return found


def test_clip_by_norm_scales_all_gradients_by_one_factor():
    a, b = Clip(limit=1.0).gradient(parameters_with([3.0], [0.0, 4.0]), NOW)
    assert torch.cat([a.grad, b.grad]).tolist() == pytest.approx([0.6, 0.0, 0.8], abs=1e-5)


def test_clip_by_norm_leaves_a_short_gradient_alone():
    (a,) = Clip(limit=6.0).gradient(parameters_with([3.0, 4.0]), NOW)
    assert a.grad.tolist() == [3.0, 4.0]


def test_clip_by_value_bounds_every_component_by_itself():
    (a,) = Clip(by="value", limit=0.5).gradient(parameters_with([3.0, -0.1, -9.0]), NOW)
    assert a.grad.tolist() == pytest.approx([0.5, -0.1, -0.5])


def test_zoneout_at_rate_zero_is_the_bare_cell():
    cell = LSTMCell(3, 4)
    assert Zoneout(rate=0.0).cell(cell) is cell


def test_zoneout_at_rate_one_keeps_the_initial_state():
    y, (h, c) = Zoneout(rate=1.0).cell(LSTMCell(3, 4))(torch.randn(2, 5, 3))
    assert not any(t.any() for t in (y, h, c))


def test_zoneout_at_evaluation_is_the_mean_of_its_training_steps():
    cell = Zoneout(rate=0.3, cell_rate=0.6).cell(LSTMCell(3, 4))
    x, state = torch.randn(1, 3).expand(20000, 3), (torch.randn(1, 4), torch.randn(1, 4))
    state = tuple(s.expand(20000, 4) for s in state)
    _, drawn = cell.step(x, state)
    _, mean = cell.eval().step(x, state)
    for d, m in zip(drawn, mean, strict=True):
        torch.testing.assert_close(d.mean(0), m[0], atol=0.02, rtol=0)


def test_zoneout_draws_a_mask_of_its_own_for_hidden_and_cell_state():
    torch.manual_seed(0)
    cell = Zoneout(rate=0.5).cell(LSTMCell(3, 50))
    state = (torch.full((1, 50), 7.0), torch.full((1, 50), 7.0))
    y, (h, c) = cell.step(torch.randn(1, 3), state)
    kept_h, kept_c = h == 7, c == 7
    assert 10 < kept_h.sum() < 40
    assert (kept_h != kept_c).any()
    assert torch.equal(y, h), "the output is the mixed hidden state"


def test_zoneout_draws_anew_at_every_step_and_for_every_row():
    torch.manual_seed(0)
    cell = Zoneout(rate=0.5).cell(LSTMCell(3, 50))
    hidden, memory = cell.noise(4, cell.initial(torch.zeros(2, 3)))
    assert hidden.shape == memory.shape == (4, 2, 50)
    masks = [*hidden.flatten(0, 1), *memory.flatten(0, 1)]
    assert len({tuple(m.tolist()) for m in masks}) == len(masks)


def test_zoneout_leaves_the_masks_of_another_trick_alone():
    cell = VariationalDropout(input=0.5, hidden=0.5).cell(LSTMCell(3, 4))
    cell = Zoneout(rate=1.0).cell(cell)
    x = torch.randn(2, 5, 3)
    state = cell.initial(x[:, 0])
    assert len(cell.noise(5, state[:2])) == 2
    _, (h, c, mask_x, mask_h) = cell(x, state)
    assert not torch.cat([h, c]).any()
    assert torch.equal(mask_x, state[2])
    assert torch.equal(mask_h, state[3])


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


def test_zoneout_around_variational_dropout_and_the_reverse_both_drop_inputs():
    for order in (["zoneout", "vd"], ["vd", "zoneout"]):
        cell = LSTMCell(3, 4)
        for name in order:
            trick = Zoneout(rate=0.0, cell_rate=0.5) if name == "zoneout" else None
            cell = (trick or VariationalDropout(input=0.9, hidden=0.0)).cell(cell)
        y, _ = cell(torch.full((200, 1, 3), 3.0))
        assert len(y[:, 0, 0].unique()) > 1, order


def test_word_dropout_drops_all_occurrences_of_a_word_together():
    torch.manual_seed(0)
    dropped = WordDropout(Embed(Port(classes=20), 4), 0.5)
    x = torch.arange(20).repeat(2, 1)
    y = dropped(x)
    assert torch.equal(y[0], y[1])
    assert 2 < (y[0] == 0).all(-1).sum() < 18
    assert not (dropped.eval()(x) == 0).all(-1).any()


@pytest.mark.parametrize("decay", ["linear", "exponential", "inverse-sigmoid"])
def test_scheduled_sampling_falls_from_one_to_last(decay):
    trick = ScheduledSampling(decay=decay, last=0.2, k=20.0)
    values = [trick.gold_probability(p / 10) for p in range(11)]
    assert values[0] == pytest.approx(1.0, abs=0.05)
    assert values[-1] == pytest.approx(0.2)
    assert values == sorted(values, reverse=True)


def test_the_decays_are_those_of_the_paper():
    assert ScheduledSampling("linear", last=0.2).gold_probability(0.5) == pytest.approx(0.6)
    assert ScheduledSampling("exponential", last=0.25).gold_probability(0.5) == pytest.approx(0.5)
    k, last, p = 7.0, 0.1, 0.3
    steps_over_k = p * math.log(k * (1 / last - 1))
    expected = k / (k + math.exp(steps_over_k))
    assert ScheduledSampling("inverse-sigmoid", last, k).gold_probability(p) == expected


def test_scheduled_sampling_tosses_a_coin_for_every_token():
    torch.manual_seed(0)
    gold, guess = torch.zeros(2000, 1, dtype=torch.long), torch.ones(2000, 1, dtype=torch.long)
    fed = ScheduledSampling(last=0.4).feed(gold, guess, Moment(0, 0.5))
    assert fed.double().mean().item() == pytest.approx(0.3, abs=0.03)


def test_no_gradient_flows_through_the_sample():
    task = TOYS["forecast"]
    tricks = TrickFold([ScheduledSampling(last=1e-6)])
    torch.manual_seed(0)
    model = assemble(TinyLSTM(), task, tricks)
    seen = []
    model.embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].requires_grad))
    training_step(model, tricks, task.example(), None, Moment(1, 1.0))
    assert len(seen) == task.example().y.shape[1]
    assert not any(seen)


def test_tied_weights_are_one_tensor_and_train_as_one():
    task = TOYS["lm"]
    tricks = TrickFold([TiedWeights()])
    model = assemble(TinyLSTM(), task, tricks)
    assert model.embed.map.weight is model.readout.weight
    names = [n for n, _ in model.named_parameters()]
    assert "embed.map.weight" in names
    assert "readout.weight" not in names


@pytest.mark.parametrize(
    ("task", "architecture", "message"),
    [
        ("forecast", TinyLSTM(), "real-valued"),
        ("tagging", TinyLSTM(), "one vocabulary"),
        ("lm", TinyLSTM(embedding=5), "architecture.embedding"),
    ],
)
def test_tied_weights_are_refused_where_there_is_nothing_to_tie(task, architecture, message):
    with pytest.raises(Refusal, match=message):
        assemble(architecture, TOYS[task], TrickFold([TiedWeights()]))


def test_zoneout_mixes_units_only_and_leaves_clocks_boundaries_and_histories_alone():
    from rnnbench.registry.registry import load

    for name, settings in (
        ("clockwork", {"hidden": 6, "modules": 2}), ("narx", {"hidden": 5, "delays": 3}),
        ("hm-lstm", {"hidden": 5, "levels": 2}), ("lstm", {"hidden": 6, "projection": 4}),
    ):  # fmt: skip
        cls = load("architectures", name)
        known = {f.name for f in dataclasses.fields(cls)}
        torch.manual_seed(0)
        backbone = cls(**{k: v for k, v in settings.items() if k in known}).build(3, causal=True)
        (cell,) = backbone.layers if hasattr(backbone, "layers") else (backbone,)
        for training in (True, False):
            wrapped = Zoneout(rate=0.5).cell(cell).train(training)
            x = torch.randn(2, 9, 3)
            _, state = wrapped(x)
            assert all(
                s.dtype == t.dtype for s, t in zip(state, cell.initial(x[:, 0]), strict=True)
            )
            for s in state:
                if not s.is_floating_point():
                    assert (s == s[0]).all()
                elif s.shape[1:] == (1,):
                    assert set(s.flatten().tolist()) <= {0.0, 1.0}, name
