"""Estimators that draw signs: their mean is the exact gradient, and converges at 1/√n."""

import numpy as np
import pytest
import torch
from support.streams import LM, NOW, last_gradients, model_of, stream

from rnnbench.contract import Batch
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.lstm import LSTM
from rnnbench_tricks.kf_rtrl import KFRTRL
from rnnbench_tricks.nobacktrack import NoBackTrack
from rnnbench_tricks.rtrl import RTRL
from rnnbench_tricks.uoro import UORO

REPEATS = 100


def gradient(model, trick, batch, rows):
    """The mean over so many equal rows, each of which draws signs of its own."""
    model.zero_grad()
    many = Batch(batch.x[:1].expand(rows, -1), batch.y[:1].expand(rows, -1))
    training_step(model, TrickFold([trick]), many, None, NOW, carried=True, memory={})
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("trick", "architecture"),
    [
        (UORO(every=None), GRU(hidden=3)),
        (UORO(every=None), LSTM(hidden=3)),
        (NoBackTrack(every=None), Elman(hidden=3)),
        (KFRTRL(every=None), Elman(hidden=3)),
        (KFRTRL(every=None), LSTM(hidden=2, layers=2)),
    ],
    ids=["uoro-gru", "uoro-lstm", "nobacktrack-elman", "kf-rtrl-elman", "kf-rtrl-lstm"],
)
def test_the_mean_over_draws_is_the_exact_gradient_at_one_over_root_n(trick, architecture):
    model, (batch,) = model_of(architecture), stream(1)
    exact = gradient(model, RTRL(every=None), batch, 1)
    torch.manual_seed(7)
    spread = {}
    for rows in (4, 64):
        drawn = torch.stack([gradient(model, trick, batch, rows) for _ in range(REPEATS)])
        error, noise = drawn.mean(0) - exact, drawn.std(0)
        noisy = noise > 1e-9
        assert float(error[~noisy].abs().max()) < 1e-9, "what is not random is exact"
        z = (error / noise)[noisy] * REPEATS**0.5
        assert int(noisy.sum()) > 20
        # A sum of 100 draws beyond 5 standard errors has a chance of 2.5e-6 for each number.
        assert float(z.abs().max()) < 5, rows
        spread[rows] = float(noise[noisy].square().sum().sqrt())
    assert spread[4] / spread[64] == pytest.approx(4, rel=0.4)


def test_a_biased_estimate_is_seen_by_the_same_test():
    model, (batch,) = model_of(GRU(hidden=3)), stream(1)
    exact = gradient(model, RTRL(every=None), batch, 1)

    class Halved(UORO):
        def follow(self, step, memory):
            direct, _ = step.direct()
            whole = super().follow(step, memory)
            return [d if w is None or d is None else d + (w - d) / 2
                    for d, w in zip(direct, whole, strict=True)]  # fmt: skip

    torch.manual_seed(7)
    drawn = torch.stack([gradient(model, Halved(every=None), batch, 64) for _ in range(REPEATS)])
    noise = drawn.std(0)
    z = ((drawn.mean(0) - exact) / noise)[noise > 1e-9] * REPEATS**0.5
    assert float(z.abs().max()) > 5


def test_uoro_is_its_equations_in_a_naive_loop(monkeypatch):
    """One row of an elman network of two units: s̃ and θ̃ of W_h by loops, with the same signs."""
    trick, signs = UORO(every=None), []
    plain = torch.randint_like

    def noted(like, high):
        drawn = plain(like, high)
        signs.append((drawn * 2 - 1)[0].numpy().copy())
        return drawn

    model, (batch,) = model_of(Elman(hidden=2)), stream(1)
    batch = Batch(batch.x[:1], batch.y[:1])
    for name, p in model.named_parameters():
        p.requires_grad_(name.endswith("weight_h"))  # θ is W_h alone
    monkeypatch.setattr(torch, "randint_like", noted)
    found, _ = last_gradients(model, trick, [batch])
    w = {n: p.detach().numpy() for n, p in model.named_parameters()}
    wx, wh = (w[f"backbone.layers.0.weight_{k}"] for k in "xh")
    b = w["backbone.layers.0.bias_x"] + w["backbone.layers.0.bias_h"]
    h, s, theta, g, eps = np.zeros(2), None, None, np.zeros((2, 2)), 1e-7
    steps = batch.x.shape[1]
    for t, (token, target) in enumerate(zip(batch.x[0].tolist(), batch.y[0].tolist(), strict=True)):
        new = np.tanh(wx @ w["embed.map.weight"][token] + wh @ h + b)
        slope = 1 - new**2
        logits = w["readout.weight"] @ new + w["readout.bias"]
        error = np.exp(logits) / np.exp(logits).sum() - np.eye(7)[target]
        dh = w["readout.weight"].T @ error
        f_s = slope[:, None] * wh
        direct = (dh * slope)[:, None] * h[None, :]
        g += direct / steps
        if s is not None:
            g += ((dh @ f_s) @ s) * theta / steps
        nu = signs[t]
        pulled = (nu * slope)[:, None] * h[None, :]
        rho1 = np.sqrt((np.sqrt((pulled**2).sum()) + eps) / (np.sqrt((nu**2).sum()) + eps))
        if s is None:
            s, theta = rho1 * nu, pulled / rho1
        else:
            moved = f_s @ s
            rho0 = np.sqrt((np.sqrt((theta**2).sum()) + eps) / (np.sqrt((moved**2).sum()) + eps))
            s, theta = rho0 * moved + rho1 * nu, theta / rho0 + pulled / rho1
        h = new
    np.testing.assert_allclose(found["backbone.layers.0.weight_h"], g, atol=1e-12)


@pytest.mark.parametrize("trick", [UORO(every=None), NoBackTrack(every=None), KFRTRL(every=None)],
                         ids=lambda t: t.name)  # fmt: skip
def test_the_influence_survives_the_limits_of_batches(trick):
    """Two batches with carried memory are one batch of both, signs included."""
    model, batches = model_of(LSTM(hidden=3)), stream(2)
    whole = Batch(*(torch.cat([getattr(b, n) for b in batches], 1) for n in ("x", "y")))
    sums = []
    for read in (batches, [whole]):
        torch.manual_seed(3)
        state, memory, total = None, {}, 0
        for batch in read:
            model.zero_grad()
            done = training_step(model, TrickFold([trick]), batch, state, NOW, True, memory=memory)
            state = done.state
            total = total + torch.cat([p.grad.flatten() for p in model.parameters()])
        sums.append(total / len(read))
    torch.testing.assert_close(*sums, rtol=1e-9, atol=1e-12)


def test_assembling_draws_nothing_that_a_run_without_the_trick_would_not():
    torch.manual_seed(0)
    bare = assemble(Elman(hidden=3), LM, TrickFold()).state_dict()
    torch.manual_seed(0)
    with_trick = assemble(Elman(hidden=3), LM, TrickFold([KFRTRL()])).state_dict()
    assert all(torch.equal(bare[k], with_trick[k]) for k in bare)
