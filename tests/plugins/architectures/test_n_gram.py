"""The counted n-gram model: its distribution, its state, and the task's own baseline."""

import json
import math

import numpy as np
import pytest
import torch
from support.command_line import call
from support.forecasting_models import built

from rnnbench.contract import Batch
from rnnbench.data import KneserNey
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench_architectures.n_gram import NGram
from rnnbench_tasks.text_lm import TextLM

# ---------------------------------------------------------------------------------------- n-gram


def words(count, seed=0, kinds=40):
    """Text whose words depend on the one before them, some thirty a line."""
    rng = np.random.default_rng(seed)
    now, found = 0, []
    for drawn in rng.zipf(1.5, count):
        now = (now * 7 + int(drawn)) % kinds
        found.append(f"w{now}" + ("\n" if rng.random() < 0.03 else " "))
    return "".join(found)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for split, count in (("train", 6000), ("valid", 700), ("test", 800)):
        (folder / split).write_text(words(count, seed=count))
    return folder


def task_of(text, **settings):
    files = {split: str(text / split) for split in ("train", "valid", "test")}
    return TextLM(**files, length=23, **settings)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_a_distribution_of_kneser_ney_sums_to_one_and_agrees_with_its_nats(order):
    rng = np.random.default_rng(order)
    train, text = rng.zipf(1.4, 3000) % 30, rng.zipf(1.4, 400) % 30
    text[17] = 31  # a token that training lacks
    model = KneserNey(train, 32, order)
    padded = np.concatenate([np.full(order, -1), text])
    context_ND = np.stack([padded[i : i + order] for i in range(len(text))])
    p_NV = model.distribution(context_ND)
    assert p_NV.shape == (400, 32)
    assert p_NV.min() > 0
    assert p_NV.sum(1) == pytest.approx(1)
    assert -np.log(p_NV[np.arange(400), text]) == pytest.approx(model.nats(text))


def test_a_distribution_after_the_last_words_of_training_is_that_of_a_shorter_context():
    model = KneserNey(np.array([0, 1, 0, 1, 0, 2, 3]), 5, 3)
    after = model.distribution(np.array([[2, 3], [4, 4], [-1, -1]]))
    assert after[0] == pytest.approx(after[2])
    assert after[1] == pytest.approx(after[2])


@torch.no_grad()
def test_an_n_gram_model_reads_a_text_in_chunks_as_in_one_piece(text, monkeypatch):
    model = built(NGram(order=4), task_of(text))
    data = task_of(text).data("test", 0)
    x = torch.cat([data.batch(key, None).x for key in data.order(3, None)][:4], 1)
    whole = model(Batch(x, x))
    parts, state = [], None
    for piece in x.split((1, 2, 30, x.shape[1] - 33), 1):
        found = model(Batch(piece, piece), state)
        state = model.carry(found.state)
        parts.append(found.out)
    assert torch.equal(torch.cat(parts, 1), whole.out)
    monkeypatch.setattr("rnnbench_architectures.n_gram.BLOCK", 100)
    assert torch.equal(model(Batch(x, x)).out, whole.out)


@torch.no_grad()
def test_an_n_gram_model_is_counted_on_all_of_the_text(text):
    task = task_of(text)
    model = built(NGram(order=3), task)
    tokens = task._corpus["train"]
    whole = KneserNey(tokens, task.target.classes, 3)
    assert np.array_equal(model.count().orders[0].count_K, whole.orders[0].count_K)
    assert sum(model.count().orders[-1].count_K) == len(tokens) - 2
    x = torch.from_numpy(tokens[:50].astype(np.int64))[None]
    out = model(Batch(x, x)).out[0, :-1]
    nats = -out.gather(1, x[0, 1:, None])[:, 0]
    assert nats.numpy() == pytest.approx(whole.nats(tokens[:50])[1:])


def test_the_counted_model_reaches_the_tasks_own_baseline(text, tmp_path):
    files = {f"task.{split}": str(text / split) for split in ("train", "valid", "test")}
    once = {"budget.steps": 1, "budget.validate_every": 1}
    spec = resolve(compose("text-lm", "n-gram", settings={**files, **once, "task.test_rows": 1}))
    record = execute(spec, store=Store(tmp_path))
    assert record.cost["parameters"] == 0
    baseline = record.baselines["test"]["5-gram, Kneser-Ney"]["perplexity"]
    assert record.metrics["test"]["perplexity"] == pytest.approx(baseline, rel=1e-5)
    # In rows each begins without context.
    task = task_of(text)
    data, model = task.data("valid", 0), KneserNey(task._corpus["train"], task.target.classes)
    rows = [(b.x, b.y) for b in (data.batch(k, None) for k in data.order(10, None))]
    x, y = (torch.cat(side, 1).numpy() for side in zip(*rows, strict=True))
    n, extra = divmod(len(data), 10)
    nats = 0.0
    for row in range(10):
        steps = n + (row < extra)
        nats += model.nats(np.concatenate([x[row, :1], y[row, :steps]]))[1:].sum()
    expected = math.exp(nats / len(data))
    assert record.metrics["valid"]["perplexity"] == pytest.approx(expected, rel=1e-5)


def test_what_is_counted_trains_is_kept_asked_and_checked_again(text, tmp_path):
    files = [f"task.{split}={text / split}" for split in ("train", "valid", "test")]
    out = ("--out", tmp_path)
    said = call("run", "text-lm", "n-gram", *files, "budget.steps=2", "-q", *out)
    assert "0 parameters, 2 steps" in said
    run = said.strip().rpartition("/")[2]
    assert len(call("generate", run, "--length", 12, "--prompt", "w1 w2", *out).split()) >= 12
    assert "equal to the last digit" in call("verify", run, *out)
    call("run", "text-lm", "lstm", *files, "budget.steps=2", "architecture.hidden=4", "-q", *out)
    board = json.loads(call("leaderboard", "text-lm", "--json", *out))
    rows = [row for b in board["boards"] for row in b["rows"] if row["architecture"] == "n-gram"]
    assert [row["costs"]["parameters"] for row in rows] == [0]
