"""Recurrent dropout against the paper's cells, unit by unit."""

import math

import pytest
import torch
from support.toys import TOYS

from rnnbench.contract import Refusal
from rnnbench.nn import scan
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.lstm import LSTM, LSTMCell
from rnnbench_tricks.recurrent_dropout import RecurrentDropout


def built(*tricks, architecture=None, toy="lm", seed=0):
    torch.manual_seed(seed)
    folded = TrickFold(tricks)
    return assemble(architecture or LSTM(hidden=6), TOYS[toy], folded), folded


# ------------------------------------------------------------------------------ recurrent dropout


def by_hand(cell, x, masks):
    """Semeniuta's cells, unit by unit; masks[t][unit] multiplies the candidate."""

    def s(v):
        return 1 / (1 + math.exp(-v))

    size = cell.hidden
    wx, wh = cell.weight_x.tolist(), cell.weight_h.tolist()
    bx, bh = cell.bias_x.tolist(), cell.bias_h.tolist()
    h, c, outputs = [0.0] * size, [0.0] * size, []
    for t, x_t in enumerate(x.tolist()):
        p = [sum(w * v for w, v in zip(r, x_t, strict=True)) + b
             for r, b in zip(wx, bx, strict=True)]  # fmt: skip
        q = [sum(w * v for w, v in zip(r, h, strict=True)) + b for r, b in zip(wh, bh, strict=True)]
        new = []
        for u in range(size):
            at = [u + k * size for k in range(len(p) // size)]
            if isinstance(cell, LSTMCell):
                i, f, g, o = (p[k] + q[k] for k in at)
                c[u] = s(f) * c[u] + s(i) * masks[t][u] * math.tanh(g)
                new.append(s(o) * math.tanh(c[u]))
            else:
                r, z = (s(p[k] + q[k]) for k in at[:2])
                n = masks[t][u] * math.tanh(p[at[2]] + r * q[at[2]])
                new.append((1 - z) * n + z * h[u])
        h = new
        outputs.append(h)
    return torch.tensor(outputs, dtype=torch.float64)


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell])
def test_recurrent_dropout_equals_the_papers_cells_unit_by_unit(kind):
    torch.manual_seed(0)
    cell = RecurrentDropout(rate=0.3).cell(kind(2, 3).double())
    x = torch.randn(1, 6, 2, dtype=torch.float64)
    torch.manual_seed(4)
    y, _ = cell(x)
    torch.manual_seed(4)
    (kept,) = cell.noise(6, (torch.zeros(1, 3, dtype=torch.float64),))
    assert 0 < int(kept.sum()) < kept.numel()
    torch.testing.assert_close(y[0], by_hand(cell.inner, x[0], kept[:, 0].double().tolist()))
    y, _ = cell.eval()(x)
    torch.testing.assert_close(y[0], by_hand(cell.inner, x[0], [[0.7] * 3] * 6))


@pytest.mark.parametrize(
    "settings", [{"peepholes": True}, {"coupled": True}, {"forget_gate": False}, {"projection": 2}]
)
def test_recurrent_dropout_holds_for_every_variant_of_the_lstm(settings):
    """Dropping all of what is written leaves c = f c, so that from 0 nothing is ever remembered."""
    torch.manual_seed(0)
    bare = LSTMCell(2, 3, **settings).double()
    cell = RecurrentDropout(rate=0.5).cell(bare)
    x = torch.randn(4, 5, 2, dtype=torch.float64)
    state = cell.initial(x[:, 0])
    nothing = (torch.zeros(4, 3, dtype=torch.bool),)
    for p in cell.project(x, state).unbind(1):
        y, state = cell.tick(p, state, (nothing, ()))
        assert not y.any()
        assert not state[1].any()
    full = (torch.ones(4, 3, dtype=torch.bool),)
    p, state = cell.project(x, state)[:, 0], tuple(torch.randn_like(s) for s in state)
    for a, b in zip(cell.tick(p, state, (full, ()))[1], bare.advance(p, state)[1], strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell])
def test_recurrent_dropout_runs_in_the_fast_tier(kind):
    torch.manual_seed(0)
    cell = RecurrentDropout(rate=0.3).cell(kind(2, 4))
    for training in (True, False):
        cell.train(training)
        scan.use("c")
        cell(torch.randn(2, 5, 2))
        assert [r["tier"] for r in scan.report()] == ["c"]
    scan.use()


def test_recurrent_dropout_is_refused_where_a_cell_writes_no_candidate():
    with pytest.raises(Refusal, match="has none by that name"):
        built(RecurrentDropout(), architecture=Elman(hidden=4))
    with pytest.raises(Refusal, match="another step"):
        built(RecurrentDropout(), architecture=GRU(hidden=4, reset="before"))
