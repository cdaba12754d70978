"""Tricks that change evaluation only, against loops in the papers' terms, and how they are told."""

import pytest
import torch

from rnnbench.contract import Batch, Refusal
from rnnbench.registry.registry import load
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_tricks.dynamic_evaluation import DynamicEvaluation
from rnnbench_tricks.neural_cache import NeuralCache

LM = TOYS["lm"]


def model():
    torch.manual_seed(1)
    return assemble(load("architectures", "gru")(hidden=5), LM, TrickFold()).double().eval()


def stream(batches=3):
    return [LM.example(i) for i in range(batches)]


@torch.no_grad()
@pytest.mark.parametrize("window", [2, 100])
def test_a_cache_is_the_papers_mixture_over_batches_of_a_stream(window):
    bare, weight, sharpness = model(), 0.3, 0.7
    cached = NeuralCache(window, weight, sharpness).evaluation(bare, LM)
    state, outs = None, []
    for batch in stream():
        result = cached(batch, state)
        state = cached.carry(result.state)
        outs.append(result.out)
    out = torch.cat(outs, 1).exp()
    x = torch.cat([b.x for b in stream()], 1)
    y = torch.cat([b.y for b in stream()], 1)
    whole = bare(Batch(x, y))
    for row in range(4):
        for t in range(x.shape[1]):
            expected = whole.out[row, t].softmax(0)
            past = range(max(0, t - window), t)
            if past:
                h = whole.hidden[row]
                e = torch.stack([torch.exp(sharpness * (h[t] @ h[i])) for i in past])
                expected = (1 - weight) * expected
                for i, a in zip(past, e / e.sum(), strict=True):
                    expected[y[row, i]] += weight * a
            assert torch.allclose(out[row, t], expected, atol=1e-12)


def test_dynamic_evaluation_leaves_frozen_parameters_as_they_are():
    bare = model()
    frozen = next(iter(bare.parameters())).requires_grad_(False)
    before = {k: p.clone() for k, p in bare.named_parameters()}
    adapted = DynamicEvaluation(rate=0.1, segment=2, batches=2).evaluation(bare, LM)
    state = None
    for batch in stream():
        state = adapted.carry(adapted(batch, state).state)
    moved = {k for k, p in bare.named_parameters() if not torch.equal(p, before[k])}
    assert len(moved) > 1
    assert all(p is not frozen for k, p in bare.named_parameters() if k in moved)


def test_dynamic_evaluation_of_a_model_that_does_not_learn_is_refused():
    bare = model().requires_grad_(False)
    with pytest.raises(Refusal, match="no parameter of the model learns"):
        DynamicEvaluation(rate=0.1, segment=2, batches=2).evaluation(bare, LM)


def test_dynamic_evaluation_is_the_papers_update():
    bare, trick = model(), DynamicEvaluation(rate=0.05, decay=0.1, epsilon=0.01, segment=2,
                                             batches=3)  # fmt: skip
    parameters = dict(bare.named_parameters())
    trained = {k: p.detach().clone() for k, p in parameters.items()}
    squares = {k: torch.zeros_like(p) for k, p in parameters.items()}
    state = None
    for batch in stream():  # the toy's training split is these three batches
        result = bare(batch, state)
        state = bare.carry(result.state)
        found = torch.autograd.grad(bare.loss(result.out, batch), list(parameters.values()))
        for k, g in zip(parameters, found, strict=True):
            squares[k] += g**2 / 3
    roots = {k: s.sqrt() for k, s in squares.items()}
    mean = sum(r.mean() for r in roots.values()) / len(roots)  # over tensors, not over weights

    import copy

    learning, state, outs = trick.evaluation(copy.deepcopy(bare), LM), None, []
    for batch in stream(2):
        result = learning(batch, state)
        state = learning.carry(result.state)
        outs.append(result.out)

    other, state, expected = copy.deepcopy(bare), None, []
    named = dict(other.named_parameters())
    for batch in stream(2):
        for at in (0, 2, 4):
            piece = Batch(batch.x[:, at : at + 2], batch.y[:, at : at + 2])
            result = other(piece, state)
            found = torch.autograd.grad(other.loss(result.out, piece), list(named.values()))
            expected.append(result.out.detach())
            state = other.carry(result.state)
            with torch.no_grad():
                for (k, p), g in zip(named.items(), found, strict=True):
                    decay = 0.1 * torch.clamp(roots[k] / mean, max=1 / 0.1)
                    p.copy_(p + decay * (trained[k] - p) - 0.05 * g / (roots[k] + 0.01))
    assert torch.allclose(torch.cat(outs, 1), torch.cat(expected, 1), atol=1e-12)
    assert not outs[0].requires_grad


@pytest.mark.parametrize("trick", [NeuralCache(), DynamicEvaluation()], ids=lambda t: t.name)
def test_it_is_refused_where_no_sequence_is_read_on(trick):
    for name in ("translate", "classify", "caption"):
        toy = TOYS[name]
        other = assemble(load("architectures", "gru")(hidden=5), toy, TrickFold())
        with pytest.raises(Refusal, match=trick.name):
            trick.evaluation(other, toy)


def test_figures_are_reported_apart_and_plain_ones_stay(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("she sells sea shells by the sea shore, and so say seven sisters\n" * 60)
    small = {"architecture.hidden": 8, "budget.steps": 20, "budget.validate_every": 10,
             "task.length": 50, "optimizer.batch": 4, "task.train": str(text),
             "task.unit": "character"}  # fmt: skip
    records = [
        execute(resolve(compose("text-lm", "gru", tricks, small)), store=Store(tmp_path))
        for tricks in ([], ["neural-cache", "dynamic-evaluation:rate=0.01"])
    ]
    plain, both = (r.metrics for r in records)
    assert both["test"] == plain["test"]
    assert set(both) == {
        f"{split}{how}"
        for split in ("valid", "test")
        for how in ("", " with neural-cache", " with dynamic-evaluation")
    }
    values = [both[f"test{how}"]["bits_per_char"] for how in
              ("", " with neural-cache", " with dynamic-evaluation")]  # fmt: skip
    assert len(set(values)) == 3
