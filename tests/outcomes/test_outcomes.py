"""Findings of the papers at small size: minutes each, so run by name with `pytest -m slow -s`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.trained.load import load_run
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve

pytestmark = pytest.mark.slow


def trained(root: Path, task, architecture, tricks=("clip",), seed=0, **settings):
    """Train a run; return its test figures and its id."""
    spec = resolve(
        compose(task, architecture, tricks, {k.replace("__", "."): v for k, v in settings.items()},
                seed=seed)
    )  # fmt: skip
    record = execute(spec, store=Store(root))
    assert record.status is Status.DONE, record.reason
    figures = record.metrics["test"]
    print(f"{spec.run_id} seed {seed}: {figures}")
    return figures, spec.run_id


def test_lstm_solves_adding_at_100_steps_where_elman_does_not(tmp_path):
    """Hochreiter & Schmidhuber (1997), experiment 4; solved is an mse below 0.0064."""
    settings = dict(budget__steps=3000, architecture__hidden=64)
    lstm = [trained(tmp_path, "adding", "lstm", seed=s, **settings)[0]["mse"] for s in (1, 2, 3)]
    elman = [
        trained(tmp_path, "adding", "elman", seed=1, optimizer__lr=lr, **settings)[0]["mse"]
        for lr in (3e-4, 1e-3, 3e-3)
    ]
    assert max(lstm) < 0.0064
    assert min(elman) > 0.1


def test_a_pointer_network_learns_the_hull_of_five_points(tmp_path):
    """Vinyals et al. (2015), table 1: an LSTM alone 87.7%, a pointer network 92.0%, area 99.6%."""
    figures, _ = trained(
        tmp_path, "convex-hull", "pointer-network", ["clip:limit=2"],
        budget__steps=6000, architecture__hidden=192, optimizer__lr=1.5e-3,
    )  # fmt: skip
    assert figures["accuracy"] > 0.85
    assert figures["area"] > 0.99


def test_additive_attention_aligns_a_translation_near_the_diagonal(tmp_path):
    """Bahdanau et al. (2015), figure 3. Rows of four subwords or more on both sides are counted."""
    figures, run_id = trained(
        tmp_path, "ui-en-de", "seq2seq", task__direction="de-en", task__max_tokens=24,
        budget__steps=2500, architecture__hidden=128, optimizer__lr=2e-3,
    )  # fmt: skip
    run = load_run(Store(tmp_path), run_id)
    data = run.task.data("test", 0)
    looked, evenly, together = [], [], []
    for key in data.order(128, None):
        batch = data.batch(key, None)
        for row, a_ST in zip(*lengths(batch), attention(run.model, batch), strict=True):
            n, m = row
            if min(n, m) < 4:
                continue
            source, target = (np.arange(n) + 0.5) / n, (np.arange(m) + 0.5) / m
            distance = np.abs(target[:, None] - source[None])
            looked.append((a_ST[:m, :n] * distance).sum(1).mean())
            evenly.append(distance.mean())
            together.append(np.corrcoef(a_ST[:m, :n] @ source, target)[0, 1])
    print(
        f"distance from the diagonal {np.mean(looked):.3f}, of even weights "
        f"{np.mean(evenly):.3f}, correlation {np.mean(together):.3f} over {len(looked)} rows"
    )
    assert figures["bleu"] > 10
    assert np.mean(together) > 0.8
    assert np.mean(looked) < 0.7 * np.mean(evenly)


def lengths(batch):
    """[(source length, target length)] as one column."""
    return (list(zip(batch.x_len.tolist(), batch.y_len.tolist(), strict=True)),)


@torch.no_grad()
def attention(model, batch):
    """(B, S, T) weights under teacher forcing."""
    state, looks, gold = model.begin(batch), [], model.shifted(batch)
    for t in range(gold.shape[1]):
        _, _, state = model.extend(gold[:, t : t + 1], state)
        looks.append(model.attention(state))
    return torch.stack(looks, 1).double().numpy()
