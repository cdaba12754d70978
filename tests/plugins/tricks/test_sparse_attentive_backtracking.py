"""Sparse attentive backtracking against the paper's equations, row by row and step by step."""

import math

import pytest
import torch
from support.streams import NOW, model_of, stream
from torch.nn import functional as F

from rnnbench.training.train_step import TrickFold, training_step
from rnnbench_architectures.elman import Elman, ElmanCell
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.lstm import LSTM, LSTMCell
from rnnbench_tricks._sparse_attentive_cell import RemindedCell, sparse, truncating
from rnnbench_tricks.sparse_attentive_backtracking import SparseAttentiveBacktracking


def trick(k_trunc=4, k_att=1, k_top=2, memories=20, readout="both"):
    return SparseAttentiveBacktracking(k_trunc, k_att, k_top, memories, readout)


def spread(module):
    """Scores start near 0; away from it the choice of memories is one that can be tested."""
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, RemindedCell):
                m.score.weight.copy_(torch.linspace(-1.5, 2.0, m.hidden)[None])
    return module


def reminded(kind=LSTMCell, d_in=2, hidden=3, said=False, k_trunc=4, k_att=1, k_top=2, memories=20):
    torch.manual_seed(0)
    return spread(RemindedCell(kind(d_in, hidden), k_trunc, k_att, k_top, memories, said).double())


def drawn(rows, steps, d_in=2, seed=1):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, steps, d_in, dtype=torch.float64, generator=random)


# --------------------------------------------------------------------- the paper's loops, naively


def weights_of(scores, k_top):
    """Return ã / Σ ã of a list of numbers or scalar tensors."""
    if len(scores) <= k_top:
        return list(scores)
    values = [a.item() if isinstance(a, torch.Tensor) else a for a in scores]
    limit = sorted(range(len(scores)), key=lambda i: -values[i])[k_top]
    over = [
        a - scores[limit] if v > values[limit] else 0 for a, v in zip(scores, values, strict=True)
    ]
    return [o / sum(over) for o in over]


def in_floats(cell, x_TD):
    """h_t and s_t of one row by an LSTM's equations, unit by unit on plain numbers."""

    def product(matrix, vector):
        return [sum(w * v for w, v in zip(row, vector, strict=True)) for row in matrix.tolist()]

    def squash(v):
        return 1 / (1 + math.exp(-v))

    lstm, size = cell.inner, cell.hidden
    h, c, memories, said = [0.0] * size, [0.0] * size, [], []
    bias = (lstm.bias_x + lstm.bias_h).tolist()
    for t, x in enumerate(x_TD.tolist(), start=1):
        products = product(lstm.weight_x, x), product(lstm.weight_h, h), bias
        a = [sum(terms) for terms in zip(*products, strict=True)]
        i, f, g, o = (a[k * size : (k + 1) * size] for k in range(4))
        c = [squash(f[u]) * c[u] + squash(i[u]) * math.tanh(g[u]) for u in range(size)]
        hat = [squash(o[u]) * math.tanh(c[u]) for u in range(size)]
        query, scores = product(cell.map_hidden.weight, hat), []
        for m in memories:
            d = [k + q for k, q in zip(product(cell.map_memory.weight, m), query, strict=True)]
            scores += product(cell.score.weight, [math.tanh(v) for v in d])
        w = weights_of(scores, cell.k_top)
        s = [sum(w_i * m[u] for w_i, m in zip(w, memories, strict=True)) for u in range(size)]
        h = [hat[u] + s[u] for u in range(size)]
        said.append((h, s))
        if t % cell.k_att == 0:
            memories = [*memories, h][-cell.memories :]
    return said


def in_tensors(cell, x_TD, past=None):
    """Outputs of one row and what goes on, with an explicit detach where the gradient stops.

    `past` is (steps done, the inner cell's state, the list of memories).
    """
    t, state, memories = past or (0, cell.inner.initial(x_TD[:1]), [])
    outputs = []
    for x_D in x_TD:
        if t > 0 and t % cell.k_trunc == 0:
            state = tuple(s.detach() for s in state)
        hat, state = cell.inner.step(x_D[None], state)
        scores = [
            cell.score.weight[0]
            @ torch.tanh(cell.map_memory.weight @ m + cell.map_hidden.weight @ hat[0])
            for m in memories
        ]
        s = torch.zeros_like(hat[0])
        for w, m in zip(weights_of(scores, cell.k_top), memories, strict=True):
            s = s + w * m
        h, t = hat[0] + s, t + 1
        state = (h[None], *state[1:])
        outputs.append(torch.cat([h, s]) if cell.says_summary else h)
        if t % cell.k_att == 0:
            memories = [*memories, h][-cell.memories :]
    return torch.stack(outputs), (t, state, memories)


# ---------------------------------------------------------------------------------------- forward


@pytest.mark.parametrize(
    ("k_att", "k_top", "memories"), [(1, 2, 20), (2, 1, 20), (1, 3, 5), (3, 2, 3), (1, 1, 2)]
)
def test_forward_equals_the_papers_equations_unit_by_unit(k_att, k_top, memories):
    cell = reminded(said=True, k_att=k_att, k_top=k_top, memories=memories)
    x = drawn(3, 14)
    y, _ = cell(x)
    assert y.shape == (3, 14, 6)
    reached = 0.0
    for row in range(3):
        for t, (h, s) in enumerate(in_floats(cell, x[row])):
            assert y[row, t].tolist() == pytest.approx([*h, *s], abs=1e-10)
            reached = max(reached, *map(abs, s))
    assert reached > 0.1, "memories matter here"


def test_the_readout_reads_the_state_and_the_summary():
    model = spread(model_of(LSTM(hidden=4), trick()))
    batch = stream(1)[0]
    (cell,) = (m for m in model.modules() if isinstance(m, RemindedCell))
    v1, v2 = model.readout.weight.split(4, 1)
    for row in range(2):
        embedded = model.embed(batch.x[row : row + 1])[0]
        for t, (h, s) in enumerate(in_floats(cell, embedded.detach())):
            h, s = (torch.tensor(v, dtype=torch.float64) for v in (h, s))
            out = v1 @ h + v2 @ s + model.readout.bias
            torch.testing.assert_close(model(batch).out[row, t], out)


def test_at_most_k_top_weights_are_not_zero_and_they_sum_to_one():
    a = drawn(200, 12)[..., 0]
    for k_top in (1, 3, 11):
        w = sparse(a, k_top)
        assert ((w > 0).sum(-1) == k_top).all()
        torch.testing.assert_close(w.sum(-1), torch.ones(200, dtype=torch.float64))
        for row, found in zip(a.tolist(), w.tolist(), strict=True):
            assert found == pytest.approx(weights_of(row, k_top))


def test_of_equal_scores_none_is_chosen_and_no_gradient_is_infinite():
    a = torch.ones(2, 5, requires_grad=True)
    w = sparse(a, 2)
    assert not w.any()
    w.sum().backward()
    assert not a.grad.any()


def test_a_place_without_memory_has_no_weight():
    a = drawn(4, 6)[..., 0]
    there = torch.arange(6) >= torch.tensor([6, 4, 3, 0])[:, None]
    w = sparse(a, 2, there)
    assert not w[0].any()
    assert torch.equal(w[1], torch.where(there[1], a[1], 0.0)), "as many as k_top: the scores"
    torch.testing.assert_close(w[2, 3:], sparse(a[2:3, 3:], 2)[0])
    torch.testing.assert_close(w[3], sparse(a[3:], 2)[0])


def test_evaluation_and_training_say_the_same_and_nothing_is_left_cut():
    model, batches = spread(model_of(GRU(hidden=4), trick(k_trunc=2))), stream(2)
    before = model.eval()(batches[0]).out
    done = training_step(model.train(), TrickFold([trick(k_trunc=2)]), batches[0], None, NOW)
    torch.testing.assert_close(done.loss, model.loss(before, batches[0]).detach())
    assert torch.equal(model.train()(batches[0]).out, before)
    assert not any(m.truncates for m in model.modules() if isinstance(m, RemindedCell))


# --------------------------------------------------------------------------------------- backward


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell, ElmanCell])
@pytest.mark.parametrize(("k_trunc", "k_att", "k_top"), [(1, 1, 2), (3, 2, 1), (4, 3, 2)])
def test_backward_equals_a_loop_that_detaches_where_the_gradient_stops(kind, k_trunc, k_att, k_top):
    cell = reminded(kind, said=True, k_trunc=k_trunc, k_att=k_att, k_top=k_top, memories=4)
    x = drawn(2, 13).requires_grad_()
    upstream = drawn(2, 13, 6, seed=2)
    inputs = [x, *cell.parameters()]
    with truncating(cell):
        y, _ = cell(x)
        found = torch.autograd.grad((y * upstream).sum(), inputs)
        stepped, _ = cell.scan(x)
        again = torch.autograd.grad((stepped * upstream).sum(), inputs)
    naive = torch.stack([in_tensors(cell, x[row])[0] for row in range(2)])
    expected = torch.autograd.grad((naive * upstream).sum(), inputs)
    torch.testing.assert_close(y, naive)
    for f, s, e in zip(found, again, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(s, e, rtol=1e-9, atol=1e-10)
    whole = torch.autograd.grad((cell(x)[0] * upstream).sum(), inputs)
    assert max((f - w).abs().max().item() for f, w in zip(found, whole, strict=True)) > 1e-3


def test_a_training_step_in_a_stream_goes_on_counting_and_reads_old_memories_as_values():
    """Batches of 5 steps with k_trunc = 4 and k_att = 2: neither ends with its batch."""
    how = trick(k_trunc=4, k_att=2, k_top=1, memories=4)
    model, batches, state = spread(model_of(LSTM(hidden=3), how)), stream(3), None
    for batch in batches:
        model.zero_grad()
        state = training_step(
            model, TrickFold([how]), batch, state, NOW, carried=True, memory={}
        ).state
    found = {n: p.grad for n, p in model.named_parameters()}
    assert state[0][2].tolist() == [[15]] * 4
    model.zero_grad()
    (cell,), outs = (m for m in model.modules() if isinstance(m, RemindedCell)), []
    for row in range(4):
        past = None
        for batch in batches:
            y, (t, inner, memories) = in_tensors(cell, model.embed(batch.x[row]), past)
            past = t, tuple(s.detach() for s in inner), [m.detach() for m in memories]
        outs.append(model.readout(y))
    F.cross_entropy(torch.cat(outs), batches[-1].y.flatten()).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("architecture", [LSTM(hidden=4), GRU(hidden=3, layers=2), Elman(hidden=4)])
def test_stretches_as_long_as_the_sequence_give_the_gradient_of_back_propagation(architecture):
    batch = stream(1)[0]
    gradients = []
    for k_trunc in (5, 2, None):
        how = trick(k_trunc=k_trunc or 1, k_top=1)
        model = spread(model_of(architecture, how))
        if k_trunc is None:
            model.loss(model(batch).out, batch).backward()
        else:
            training_step(model, TrickFold([how]), batch, None, NOW)
        gradients.append([p.grad for p in model.parameters()])
    whole, short, expected = gradients
    assert all(torch.equal(w, e) for w, e in zip(whole, expected, strict=True))
    assert max((s - e).abs().max().item() for s, e in zip(short, expected, strict=True)) > 1e-4


def test_a_far_input_is_reached_through_chosen_memories_alone():
    """Which inputs have a gradient follows from who was chosen, worked out as a graph."""
    cell = reminded(k_trunc=3, k_att=2, k_top=2, hidden=5, memories=50)
    x = drawn(1, 24).requires_grad_()
    chosen, looked = [], cell.reminded

    def noting(h_BH, m_BMH, *rest):
        k_BMH = cell.map_memory(m_BMH)
        a = cell.score(torch.tanh(k_BMH + cell.map_hidden(h_BH)[:, None]))[0, :, 0].tolist()
        # One more than k_top has a gradient, through the limit that its score is.
        chosen.append(sorted(range(len(a)), key=lambda i: -a[i])[: cell.k_top + 1])
        return looked(h_BH, m_BMH, *rest)

    cell.reminded = noting
    with truncating(cell):
        y, _ = cell(x)
    (slope,) = torch.autograd.grad(y[0, -1].sum(), x)
    reached, waiting = set(), [23]
    while waiting:
        t = waiting.pop()
        if t in reached:
            continue
        reached.add(t)
        waiting += [2 * i + 1 for i in chosen[t]]  # memory i is the state after step 2 i + 1
        waiting += [t - 1] if t % 3 else []
    assert {t for t in range(24) if slope[0, t].any()} == reached
    assert reached & set(range(15)), "far away, and reached"
    assert set(range(15)) - reached, "and not all of it"
    with torch.no_grad():
        cell.score.weight.zero_()  # all are equal, and none is chosen
    with truncating(cell):
        y, _ = cell(x)
    (slope,) = torch.autograd.grad(y[0, -1].sum(), x)
    assert {t for t in range(24) if slope[0, t].any()} == {21, 22, 23}
