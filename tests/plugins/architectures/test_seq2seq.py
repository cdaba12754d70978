"""Encoder, decoder and every attention, against loops over rows and steps in the papers' terms."""

import itertools

import pytest
import torch
from support.torch_cells import read, torch_cell

from rnnbench.contract import Batch, Kind, Moment, Port, Refusal
from rnnbench.nn.layouts.ragged import reversed_rows, run_rows
from rnnbench.registry.registry import load
from rnnbench.testing.fixtures.toy_tasks import TOYS, Toy
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.seq2seq import Seq2Seq
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout

TRANSLATE = TOYS["translate"]
H = 5


def built(task=TRANSLATE, **settings):
    torch.manual_seed(3)
    model = assemble(Seq2Seq(hidden=H, **settings), task, TrickFold()).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def naive(model, x, y_in, **s):
    """Logits (S, V) of one row without padding."""
    attention, both = s.get("attention", "additive"), s.get("encoder", "both") == "both"
    order = x[::-1] if s.get("reverse_source") else x
    embedded = [model.source_embed.map.weight[token] for token in order]
    ahead, final = read(torch_cell(model.encoder.forwards[0]), embedded)
    last, memory = ahead[-1], ahead
    if both:
        back, _ = read(torch_cell(model.encoder.backwards[0]), embedded[::-1])
        last = torch.cat([last, back[-1]])
        memory = [torch.cat(pair) for pair in zip(ahead, back[::-1], strict=True)]
    if s.get("reverse_source"):
        memory = memory[::-1]
    if s.get("start", "projected" if both else "state") == "projected":
        h = torch.tanh(model.starts[0](last))[None]
        state = (h, torch.zeros_like(h)) if s.get("cell") == "lstm" else h
    else:
        state = final
    cell, fed = torch_cell(model.cells[0]), torch.zeros(H).double()
    covered, logits, looked = [0.0] * len(x), [], []
    luong = attention in ("dot", "general", "concat", "local")
    feeding = luong if s.get("input_feeding") is None else s["input_feeding"]

    def score(h, m, c):
        if attention == "dot":
            return h @ m
        if attention in ("general", "local"):
            return h @ model.score.map.weight @ m
        inner = (
            model.score.query.weight @ h + model.score.query.bias + model.score.memory.weight @ m
        )
        if s.get("coverage"):
            inner = inner + model.score.covered.weight[:, 0] * c
        return model.score.v.weight[0] @ torch.tanh(inner)

    def attend(h):
        e = torch.stack([score(h, m, c) for m, c in zip(memory, covered, strict=True)])
        if attention == "local":
            p = len(x) * torch.sigmoid(model.window.v(torch.tanh(model.window.map(h))))[0]
            near = [abs(i - float(p)) <= s["window"] for i in range(len(x))]
            e = torch.where(torch.tensor(near), e.exp(), torch.zeros(()).double())
            sigma = s["window"] / 2
            gauss = torch.stack(
                [torch.exp(-((i - p) ** 2) / (2 * sigma**2)) for i in range(len(x))]
            )
            a = e / e.sum() * gauss
        else:
            a = e.exp() / e.exp().sum()
        for i, weight in enumerate(a):
            covered[i] = covered[i] + weight
        looked.append(a)
        return sum(weight * m for weight, m in zip(a, memory, strict=True))

    for token in y_in:
        e_y = model.embed.map.weight[token]
        parts = [e_y]
        if s.get("context") == "every":
            parts.append(last)
        if feeding:
            parts.append(fed)
        if attention == "additive":
            c = attend((state[0] if isinstance(state, tuple) else state)[0])
            parts.append(c)
        state = cell(torch.cat(parts)[None], state)
        h = (state[0] if isinstance(state, tuple) else state)[0]
        if attention == "additive":
            deep = model.mix(torch.cat([h, c, e_y]))
            hidden = torch.stack([max(deep[i], deep[i + 1]) for i in range(0, 2 * H, 2)])
        elif attention == "none":
            hidden = h
        else:
            hidden = fed = torch.tanh(model.mix(torch.cat([attend(h), h])))
        logits.append(model.readout(hidden))
    return torch.stack(logits), torch.stack(looked) if looked else None


CHOICES = [
    dict(),
    dict(cell="lstm"),
    dict(coverage=True),
    dict(context="every"),
    dict(attention="none", encoder="forward"),
    dict(attention="none", encoder="forward", cell="lstm", reverse_source=True),
    dict(attention="none", encoder="forward", context="every", start="projected"),
    dict(attention="none"),
    dict(attention="dot", encoder="forward"),
    dict(attention="dot", encoder="forward", input_feeding=False, reverse_source=True),
    dict(attention="general", cell="lstm"),
    dict(attention="general", input_feeding=False, context="every"),
    dict(attention="concat"),
    dict(attention="concat", coverage=True, input_feeding=False),
    dict(attention="local", window=1),
    dict(attention="local", window=3, input_feeding=False),
]


@pytest.mark.parametrize("settings", CHOICES, ids=str)
def test_every_choice_equals_the_papers_loops(settings):
    model, batch = built(**settings), TRANSLATE.example()
    with torch.no_grad():
        out = model(batch).out
        read_in = model.shifted(batch)
        for row, (n, m) in enumerate(zip(batch.x_len.tolist(), batch.y_len.tolist(), strict=True)):
            expected, looked = naive(
                model, batch.x[row, :n].tolist(), read_in[row, :m].tolist(), **settings
            )
            assert torch.allclose(out[row, :m], expected, atol=1e-12)
            if looked is None:
                continue
            state = model.begin(Batch(batch.x[row : row + 1, :n], batch.y[row : row + 1, :m]))
            for t in range(m):
                _, _, state = model.extend(read_in[row : row + 1, t : t + 1], state)
                assert torch.allclose(model.attention(state)[0], looked[t], atol=1e-12)


def test_layers_with_dropout_read_the_layer_below():
    model = built(layers=2, dropout=0.5, attention="general", encoder="forward")
    batch = TRANSLATE.example()
    with torch.no_grad():
        assert torch.equal(model(batch).out, model(batch).out)
        model.train()
        assert not torch.equal(model(batch).out, model(batch).out)
    widths = [c.weight_x.shape[1] for c in model.cells]
    assert widths == [H + H, H]


@torch.no_grad()
def test_looking_twice_costs_what_the_paper_says():
    model, batch = built(coverage=True, coverage_weight=0.7), TRANSLATE.example()
    result = model(batch)
    total, steps = 0.0, 0
    for row, (n, m) in enumerate(zip(batch.x_len.tolist(), batch.y_len.tolist(), strict=True)):
        read_in = model.shifted(batch)[row, :m].tolist()
        _, looked = naive(model, batch.x[row, :n].tolist(), read_in, coverage=True)
        covered = torch.zeros(n).double()
        for a in looked:
            total += float(torch.minimum(a, covered).sum())
            covered, steps = covered + a, steps + 1
    assert float(result.penalty) == pytest.approx(0.7 * total / steps, abs=1e-12)


def test_the_penalty_is_minimised_and_the_reported_loss_stays_bare():
    batch, at = TRANSLATE.example(), Moment(0, 0.0)
    gradients, losses = [], []
    for weight in (0.0, 0.7):
        model = built(coverage=True, coverage_weight=weight).float()
        losses.append(float(training_step(model, TrickFold(), batch, None, at).loss))
        gradients.append(model.score.v.weight.grad.clone())
    assert losses[0] == losses[1]
    assert not torch.equal(*gradients)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(attention="dot"), "twice as wide"),
        (dict(start="state"), "start=projected"),
        (dict(reverse_source=True), "reverse_source"),
        (dict(input_feeding=True), "input_feeding"),
        (dict(window=3), "window"),
        (dict(attention="general", coverage=True), "coverage"),
        (dict(coverage_weight=1.0), "coverage_weight"),
        (dict(dropout=0.5), "between layers"),
    ],
)
def test_a_choice_that_nothing_would_read_is_refused(settings, message):
    with pytest.raises(Refusal, match=message):
        Seq2Seq(**settings)


def test_it_is_refused_where_there_is_no_sequence_to_write():
    for name in ("lm", "classify", "caption"):
        with pytest.raises(Refusal, match="unaligned"):
            check(Seq2Seq(hidden=4), TOYS[name])


@pytest.mark.parametrize("cell", ["elman", "lstm", "clockwork:modules=2", "skip", "narx"])
def test_any_cell_serves(cell):
    check(Seq2Seq(hidden=4, cell=cell), TRANSLATE)
    check(Seq2Seq(hidden=4, cell=cell, attention="none", encoder="forward"), TRANSLATE)


def test_a_cell_that_is_none_is_refused():
    with pytest.raises(Refusal, match="no recurrent cell"):
        check(Seq2Seq(hidden=4, cell="transformer:heads=1"), TRANSLATE)


@pytest.mark.parametrize("attention", ["none", "additive", "general"])
def test_tricks_reach_the_cells_of_both_halves(attention):
    settings = dict(hidden=4, attention=attention, encoder="forward")
    for trick in (Zoneout(rate=0.3), VariationalDropout(input=0.2, hidden=0.2)):
        torch.manual_seed(0)
        model = assemble(Seq2Seq(**settings), TRANSLATE, TrickFold([trick]))
        assert len({id(m) for m in model.modules() if hasattr(m, "inner")}) == 2
        training_step(model, TrickFold(), TRANSLATE.example(), None, Moment(0, 0.0))
        assert all(p.grad is not None for p in model.parameters())


def test_values_are_translated_too():
    toy = Toy("UNALIGNED", (Port(width=2), Port(width=1)), ragged=True)
    model = built(toy)
    batch = toy.example()._replace(x=toy.example().x.double())
    assert model.decode(batch).shape == (4, 3, 1)
    assert toy.kind is Kind.UNALIGNED


def test_rows_are_reversed_by_their_own_length():
    x = torch.arange(10).view(2, 5)
    assert reversed_rows(x, torch.tensor([5, 2])).tolist() == [[4, 3, 2, 1, 0], [6, 5, 7, 8, 9]]
    assert reversed_rows(x, None).tolist() == [[4, 3, 2, 1, 0], [9, 8, 7, 6, 5]]


@pytest.mark.parametrize("name", ["lstm", "gru", "elman"])
@pytest.mark.parametrize("lengths", [[5, 4, 2, 1], [3, 3, 3, 3], [1, 5, 2, 5]])
def test_the_state_after_unequal_rows_is_that_of_each_row_alone(name, lengths):
    torch.manual_seed(0)
    backbone = load("architectures", name)(hidden=4, layers=2).build(3, causal=True)
    backbone = backbone.double().eval()
    x = torch.randn(4, 5, 3).double()
    y, state = run_rows(backbone, x, torch.tensor(lengths))

    def leaves(s):
        return [s] if isinstance(s, torch.Tensor) else list(itertools.chain(*map(leaves, s)))

    for row, n in enumerate(lengths):
        alone, last = backbone(x[row : row + 1, :n])
        assert torch.allclose(y[row, :n], alone[0], atol=1e-12)
        assert (y[row, n:] == 0).all()
        for ours, theirs in zip(leaves(state), leaves(last), strict=True):
            assert torch.allclose(ours[row], theirs[0], atol=1e-12)
