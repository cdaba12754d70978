"""Greedy, sampled and beam decoding, against exhaustive search over a small chain."""

import itertools
import math

import pytest
import torch

from rnnbench.contract import Batch, Kind, Port, Refusal
from rnnbench.nn.models.base import Continuation, Decoder
from rnnbench.nn.models.decoding import GREEDY, Decoding, decode, narrowed, penalty, select_rows
from rnnbench.registry.registry import discover, load
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.training.train_step import TrickFold, assemble

STOP = 2


class Chain:
    """p(y_t | y_{t-1}) from a table a row; what was read is kept in the state, to be checked."""

    def __init__(self, classes=4, longest=4, stop=STOP, seed=0, rows=2):
        g = torch.Generator().manual_seed(seed)
        self.table_BVV = 2 * torch.randn(rows, classes, classes, generator=g)
        self.target = Port(classes=classes, start=1, stop=stop, longest=longest)

    def begin(self, batch):
        rows = torch.arange(len(batch.x))
        return rows, torch.zeros(len(rows), 0, dtype=torch.long), (torch.zeros(len(rows), 1),)

    def first(self, batch):
        return torch.ones(len(batch.x), 1, dtype=torch.long)

    def extend(self, y, state):
        rows, read, extra = state
        out = self.table_BVV[rows[:, None], y]
        return out, out, (rows, torch.cat([read, y], 1), extra)

    def attention(self, state):
        _rows, read, _ = state
        return torch.nn.functional.one_hot(read[:, -1], self.target.classes).float()

    def log_p(self, row, tokens):
        total, last = 0.0, 1
        for token in tokens:
            total += float(self.table_BVV[row, last].log_softmax(-1)[token])
            last = token
        return total


def batch(rows=2):
    return Batch(torch.zeros(rows, 3, dtype=torch.long), torch.zeros(rows, 4, dtype=torch.long))


def sentences(classes, longest, stop):
    """Every output: it ends with the first stop, or at the greatest length."""
    for length in range(1, longest + 1):
        for tokens in itertools.product(range(classes), repeat=length):
            ends = stop is not None and tokens[-1] == stop
            inner = tokens[:-1] if ends else tokens
            if stop not in inner and (ends or length == longest):
                yield tokens


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("stop", [STOP, None])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_what_exhaustive_search_finds(alpha, stop, seed):
    chain = Chain(stop=stop, seed=seed)
    found = decode(chain, batch(), Decoding("beam", beam=64, length_penalty=alpha))
    for row in range(2):
        best = max(
            sentences(4, 4, stop),
            key=lambda s: chain.log_p(row, s) / penalty(len(s), alpha),
        )
        assert tuple(found.y[row, : len(best)].tolist()) == best
        assert float(found.score[row]) == pytest.approx(chain.log_p(row, best), abs=1e-4)


def test_a_beam_of_one_is_greedy():
    for seed in range(5):
        chain = Chain(classes=6, longest=7, seed=seed)
        greedy, beam = decode(chain, batch()), decode(chain, batch(), Decoding("beam", beam=1))
        for row in range(2):
            tokens = greedy.y[row].tolist()
            tokens = tokens[: tokens.index(STOP) + 1] if STOP in tokens else tokens
            assert beam.y[row, : len(tokens)].tolist() == tokens
        assert torch.allclose(greedy.score, beam.score, atol=1e-5)


def test_attention_of_a_beam_follows_the_prefix_that_won():
    chain = Chain(classes=5, longest=6, seed=3)
    found = decode(chain, batch(), Decoding("beam", beam=4))
    for row in range(2):
        tokens = found.y[row].tolist()
        tokens = tokens[: tokens.index(STOP) + 1] if STOP in tokens else tokens
        looked = found.attention[row, : len(tokens)].argmax(-1).tolist()
        assert looked == [1, *tokens[:-1]]  # the chain looks at what it just read


def test_a_longer_output_is_favoured_by_the_length_penalty():
    chain = Chain(seed=1)
    chain.table_BVV[:] = 0.0
    chain.table_BVV[:, :, STOP] = 0.2  # to stop at once is the most probable
    short = decode(chain, batch(), Decoding("beam", beam=16))
    long = decode(chain, batch(), Decoding("beam", beam=16, length_penalty=5.0))
    assert short.y[0, 0] == STOP
    assert long.y.shape[1] == 4


def test_draws_are_as_frequent_as_the_model_says():
    chain, n = Chain(classes=4, longest=1, rows=1), 20_000
    chain.table_BVV = chain.table_BVV.expand(n, 4, 4)
    rng = torch.Generator().manual_seed(0)
    how = Decoding("sample", temperature=2.0)
    y = decode(chain, batch(n), how, rng=rng).y[:, 0]
    expected = (chain.table_BVV[0, 1] / 2).softmax(-1)
    share = torch.bincount(y, minlength=4) / n
    assert torch.allclose(share, expected, atol=4 * 0.5 / math.sqrt(n))


def test_the_same_generator_state_gives_the_same_draws():
    chain = Chain(classes=6, longest=8)
    drawn = [
        decode(chain, batch(), Decoding("sample"), rng=torch.Generator().manual_seed(seed)).y
        for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert drawn[0].shape != drawn[2].shape or not torch.equal(drawn[0], drawn[2])


def test_top_k_and_the_nucleus_keep_the_most_probable_and_renormalise():
    logits = torch.tensor([[0.1, 0.5, 0.15, 0.25]]).log()
    close = dict(abs=1e-6)
    assert narrowed(logits, 2, 1.0)[0].tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3], **close)
    # 0.5 alone does not hold 0.6, with 0.25 it does.
    assert narrowed(logits, None, 0.6)[0].tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3], **close)
    assert narrowed(logits, None, 0.01)[0].tolist() == pytest.approx([0, 1, 0, 0], **close)
    assert narrowed(logits, None, 1.0)[0].tolist() == pytest.approx([0.1, 0.5, 0.15, 0.25], **close)
    tied = narrowed(torch.zeros(1, 5), 2, 1.0)
    assert (tied > 0).sum() == 2


def test_low_temperature_draws_are_greedy():
    chain = Chain(classes=6, longest=8, seed=2)
    drawn = decode(chain, batch(), Decoding("sample", temperature=1e-4))
    assert torch.equal(drawn.y, decode(chain, batch()).y)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(temperature=0.0), dict(method="sample", top_p=0.0), dict(method="sample", top_k=0),
        dict(method="beam", beam=0), dict(top_k=3), dict(method="sample", beam=3),
        dict(method="beam", temperature=0.5), dict(method="sample", length_penalty=1.0),
    ],
)  # fmt: skip
def test_an_option_that_nothing_would_read_is_refused(wrong):
    with pytest.raises(ValueError, match=next(n for n in wrong if n != "method")):
        Decoding(**wrong)


def test_rows_of_a_nested_state_are_selected_in_every_leaf():
    state = (torch.arange(3), [torch.arange(6).view(3, 2)], None)
    a, (b,), c = select_rows(state, torch.tensor([2, 0, 2]))
    assert a.tolist() == [2, 0, 2]
    assert b.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert c is None


def decoders():
    """Every architecture on every toy that decodes or continues, where it is not refused."""
    for name in discover()[0]["architectures"]:
        cls = load("architectures", name)
        tiny = dict(cls.tiny) or {"hidden": 8}
        for toy_name in ("lm", "caption", "translate", "forecast"):
            torch.manual_seed(0)
            toy = TOYS[toy_name]
            try:
                model = assemble(cls(**tiny), toy, TrickFold()).eval()
                with torch.no_grad():
                    model(toy.example())
            except Refusal:
                continue
            yield name, toy_name, toy, model


def test_every_architecture_generates_on_every_decoding_task_in_every_way():
    seen = set()
    for name, toy_name, toy, model in decoders():
        batch = toy.example()
        if toy.kind is Kind.ALIGNED:
            steps, size = Continuation(model), 6
        elif isinstance(model, Decoder):
            steps, size = model, toy.target.longest or 3
        else:  # puts out y in one piece
            assert model.decoded(batch).y.shape == batch.y.shape, name
            seen.add(toy_name)
            continue
        ways = [GREEDY]
        if toy.target.classes:
            ways += [Decoding("sample", top_k=3, top_p=0.9), Decoding("beam", beam=3)]
        for how in ways:
            found = decode(steps, batch, how, steps=size)
            assert len(found.y) == 4, (name, toy_name, how)
            assert 1 <= found.y.shape[1] <= size, (name, toy_name, how)
            if found.attention is not None:
                total = found.attention.sum(-1)
                assert found.attention.shape[:2] == found.y.shape[:2]
                assert ((total - 1).abs() < 1e-4).logical_or(total == 0).all(), (name, toy_name)
        seen.add(toy_name)
    assert seen == {"lm", "caption", "translate", "forecast"}


def test_a_beam_scores_what_teacher_forcing_scores():
    toy = TOYS["translate"]
    torch.manual_seed(1)
    model = assemble(load("architectures", "gru")(hidden=8), toy, TrickFold()).double().eval()
    batch = toy.example()
    for how in (GREEDY, Decoding("beam", beam=4)):
        found = decode(model, batch, how)
        for row, y in enumerate(found.y.tolist()):
            y = y[: y.index(2) + 1] if 2 in y else y
            alone = Batch(
                batch.x[row : row + 1, : int(batch.x_len[row])], torch.tensor([y]),
            )  # fmt: skip
            with torch.no_grad():
                log_p = -model.nll(model(alone).out, alone)[0].sum()
            assert float(found.score[row]) == pytest.approx(float(log_p), abs=1e-4)


def test_values_are_neither_sampled_nor_searched():
    toy = TOYS["forecast"]
    model = assemble(load("architectures", "gru")(hidden=8), toy, TrickFold())
    with pytest.raises(Refusal, match="values"):
        decode(model, toy.example(), Decoding("sample"))


def test_a_continuation_reads_the_whole_prompt():
    toy = TOYS["lm"]
    model = assemble(load("architectures", "gru")(hidden=8), toy, TrickFold()).double().eval()
    x = toy.example().x
    found = decode(Continuation(model), Batch(x, x), steps=3)
    with torch.no_grad():
        whole = model(Batch(torch.cat([x, found.y], 1), torch.cat([x, found.y], 1))).out
    assert torch.equal(whole[:, x.shape[1] - 1 : -1].argmax(-1), found.y)
    one = decode(Continuation(model), Batch(x[:, :1], x[:, :1]), steps=2)
    assert one.y.shape == (4, 2)


@pytest.mark.parametrize("how", [GREEDY, Decoding("sample"), Decoding("beam", beam=4)])
@pytest.mark.parametrize("architecture", ["pointer-network", "lstm"])
def test_distinct_positions_are_each_named_once_and_then_the_end(architecture, how):
    task = load("tasks", "tsp")(points_min=3, points_max=6)
    batch = task.draw(32, torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    model = assemble(load("architectures", architecture)(hidden=8), task, TrickFold()).eval()
    found = decode(model, batch, how)
    for tokens, n in zip(found.y.tolist(), batch.x_len.tolist(), strict=True):
        assert sorted(tokens[:n]) == list(range(1, n + 1))
        assert set(tokens[n:]) <= {0}
        assert len(tokens) > n
    assert found.score.isfinite().all()


def test_only_positions_that_end_with_0_can_be_distinct():
    with pytest.raises(ValueError, match="distinct"):
        Port(classes=4, stop=0, distinct=True)
