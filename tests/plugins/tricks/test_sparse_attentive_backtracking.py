"""Sparse attentive backtracking against the paper's equations, row by row and step by step."""

import math

import pytest
import torch
from support.streams import LM, NOW, model_of, stream
from support.toys import TOYS, TinyLSTM
from torch.nn import functional as F

from rnnbench.contract import Batch, Refusal
from rnnbench.nn import scan
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.testing.fixtures.small_architectures import Averaging
from rnnbench.training.dry_run import check
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench.training.train_step import TrickFold, training_step
from rnnbench_architectures.dilated import DilatedRNN
from rnnbench_architectures.elman import Elman, ElmanCell
from rnnbench_architectures.gru import GRU, GRUCell
from rnnbench_architectures.hm_lstm import HMLSTM
from rnnbench_architectures.lstm import LSTM, LSTMCell
from rnnbench_tricks._sparse_attentive_cell import RemindedCell, sparse, truncating
from rnnbench_tricks.highway import Highway
from rnnbench_tricks.residual import Residual
from rnnbench_tricks.rtrl import RTRL
from rnnbench_tricks.sparse_attentive_backtracking import SparseAttentiveBacktracking
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.zoneout import Zoneout


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
    """Of a list of numbers or scalar tensors."""
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


# ------------------------------------------------------------------------------------- the memory


@pytest.mark.parametrize("k_att", [1, 3])
def test_memories_outlast_the_borders_of_chunks(k_att):
    cell = reminded(k_att=k_att, memories=4)
    x = drawn(2, 17)
    whole, last = cell(x)
    state, parts = None, []
    for chunk in x.split([1, 4, 2, 10], 1):
        y, state = cell(chunk, state)
        parts.append(y)
        state = cell.carry(state)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    for a, b in zip(state, last, strict=True):
        torch.testing.assert_close(a, b)
    assert cell.apart == (1, 2)
    forgetful, _ = cell(x[:, 7:], (state[0] * 0, state[1] * 0, state[2] * 0, state[3] * 0))
    assert (forgetful - whole[:, 7:]).abs().max().item() > 1e-2


def test_rows_that_have_made_unequal_numbers_of_steps_are_read_on_as_each_would_be():
    cell = reminded(k_trunc=3, k_att=2, memories=4)
    x = drawn(2, 12)
    states = [cell(x[row : row + 1, :begin])[1] for row, begin in enumerate((4, 7))]
    together = tuple(torch.cat(pair) for pair in zip(*states, strict=True))
    with truncating(cell):
        y, _ = cell(x[:, 7:], together)
        for row in range(2):
            alone, _ = cell(x[row : row + 1, 7:], states[row])
            torch.testing.assert_close(y[row], alone[0])
            found, expected = (
                torch.autograd.grad(v.sum(), cell.inner.weight_h, retain_graph=True)[0]
                for v in (y[row], alone)
            )
            torch.testing.assert_close(found, expected)


def test_a_full_memory_forgets_the_oldest():
    cell = reminded(k_att=2, memories=3)
    x = drawn(1, 9)
    y, (_, memory, clock, _) = cell(x)
    torch.testing.assert_close(memory[0], y[0, [3, 5, 7]])
    assert clock.tolist() == [[9]]
    _, (_, early, _, _) = cell(x[:, :3])
    torch.testing.assert_close(early[0, 2], y[0, 1])
    assert not early[0, :2].any()


def test_masks_of_a_cell_inside_stay_last_in_the_state_and_zoneout_stays_inside():
    how = trick(readout="state")
    model = model_of(LSTM(hidden=4), Zoneout(rate=0.4), how)
    (cell,) = (m for m in model.modules() if isinstance(m, RemindedCell))
    assert type(cell.inner).__name__ == "ZoneoutCell"
    batch = stream(1)[0]
    torch.manual_seed(3)
    first = training_step(model, TrickFold([how]), batch, None, NOW).loss
    torch.manual_seed(3)
    assert training_step(model, TrickFold([how]), batch, None, NOW).loss == first
    assert training_step(model, TrickFold([how]), batch, None, NOW).loss != first


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("architecture", "toy", "tricks", "reason"),
    [
        (LSTM(hidden=4), "lm", [trick(), RTRL()], "one estimator"),
        (Averaging(), "lm", [trick()], "this model has none"),
        (HMLSTM(hidden=4), "lm", [trick()], "something else than its hidden state"),
        (LSTM(hidden=4), "translate", [trick()], r"encoder and luong.*\n.*readout=state"),
        (LSTM(hidden=4), "classify", [trick(k_att=5)], r"k_att = 5.*\n.*Lower"),
        (
            DilatedRNN(hidden=4),
            "caption",
            [trick(k_att=2, readout="state")],
            "a layer makes 1 steps",
        ),
        (TinyLSTM(), "lm", [Residual(), trick()], r"not the output of one recurrent layer"),
        (TinyLSTM(layers=2, residual=True), "lm", [trick()], "not the output of one"),
        (TinyLSTM(), "lm", [trick(), Highway()], "the output 12"),
        (TinyLSTM(), "lm", [TiedWeights(), trick()], "shares its weights"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(architecture, toy, tricks, reason):
    with pytest.raises(Refusal, match=reason):
        check(architecture, TOYS[toy], tricks, batch=TOYS[toy].example())


def test_what_reads_states_alone_is_accepted_with_the_readout_of_states():
    check(TinyLSTM(), LM, [Residual(), trick(readout="state")], batch=LM.example())
    for toy in ("translate", "forecast"):
        check(LSTM(hidden=4), TOYS[toy], [trick(readout="state")], batch=TOYS[toy].example())


def test_a_memory_that_never_leaves_anything_out_is_refused():
    with pytest.raises(Refusal, match="Set memories to 6"):
        SparseAttentiveBacktracking(k_top=5, memories=5)


def test_a_tier_that_would_hide_where_the_gradient_stops_is_refused():
    scan.use("c")
    try:
        with pytest.raises(RuntimeError, match="cannot run in this tier"):
            reminded()(drawn(1, 3))
    finally:
        scan.use()


def test_a_batch_too_short_for_a_memory_leaves_no_weight_without_gradient():
    how = trick(k_att=4, readout="state")
    model, batch = model_of(LSTM(hidden=4), how), stream(1)[0]
    training_step(model, TrickFold([how]), Batch(batch.x[:, :3], batch.y[:, :3]), None, NOW)
    gradients = {n: p.grad for n, p in model.named_parameters()}
    assert all(g is not None for g in gradients.values())
    assert {n for n, g in gradients.items() if not g.any()} >= {
        f"backbone.layers.0.{part}.weight" for part in ("map_memory", "map_hidden", "score")
    }


# -------------------------------------------------------------------------------------- learning


def accuracy(root, trick, seed=1):
    """Share of symbols right on the test split, as `sweeps/copy-memory-credit.yaml` trains."""
    settings = {
        "architecture.hidden": 64,
        "task.symbols": 2,
        "task.delay": 20,
        "optimizer.lr": 2e-3,
        "budget.steps": 800,
        "budget.validate_every": 100,
    }
    spec = resolve(compose("copy-memory", "lstm", ["clip", trick], settings, seed=seed))
    record = execute(spec, store=Store(root))
    assert record.status is Status.DONE, record.reason
    print(f"{spec.run_id} seed {seed}: {record.metrics['test']}")
    return record.metrics["test"]["accuracy"]


@pytest.mark.slow
def test_it_recalls_over_more_blanks_than_the_gradient_goes_back_where_tbptt_does_not(tmp_path):
    """Ke et al. (2018), the copying task, at small size; chance is 1/8."""
    how = "sparse-attentive-backtracking:k_trunc=5,k_att=1,k_top=5,memories=30"
    assert accuracy(tmp_path, how) > 0.95
    assert accuracy(tmp_path, "tbptt:k1=5") < 0.2
