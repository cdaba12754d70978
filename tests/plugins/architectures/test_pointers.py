"""Pointer network, pointer generator and pointer sentinel, against loops in the papers' terms."""

import pytest
import torch
from support.torch_cells import read, torch_cell

from rnnbench.contract import Batch, Moment, Port, Refusal
from rnnbench.nn.models.decoding import Decoding
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS, Toy
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.pointer_generator import PointerGenerator
from rnnbench_architectures.pointer_network import PointerNetwork
from rnnbench_architectures.pointer_sentinel import PointerSentinel

H = 5


def built(plugin, task):
    torch.manual_seed(3)
    model = assemble(plugin, task, TrickFold()).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def doubles(batch):
    return batch._replace(x=batch.x.double()) if batch.x.is_floating_point() else batch


def h_of(state):
    return (state[0] if isinstance(state, tuple) else state)[0]


@torch.no_grad()
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_pointer_network_points_as_the_paper_says(cell):
    toy = MORE_TOYS["pointing"]
    model, batch = built(PointerNetwork(hidden=H, cell=cell), toy), doubles(toy.example())
    out, score = model(batch).out, model.score
    for row, (n, m) in enumerate(zip(batch.x_len.tolist(), batch.y_len.tolist(), strict=True)):
        points = [model.source_embed.map(p) for p in batch.x[row, :n]]
        e, state = read(torch_cell(model.encoder), points)
        e = [model.end_memory, *e]
        decoder, element = torch_cell(model.cell), model.begins
        for t, target in enumerate(batch.y[row, :m].tolist()):
            state = decoder(element[None], state)
            d = h_of(state)
            w_2, b, w_1 = score.query.weight, score.query.bias, score.memory.weight
            u = [score.v.weight[0] @ torch.tanh(w_1 @ e_j + w_2 @ d + b) for e_j in e]
            expected = torch.stack(u).softmax(0)
            p = out[row, t].softmax(0)
            assert torch.allclose(p[: n + 1], expected, atol=1e-12)
            assert (p[n + 1 :] == 0).all()  # no such position in this row
            element = points[target - 1]


@torch.no_grad()
def test_a_pointer_network_cannot_point_at_padding():
    toy = MORE_TOYS["pointing"]
    model, batch = built(PointerNetwork(hidden=H), toy), doubles(toy.example())
    for how in (Decoding(), Decoding("sample"), Decoding("beam", beam=3)):
        y = model.decoded(batch, how).y
        for row, n in enumerate(batch.x_len.tolist()):
            said = y[row].tolist()
            said = said[: said.index(0)] if 0 in said else said
            assert all(position <= n for position in said)


def test_a_pointer_network_refuses_what_is_no_position():
    for name in ("translate", "lm", "classify"):
        with pytest.raises(Refusal, match="positions"):
            check(PointerNetwork(hidden=4), TOYS[name])


@torch.no_grad()
@pytest.mark.parametrize("coverage", [False, True])
def test_a_pointer_generator_mixes_as_the_paper_says(coverage):
    toy = MORE_TOYS["copying"]
    model = built(PointerGenerator(hidden=H, coverage=coverage), toy)
    batch = toy.example()
    out, read_in = model(batch).out, model.shifted(batch)
    for row, (n, m) in enumerate(zip(batch.x_len.tolist(), batch.y_len.tolist(), strict=True)):
        words = batch.x[row, :n].tolist()
        embedded = [model.source_embed.map.weight[w] for w in words]
        ahead, _ = read(torch_cell(model.encoder.forwards[0]), embedded)
        back, _ = read(torch_cell(model.encoder.backwards[0]), embedded[::-1])
        memory = [torch.cat(pair) for pair in zip(ahead, back[::-1], strict=True)]
        h = torch.tanh(model.starts[0](torch.cat([ahead[-1], back[-1]])))[None]
        state, cell = (h, torch.zeros_like(h)), torch_cell(model.cells[0])
        covered = torch.zeros(n).double()
        for t in range(m):
            e_y = model.embed.map.weight[read_in[row, t]]
            state = cell(e_y[None], state)
            s = h_of(state)
            inner = [model.score.query(s) + model.score.memory(h_i) for h_i in memory]
            if coverage:
                inner = [
                    i + model.score.covered.weight[:, 0] * c
                    for i, c in zip(inner, covered, strict=True)
                ]
            a = torch.stack([model.score.v.weight[0] @ torch.tanh(i) for i in inner]).softmax(0)
            covered = covered + a
            context = sum(w * h_i for w, h_i in zip(a, memory, strict=True))
            vocabulary = model.readout(torch.tanh(model.mix(torch.cat([context, s])))).softmax(0)
            p_gen = torch.sigmoid(model.generate(torch.cat([context, s, e_y])))
            expected = p_gen * vocabulary
            for i, w in enumerate(words):
                expected[w] += (1 - p_gen[0]) * a[i]
            assert torch.allclose(out[row, t].exp(), expected, atol=1e-12)
            assert float(out[row, t].exp().sum()) == pytest.approx(1, abs=1e-12)


def test_a_word_that_is_neither_known_nor_in_the_source_has_a_finite_loss():
    toy = MORE_TOYS["copying"]
    model, batch = built(PointerGenerator(hidden=H), toy).float().train(), toy.example()
    with torch.no_grad():
        model.readout.bias[3:] = -1e4
        model.generate.bias.fill_(30.0)
    step = training_step(model, TrickFold(), batch, None, Moment(0, 0.0))
    assert step.loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_copying_needs_a_shared_vocabulary():
    with pytest.raises(Refusal, match="share a vocabulary"):
        check(PointerGenerator(hidden=4), TOYS["translate"])
    other = Port(classes=7, vocabulary="other")
    with pytest.raises(Refusal, match="share a vocabulary"):
        check(PointerGenerator(hidden=4), Toy("UNALIGNED", (Port(classes=7), other)))
    with pytest.raises(Refusal, match="coverage_weight"):
        PointerGenerator(coverage_weight=1.0)


def sentinel_by_hand(model, words, window):
    """p(next word) after each word, and (a, g) of it, by loops."""
    (cell,) = model.backbone.layers
    hiddens, _ = read(torch_cell(cell), [model.embed.map.weight[w] for w in words])
    for t in range(len(words)):
        q = torch.tanh(model.query(hiddens[t]))
        seen = range(max(0, t - window + 1), t + 1)
        z = torch.stack([q @ hiddens[i] for i in seen] + [q @ model.sentinel]).softmax(0)
        p = z[-1] * model.readout(hiddens[t]).softmax(0)
        for a, i in zip(z, seen, strict=False):
            p[words[i]] += a
        yield p, dict(zip(seen, z, strict=False)), z[-1]


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 3, 100])
def test_a_pointer_sentinel_mixes_as_the_paper_says(window):
    toy = TOYS["lm"]
    model = built(PointerSentinel(hidden=H, cell="gru", window=window), toy)
    x = toy.example().x
    out = model(Batch(x, x)).out.exp()
    for row in range(len(x)):
        for t, (p, _, _) in enumerate(sentinel_by_hand(model, x[row].tolist(), window)):
            assert torch.allclose(out[row, t], p, atol=1e-12)
            assert float(p.sum()) == pytest.approx(1, abs=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 3, 100])
def test_a_pointer_sentinel_points_back_over_the_chunks_of_a_stream(window):
    toy = TOYS["lm"]
    model = built(PointerSentinel(hidden=H, window=window), toy)
    x = torch.cat([toy.example(i).x for i in range(3)], 1)
    whole, state, parts = model(Batch(x, x)).out, None, []
    for chunk in x.split([1, 6, 8], 1):
        result = model(Batch(chunk, chunk), state)
        state = model.carry(result.state)
        parts.append(result.out)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-12)


def test_the_pointers_own_loss_is_minimised_in_training_only():
    toy, window = TOYS["lm"], 3
    model = built(PointerSentinel(hidden=H, cell="gru", window=window, pointer_loss=0.5), toy)
    batch = toy.example()
    assert model(batch).penalty is None
    total = 0.0
    with torch.no_grad():
        for row in range(4):
            words, y = batch.x[row].tolist(), batch.y[row].tolist()
            for t, (_, a, g) in enumerate(sentinel_by_hand(model, words, window)):
                total -= float(torch.log(g + sum(v for i, v in a.items() if words[i] == y[t])))
    penalty = model.train()(batch).penalty
    assert float(penalty.detach()) == pytest.approx(0.5 * total / batch.y.numel(), abs=1e-12)


def test_a_pointer_sentinel_is_a_language_model_only():
    for name in ("tagging", "translate", "classify"):
        with pytest.raises(Refusal, match="no language model"):
            check(PointerSentinel(hidden=4), TOYS[name])
