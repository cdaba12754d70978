"""Zoneout against its paper's equations: in training, at evaluation, and beside other tricks."""

import dataclasses

import torch

from rnnbench_architectures.lstm import LSTMCell
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout


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


def test_zoneout_around_variational_dropout_and_the_reverse_both_drop_inputs():
    for order in (["zoneout", "vd"], ["vd", "zoneout"]):
        cell = LSTMCell(3, 4)
        for name in order:
            trick = Zoneout(rate=0.0, cell_rate=0.5) if name == "zoneout" else None
            cell = (trick or VariationalDropout(input=0.9, hidden=0.0)).cell(cell)
        y, _ = cell(torch.full((200, 1, 3), 3.0))
        assert len(y[:, 0, 0].unique()) > 1, order


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
