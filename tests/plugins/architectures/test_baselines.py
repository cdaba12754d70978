"""Baselines against slow ones that are written in the papers' terms, with copied weights."""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from support.command_line import call
from support.forecasting_models import built
from support.real_data import here

from rnnbench.contract import Batch, Port, Refusal, Task
from rnnbench.data import KneserNey
from rnnbench.nn.distributions import distribution
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS, Toy
from rnnbench.training.dry_run import check
from rnnbench.training.evaluate import evaluate
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench_architectures.bag_of_words import BagOfWords
from rnnbench_architectures.n_gram import NGram
from rnnbench_architectures.patchtst import PatchTST
from rnnbench_architectures.seasonal_naive import SeasonalNaive
from rnnbench_architectures.segrnn import SegRNN
from rnnbench_architectures.tcn import TCN
from rnnbench_tasks.co2 import CO2
from rnnbench_tasks.ett_h1 import ETTh1
from rnnbench_tasks.text_lm import TextLM

CONTEXT, HORIZON, PAST = 11, 5, (2, 0)


@dataclass(frozen=True)
class Two(Toy):
    """Two of three columns are forecast."""

    past: ClassVar[tuple[int, ...]] = PAST  # type: ignore[misc]


def two(output="point"):
    own = None if output == "point" else distribution(output)
    ports = Port(width=3, longest=CONTEXT), Port(width=2, longest=HORIZON, distribution=own)
    return Two("UNALIGNED", ports)


def windows(rows=3):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(rows, CONTEXT, 3, generator=g).double()
    return Batch(x, torch.randn(rows, HORIZON, 2, generator=g).double())


def stack(tcn, d_in=2):
    """Its network in double precision, with weights whose gain is not their norm."""
    torch.manual_seed(2)
    found = tcn.build(d_in, causal=True).double().eval()
    with torch.no_grad():
        for p in found.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return found


# ------------------------------------------------------------------------------------------- tcn


@torch.no_grad()
def test_tcn_is_a_loop_over_time_steps_and_taps():
    k = 3
    network = stack(TCN(hidden=4, layers=3, kernel=k))
    x_BTD = torch.randn(2, 17, 2).double()

    def convolved(convolution, h, d):
        v, g = convolution.direction, convolution.gain
        f = torch.stack([v[c] / v[c].norm() * g[c] for c in range(len(v))])
        return [
            convolution.bias
            + sum(f[:, :, k - 1 - i] @ h[s - d * i] for i in range(k) if s - d * i >= 0)
            for s in range(len(h))
        ]

    for row in range(2):
        h = list(x_BTD[row])
        for i, block in enumerate(network.blocks):
            inner = [z.relu() for z in convolved(block.first, h, 2**i)]
            inner = [z.relu() for z in convolved(block.second, inner, 2**i)]
            wide = h if i else [block.skip.weight[:, :, 0] @ z + block.skip.bias for z in h]
            h = [(a + b).relu() for a, b in zip(inner, wide, strict=True)]
        assert torch.allclose(network(x_BTD)[0][row], torch.stack(h), atol=1e-12)


@pytest.mark.parametrize(("kernel", "layers"), [(2, 1), (2, 4), (3, 2), (5, 2)])
def test_a_tcn_sees_exactly_as_many_steps_as_it_says(kernel, layers):
    network = stack(TCN(hidden=3, layers=layers, kernel=kernel))
    with torch.no_grad():  # so that no ReLU hides a step
        for p in network.parameters():
            p.abs_()
    x = torch.rand(1, 60, 2).double().requires_grad_()
    network(x)[0][0, -1].sum().backward()
    seen = (x.grad[0].abs().sum(-1) > 0).tolist()
    reach = 1 + 2 * (kernel - 1) * (2**layers - 1)
    assert seen == [False] * (60 - reach) + [True] * reach


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(1,) * 14, (5, 9), (1, 12, 1)])
def test_a_tcn_goes_on_from_its_state_whatever_the_chunks(sizes):
    network = stack(TCN(hidden=3, layers=3, kernel=3))
    x = torch.randn(2, 14, 2).double()
    parts, state = [], None
    for piece in x.split(sizes, 1):
        y, state = network(piece, state)
        parts.append(y)
    whole, last = network(x)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-12)
    kept = sum(z.shape[2] for pair in state for z in pair)
    assert kept == 2 * (3 - 1) * (2**3 - 1)  # no more than the receptive field needs
    for pair, other in zip(state, last, strict=True):
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(pair, other, strict=True))


def test_dropout_of_a_tcn_drops_channels_over_all_steps():
    block = stack(TCN(hidden=32, layers=1, kernel=2, dropout=0.5)).blocks[0].train()
    mask = block.drop(torch.ones(2, 32, 9))
    assert torch.equal(mask, mask[:, :, :1].expand_as(mask))
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(block.eval().drop(mask), mask)


# --------------------------------------------------------------------------------- bag of words


@torch.no_grad()
def test_bag_of_words_reads_out_the_mean_of_the_embeddings():
    task = Toy("SEQ_TO_VEC", (Port(classes=7), Port(classes=4)), ragged=True)
    model = built(BagOfWords(hidden=6), task)
    x = torch.randint(0, 7, (3, 8), generator=torch.Generator().manual_seed(0))
    len_B = torch.tensor([8, 5, 1])
    out = model(Batch(x, torch.zeros(3).long(), x_len=len_B)).out
    for row, n in enumerate(len_B.tolist()):
        mean = sum(model.embed.map.weight[w] for w in x[row, :n]) / n
        expected = model.readout.weight @ mean + model.readout.bias
        assert torch.allclose(out[row], expected, atol=1e-12)


@torch.no_grad()
def test_bag_of_words_goes_on_from_its_state_whatever_the_chunks():
    backbone, x_BTD = BagOfWords(hidden=3).build(3, causal=False), torch.randn(2, 7, 3).double()
    whole, state = backbone(x_BTD)[0], None
    parts = []
    for part in x_BTD.split([3, 1, 3], 1):
        y_BTD, state = backbone(part, state)
        parts.append(y_BTD)
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_bag_of_words_is_blind_to_the_order_and_a_tcn_is_not():
    task = TOYS["regress"]
    x = torch.tensor([[1, 2, 3, 4, 5, 6, 0, 0]])
    y, turned = torch.zeros(1, 2), x[:, torch.tensor([6, 3, 0, 5, 1, 7, 4, 2])]
    bag = built(BagOfWords(hidden=6), task)
    assert torch.allclose(bag(Batch(x, y)).out, bag(Batch(turned, y)).out, atol=1e-12)
    tcn = built(TCN(hidden=6, layers=2), task)
    assert (tcn(Batch(x, y)).out - tcn(Batch(turned, y)).out).abs().max() > 1e-3


@pytest.mark.parametrize("task", ["lm", "tagging", "look-ahead", "translate", "caption"])
def test_bag_of_words_is_refused_where_each_step_is_answered(task):
    with pytest.raises(Refusal, match="reads without order"):
        check(BagOfWords(hidden=4), {**TOYS, **MORE_TOYS}[task])


# ---------------------------------------------------------------------------------- forecasting


def gru_cell(gru):
    """torch's cell of one step with the same weights."""
    cell = torch.nn.GRUCell(gru.input_size, gru.hidden_size).double()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in gru.state_dict().items()})
    return cell


@torch.no_grad()
@pytest.mark.parametrize("output", ["point", "gaussian"])
@pytest.mark.parametrize(("segment", "hidden"), [(1, 4), (2, 6), (3, 5), (11, 4)])
def test_segrnn_encodes_segments_and_decodes_each_from_the_same_state(segment, hidden, output):
    task, batch = two(output), windows()
    model = built(SegRNN(hidden=hidden, segment=segment), task)
    out, cell = model(batch).out, gru_cell(model.gru)
    numbers = 1 if output == "point" else 2
    for row in range(3):
        for v, column in enumerate(PAST):
            last = batch.x[row, -1, column]
            x = batch.x[row, :, column] - last
            n = CONTEXT // segment
            x = x[CONTEXT - n * segment :]
            h = torch.zeros(1, hidden).double()
            for j in range(n):
                z = model.enter(x[j * segment : (j + 1) * segment]).relu()
                h = cell(z[None], h)
            steps = []
            for i in range(math.ceil(HORIZON / segment)):
                y = cell(torch.cat([model.place[i], model.series[v]])[None], h)[0]
                steps += model.leave(y).view(segment, numbers)
            found = torch.stack(steps[:HORIZON])
            found[:, 0] += last
            for p in range(numbers):
                assert torch.allclose(out[row, :, 2 * p + v], found[:, p], atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(("patch", "stride"), [(4, 2), (3, 3), (5, 1), (2, 4), (11, 3)])
def test_patchtst_is_the_papers_equations(patch, stride):
    width, heads, batch = 6, 2, windows()
    plugin = PatchTST(hidden=width, heads=heads, inner=7, layers=2, patch=patch, stride=stride)
    model = built(plugin, two())
    for layer in model.layers:  # as if it had been trained
        for norm in (layer.first.norm, layer.second.norm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    out = model(batch).out
    count = math.floor((CONTEXT - patch) / stride) + 2
    assert model.place.shape == (count, width)

    def batch_norm(norm, z):
        z = (z - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        return norm.weight * z + norm.bias

    for row in range(3):
        for v, column in enumerate(PAST):
            x = batch.x[row, :, column]
            mean = sum(x) / CONTEXT
            deviation = (sum((x - mean) ** 2) / CONTEXT + 1e-5).sqrt()
            s = [(value - mean) / deviation for value in x]
            s += [s[-1]] * stride
            patches = [torch.stack(s[i * stride : i * stride + patch]) for i in range(count)]
            z = torch.stack([model.enter(p) for p in patches]) + model.place
            for layer in model.layers:
                q, k, value = layer.qkv(z).chunk(3, -1)
                looked = []
                for head in range(heads):
                    part = slice(head * width // heads, (head + 1) * width // heads)
                    scores = q[:, part] @ k[:, part].T / math.sqrt(width / heads)
                    looked.append(scores.softmax(-1) @ value[:, part])
                z = batch_norm(layer.first.norm, z + layer.out(torch.cat(looked, -1)))
                inner = layer.up(z)
                gelu = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
                z = batch_norm(layer.second.norm, z + layer.down(gelu))
            expected = model.leave(z.flatten()) * deviation + mean
            assert torch.allclose(out[row, :, v], expected, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("plugin", [SegRNN(hidden=4, segment=2), PatchTST(patch=4, stride=2)])
def test_a_shifted_series_is_forecast_shifted_and_no_other_column_is_read(plugin):
    model, batch = built(plugin, two()), windows()
    x = batch.x.clone()
    x[:, :, 1] = 99.0
    x[:, :, 0] += 5.0
    shift = torch.tensor([0.0, 5.0]).double()  # in the order of `PAST`
    assert torch.allclose(model(batch._replace(x=x)).out, model(batch).out + shift, atol=1e-9)


@pytest.mark.parametrize(
    ("plugin", "task", "message"),
    [
        (SegRNN(segment=12), two(), "segment of 12 steps is longer than the window of 11"),
        (PatchTST(patch=12), two(), "patch of 12 steps is longer than the window of 11"),
        (PatchTST(patch=4), two("gaussian"), "not as parameters of a distribution"),
        (SegRNN(), TOYS["translate"], "segrnn forecasts series"),
        (SeasonalNaive(season=3), two("quantiles"), "asks for a distribution"),
        (SeasonalNaive(season=12), two(), "season of 12 steps lies before the window of 11"),
        (SeasonalNaive(), two(), "state no season"),
        (NGram(), TOYS["translate"], "is no language model"),
        (NGram(), TOYS["tagging"], "is no language model"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(plugin, task, message):
    with pytest.raises(Refusal, match=message):
        check(plugin, task)


def test_patchtst_says_which_heads_divide_its_width():
    with pytest.raises(Refusal, match="multiple of 4"):
        PatchTST(hidden=18)


@torch.no_grad()
def test_seasonal_naive_repeats_the_last_season():
    model, batch = built(SeasonalNaive(season=3), two()), windows()
    at = [CONTEXT - 3 + s % 3 for s in range(HORIZON)]
    assert torch.equal(model(batch).out, batch.x[:, at][:, :, list(PAST)])
    assert torch.equal(model.decode(batch), model(batch).out)


@pytest.mark.parametrize("task", [CO2(), CO2(horizon=60), ETTh1(context=24, horizon=30)], ids=str)
def test_seasonal_naive_is_the_tasks_own_baseline(task: Task):
    here(task)
    model = built(SeasonalNaive(), task).float()
    data = task.data("test", 0)
    found, _ = evaluate(model, task, data, task.meter("test"), torch.device("cpu"))
    for name, value in task.baselines("test")["seasonal_naive"].items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


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


def test_a_forecast_without_parameters_is_kept_and_checked_again(tmp_path):
    out = ("--out", tmp_path)
    said = call("run", "co2", "seasonal-naive", "budget.steps=1", "-q", *out)
    assert "0 parameters, 1 steps" in said
    run = said.strip().rpartition("/")[2]
    assert "equal to the last digit" in call("verify", run, *out)
    assert "truth" in call("generate", run, *out)
