"""Gradients that are exact: against back-propagation, naive loops and each other."""

import numpy as np
import pytest
import torch
from support.streams import LM, NOW, last_gradients, model_of, stream
from support.toys import TOYS

from rnnbench.contract import Batch, Refusal
from rnnbench.registry.registry import discover, load
from rnnbench.testing.fixtures.backbones import doubled
from rnnbench.testing.law import tiny
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.lstm import LSTM
from rnnbench_tricks.e_prop import EProp
from rnnbench_tricks.rtrl import RTRL
from rnnbench_tricks.snap import SnAp
from rnnbench_tricks.tbptt import TBPTT


def joined(batches):
    return Batch(torch.cat([b.x for b in batches], 1), torch.cat([b.y for b in batches], 1))


def backpropagated(model, batches):
    """Return the gradient by one graph through all batches."""
    model.zero_grad()
    state = None
    for batch in batches:
        result = model(batch, state)
        state = result.state
    loss = model.loss(result.out, batches[-1])
    (loss if result.penalty is None else loss + result.penalty).backward()
    return {n: p.grad for n, p in model.named_parameters()}, loss.detach()


def assert_equal(found, expected, limit=1e-10):
    for name, e in expected.items():
        f = found[name]
        if e is None:
            assert f is None or not f.any(), name
        else:
            assert float((f - e).abs().max()) <= limit, name


CELLS = ("clockwork", "dilated", "elman", "gru", "hierarchical", "hm-lstm", "lstm", "mist", "narx",
         "pointer-sentinel", "skip")  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_rtrl_equals_backpropagation_from_the_streams_beginning(name):
    model, batches = model_of(tiny(load("architectures", name))), stream()
    found, loss = last_gradients(model, RTRL(every=None), batches)
    expected, same = backpropagated(model, batches)
    assert_equal(found, expected)
    torch.testing.assert_close(loss, same)


def test_every_installed_architecture_is_followed_or_refused_with_a_reason():
    followed, refused = set(), {}
    for name in discover()[0]["architectures"]:
        try:
            model = model_of(tiny(load("architectures", name)))
            found, _ = last_gradients(model, RTRL(every=None), stream())
        except Refusal as why:
            refused[name] = str(why)
            continue
        followed.add(name)
        assert_equal(found, backpropagated(model, stream())[0])
    assert followed >= set(CELLS)
    assert all(len(why.splitlines()) >= 2 for why in refused.values())


@pytest.mark.parametrize(
    "architecture",
    [
        LSTM(hidden=4, layers=2, peepholes=True, projection=3),
        GRU(hidden=4, reset="before"),
        Elman(hidden=4, activation="relu", initialisation="identity"),
    ],
    ids=["lstm", "gru", "elman"],
)
def test_rtrl_is_exact_for_variants_of_cells_and_several_layers(architecture):
    model, batches = model_of(architecture), stream()
    found, _ = last_gradients(model, RTRL(every=None), batches)
    assert_equal(found, backpropagated(model, batches)[0])


def test_rtrl_on_rows_of_several_lengths_equals_backpropagation():
    toy = TOYS["tagging"]
    torch.manual_seed(0)
    model, batch = assemble(GRU(hidden=4), toy, TrickFold()).double(), doubled(toy.example())
    tricks = TrickFold([RTRL(every=None)])
    done = training_step(model, tricks, batch, None, NOW, carried=True, memory={})
    found = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    plain = training_step(model, TrickFold(), batch, None, NOW)
    assert_equal(found, {n: p.grad for n, p in model.named_parameters()})
    torch.testing.assert_close(done.loss, plain.loss)


def test_rtrl_of_elman_is_that_of_a_naive_loop_over_units():
    """Williams & Zipser's p^k_ij for one row: p'^k_ij = f'(s_k) (Σ_l w_kl p^l_ij + δ_ik h_j)."""
    model, (batch,) = model_of(Elman(hidden=3)), stream(1)
    batch = Batch(batch.x[:1], batch.y[:1])
    found, _ = last_gradients(model, RTRL(every=None), [batch])
    w = {n: p.detach().numpy() for n, p in model.named_parameters()}
    wx, wh = (w[f"backbone.layers.0.weight_{k}"] for k in "xh")
    b = w["backbone.layers.0.bias_x"] + w["backbone.layers.0.bias_h"]
    h, p, g = np.zeros(3), np.zeros((3, 3, 3)), np.zeros((3, 3))
    for token, target in zip(batch.x[0].tolist(), batch.y[0].tolist(), strict=True):
        new = np.tanh(wx @ w["embed.map.weight"][token] + wh @ h + b)
        q = np.zeros_like(p)
        for k in range(3):
            for i in range(3):
                for j in range(3):
                    inner = sum(wh[k, m] * p[m, i, j] for m in range(3)) + (i == k) * h[j]
                    q[k, i, j] = (1 - new[k] ** 2) * inner
        h, p = new, q
        logits = w["readout.weight"] @ h + w["readout.bias"]
        error = np.exp(logits) / np.exp(logits).sum() - np.eye(7)[target]
        g += np.einsum("k,kij->ij", w["readout.weight"].T @ error, p) / batch.x.shape[1]
    np.testing.assert_allclose(found["backbone.layers.0.weight_h"], g, atol=1e-12)


def test_rtrl_updates_within_a_batch_and_leaves_the_last_gradient_to_core():
    model, (batch,) = model_of(Elman(hidden=3)), stream(1)
    counts = []
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    step = plain.step
    plain.step = lambda *a: (counts.append(1), step(*a))[1]
    for every, updates in ((1, 4), (2, 2), (5, 0), (None, 0)):
        counts.clear()
        training_step(model, TrickFold([RTRL(every=every)]), batch, None, NOW, carried=True,
                      optimizer=plain, memory={})  # fmt: skip
        assert len(counts) == updates, every
        assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("architecture", [Elman(hidden=4), LSTM(hidden=3), GRU(hidden=3, layers=2)])
def test_snap_with_n_of_the_streams_length_is_rtrl(architecture):
    model, batches = model_of(architecture), stream()
    exact, _ = last_gradients(model, RTRL(every=None), batches)
    found, _ = last_gradients(model, SnAp(n=15, every=None), batches)
    assert_equal(found, exact, 1e-12)
    short, _ = last_gradients(model, SnAp(n=1, every=None), batches)
    name = "backbone.layers.0.weight_h"
    assert float((short[name] - exact[name]).abs().max()) > 1e-5


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_snap_keeps_what_arises_within_n_steps_along_a_ring_of_units(n):
    """Each unit feeds the next alone, and each parameter one unit: n units feel it in n steps."""
    feeds = torch.eye(4).roll(1, 0) != 0
    mask = SnAp(n=n).spread(torch.eye(4) != 0, feeds)
    expected = sum(torch.eye(4).roll(steps, 0) for steps in range(n)) != 0
    assert torch.equal(mask, expected)


def test_snap_1_of_elman_keeps_the_diagonal_of_the_transition():
    """j_ij' = f'(s_i) (w_ii j_ij + h_j): weight (i, j) is felt by unit i alone."""
    model, (batch,) = model_of(Elman(hidden=3)), stream(1)
    batch = Batch(batch.x[:1], batch.y[:1])
    found, _ = last_gradients(model, SnAp(n=1, every=None), [batch])
    traced, _ = naive_traces(model, batch, recurrent=True)
    np.testing.assert_allclose(found["backbone.layers.0.weight_h"], traced, atol=1e-12)


def naive_traces(model, batch, recurrent):
    """Σ_t L_t e_t for W_h of an elman network of three units, and the states."""
    w = {n: p.detach().numpy() for n, p in model.named_parameters()}
    wx, wh = (w[f"backbone.layers.0.weight_{k}"] for k in "xh")
    b = w["backbone.layers.0.bias_x"] + w["backbone.layers.0.bias_h"]
    h, e, g, states = np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3)), []
    for token, target in zip(batch.x[0].tolist(), batch.y[0].tolist(), strict=True):
        new = np.tanh(wx @ w["embed.map.weight"][token] + wh @ h + b)
        fresh = np.zeros((3, 3))
        for i in range(3):
            for j in range(3):
                own = wh[i, i] * e[i, j] if recurrent else 0.0
                fresh[i, j] = (1 - new[i] ** 2) * (own + h[j])
        h, e = new, fresh
        states.append(h)
        logits = w["readout.weight"] @ h + w["readout.bias"]
        error = np.exp(logits) / np.exp(logits).sum() - np.eye(7)[target]
        g += (w["readout.weight"].T @ error)[:, None] * e / batch.x.shape[1]
    return g, states


def test_e_prop_of_elman_knows_the_present_only():
    model, (batch,) = model_of(Elman(hidden=3)), stream(1)
    batch = Batch(batch.x[:1], batch.y[:1])
    found, _ = last_gradients(model, EProp(every=None), [batch])
    expected, _ = naive_traces(model, batch, recurrent=False)
    np.testing.assert_allclose(found["backbone.layers.0.weight_h"], expected, atol=1e-12)


def test_e_prop_of_an_lstm_is_that_of_a_naive_loop():
    """ε_t = f_t ε_{t-1} + ∂c_t/∂W for each weight,
    e_t = o_t tanh′(c_t) ε_t (and the output gate's part)."""
    model, (batch,) = model_of(LSTM(hidden=2)), stream(1)
    batch = Batch(batch.x[:1], batch.y[:1])
    found, _ = last_gradients(model, EProp(every=None), [batch])
    w = {n: p.detach().numpy() for n, p in model.named_parameters()}
    wx, wh = (w[f"backbone.layers.0.weight_{k}"] for k in "xh")
    b = w["backbone.layers.0.bias_x"] + w["backbone.layers.0.bias_h"]
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    h, c, eps, g = np.zeros(2), np.zeros(2), np.zeros((8, 2)), np.zeros((8, 2))
    for token, target in zip(batch.x[0].tolist(), batch.y[0].tolist(), strict=True):
        z = wx @ w["embed.map.weight"][token] + wh @ h + b
        i, f, o, u = sigmoid(z[:2]), sigmoid(z[2:4]), sigmoid(z[6:]), np.tanh(z[4:6])
        old_h, old_c = h, c
        c = f * c + i * u
        h = o * np.tanh(c)
        logits = w["readout.weight"] @ h + w["readout.bias"]
        error = np.exp(logits) / np.exp(logits).sum() - np.eye(7)[target]
        signal = w["readout.weight"].T @ error
        for j in range(2):
            slope = {0: i[j] * (1 - i[j]) * u[j], 1: f[j] * (1 - f[j]) * old_c[j],
                     2: i[j] * (1 - u[j] ** 2), 3: 0.0}  # fmt: skip
            for gate in range(4):
                row = 2 * gate + j
                for k in range(2):
                    eps[row, k] = f[j] * eps[row, k] + slope[gate] * old_h[k]
                    e = o[j] * (1 - np.tanh(c[j]) ** 2) * eps[row, k]
                    if gate == 3:
                        e += o[j] * (1 - o[j]) * np.tanh(c[j]) * old_h[k]
                    g[row, k] += signal[j] * e / batch.x.shape[1]
    np.testing.assert_allclose(found["backbone.layers.0.weight_h"], g, atol=1e-12)


def test_e_prop_with_random_feedback_leaves_the_readout_exact():
    trick = EProp(feedback="random", every=None)
    model, batches = model_of(GRU(hidden=4), trick), stream(1)
    found, _ = last_gradients(model, trick, batches)
    exact, _ = backpropagated(model, batches)
    assert_equal({"w": found["readout.weight"]}, {"w": exact["readout.weight"]})
    name = "backbone.layers.0.weight_h"
    assert float((found[name] - exact[name]).abs().max()) > 1e-4


def test_tbptt_of_the_batchs_length_is_the_default_bit_for_bit():
    batches = [LM.example(i) for i in range(3)]
    outcomes = []
    for tricks in (TrickFold(), TrickFold([TBPTT(k1=5, k2=5)]), TrickFold([TBPTT(k1=None)])):
        torch.manual_seed(0)
        model, state, memory = assemble(LSTM(hidden=6), LM, TrickFold()), None, {}
        optimizer = torch.optim.Adam(model.parameters())
        for batch in batches:
            optimizer.zero_grad()
            done = training_step(model, tricks, batch, state, NOW, carried=True,
                                 optimizer=optimizer, memory=memory)  # fmt: skip
            optimizer.step()
            state = done.state
        outcomes.append([p.detach().clone() for p in model.parameters()])
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


@pytest.mark.parametrize(("k2", "reach"), [(5, 5), (8, 8), (13, 13), (40, 15)])
def test_tbptt_traces_the_last_batchs_errors_back_through_k2_steps(k2, reach):
    model, batches = model_of(GRU(hidden=4)), stream()
    found, loss = last_gradients(model, TBPTT(k1=5, k2=k2), batches)
    whole = joined(batches)
    model.zero_grad()
    state, steps = None, whole.x.shape[1]
    with torch.no_grad():
        if steps > reach:
            state = model(Batch(whole.x[:, : steps - reach], whole.y[:, : steps - reach])).state
    out = model(Batch(whole.x[:, steps - reach :], whole.y[:, steps - reach :]), state).out
    expected = model.loss(out[:, -5:], batches[-1])
    expected.backward()
    assert_equal(found, {n: p.grad for n, p in model.named_parameters()})
    torch.testing.assert_close(loss, expected.detach())


def test_tbptt_that_leaves_steps_out_or_outlasts_its_batch_is_refused():
    from rnnbench.training.dry_run import check

    with pytest.raises(Refusal, match="never be learnt from"):
        TBPTT(k1=5, k2=3)
    with pytest.raises(Refusal, match="no k1"):
        TBPTT(k1=None, k2=3)
    with pytest.raises(Refusal, match="after 5 steps"):
        check(LSTM(hidden=4), LM, [TBPTT(k1=9)], batch=LM.example())


def test_what_cannot_be_followed_is_refused_with_its_reason():
    from rnnbench.training.dry_run import check
    from rnnbench_architectures.transformer import Transformer
    from rnnbench_tricks.kf_rtrl import KFRTRL

    for architecture, trick, toy, reason in (
        (Transformer(hidden=8, layers=1, heads=2), RTRL(), "lm", "grows while it reads"),
        (LSTM(hidden=4), RTRL(), "classify", "sequence-to-vector"),
        (LSTM(hidden=4), RTRL(every=None), "tagging", "back-propagation does the same"),
        (LSTM(hidden=40), RTRL(largest=1000), "lm", r"80 × \d+ = [\d,]+ numbers"),
        (GRU(hidden=4), KFRTRL(), "lm", "W_x x \\+ W_h h alone"),
        (LSTM(hidden=4, peepholes=True), KFRTRL(), "lm", "W_x x \\+ W_h h alone"),
        (LSTM(hidden=4, layers=2), EProp(), "lm", "one recurrent layer"),
        (GRU(hidden=4, reset="before"), EProp(), "lm", "GRUCell"),
    ):
        with pytest.raises(Refusal, match=reason):
            check(architecture, TOYS[toy], [trick], batch=TOYS[toy].example())
