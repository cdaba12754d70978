"""Tasks of long memory: instances worked by hand, baselines against formulas, and learning."""

import math

import pytest
import torch
from laws.synthetic_laws import broken_laws, whole
from support.learning import figures_after

from rnnbench.contract import Batch, Prediction
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.lstm import LSTM
from rnnbench_tasks.adding import Adding
from rnnbench_tasks.copy_memory import CopyMemory
from rnnbench_tasks.latch import Latch
from rnnbench_tasks.mqar import MQAR
from rnnbench_tasks.multiplication import Multiplication
from rnnbench_tasks.oscillator import Oscillator
from rnnbench_tasks.parity import Parity
from rnnbench_tasks.selective_copy import SelectiveCopy
from rnnbench_tasks.temporal_order import TemporalOrder

FEW = {"train_items": 300, "valid_items": 60, "test_items": 70}


def drawn(task, rows=200, seed=0, **more):
    return task.draw(rows, torch.Generator().manual_seed(seed), **more)


@pytest.mark.parametrize(
    "task",
    [
        Multiplication(length=3, **FEW),
        Latch(length=8, spread=0.0, **FEW),
        Latch(length=30, spread=0.5, informative=1, **FEW),
        TemporalOrder(length=40, relevant=3, **FEW),
        TemporalOrder(length=20, relevant=4, **FEW),
        Parity(train_min=9, train_max=12, test_max=13, **FEW),
        CopyMemory(delay=1, delimiter="through", **FEW),
        SelectiveCopy(noise=0, tokens=9, **FEW),
        MQAR(vocabulary=64, length=16, pairs=4, power=1.0, **FEW),
        Oscillator(length=5, fastest=1.0, damping=0.0, **FEW),
    ],
    ids=lambda task: task.name,
)
def test_the_laws_hold_away_from_the_defaults(task):
    assert broken_laws(task) == {}


def test_adding_draws_what_it_drew_before_it_shared_its_sequences_with_multiplication():
    """Results on record stay comparable: the same items, to the bit."""
    task = Adding(length=7, valid_items=3)
    rng = torch.Generator().manual_seed(1997_01)
    value_BT = torch.rand(3, 7, generator=rng)
    first_B = torch.randint(0, 3, (3,), generator=rng)
    second_B = torch.randint(3, 7, (3,), generator=rng)
    batch = whole(task, "valid")
    for row in range(3):
        marked = {int(first_B[row]), int(second_B[row])}
        assert batch.x[row, :, 0].tolist() == value_BT[row].tolist()
        assert set(batch.x[row, :, 1].nonzero()[:, 0].tolist()) == marked
        assert float(batch.y[row]) == pytest.approx(sum(value_BT[row, list(marked)].tolist()))


def test_multiplication_asks_for_the_product_of_the_marked_values():
    batch = drawn(Multiplication(length=9))
    for x, y in zip(batch.x.tolist(), batch.y.tolist(), strict=True):
        (i, a), (j, b) = ((i, value) for i, (value, marker) in enumerate(x) if marker)
        assert i < 4 <= j
        assert y == [pytest.approx(a * b)]


def test_the_variance_of_a_product_of_uniform_values_is_the_baseline_of_multiplication():
    found = Multiplication(test_items=50_000, length=2).baselines("test")
    assert found["mean, in theory"]["mse"] == pytest.approx(7 / 144)
    assert found["mean"]["mse"] == pytest.approx(7 / 144, rel=0.02)


def test_latch_tells_the_class_at_the_beginning_only():
    task = Latch(length=40, spread=0.5, informative=2, variance=0.25)
    batch = drawn(task, 2000)
    assert (batch.x[:, :2, 0] == (2.0 * batch.y - 1)[:, None]).all()
    assert set(batch.x_len.tolist()) == set(range(40, 61))
    noise = batch.x[:, 2:40, 0]
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.var()) == pytest.approx(0.25, rel=0.03)
    assert all((row[n:] == 0).all() for row, n in zip(batch.x, batch.x_len, strict=True))
    assert drawn(Latch(length=40, spread=0.0)).x.shape == (200, 40, 1)


def test_the_windows_of_temporal_order_are_the_papers():
    assert TemporalOrder(relevant=2).windows() == [(10, 20), (50, 60)]
    assert TemporalOrder(relevant=3).windows() == [(10, 20), (33, 43), (66, 76)]
    with pytest.raises(ValueError, match="Raise length"):
        TemporalOrder(length=10, relevant=4)


@pytest.mark.parametrize("relevant", [2, 3, 4])
def test_temporal_order_counts_its_symbols_as_binary_digits(relevant):
    task = TemporalOrder(length=100, relevant=relevant)
    batch = drawn(task, 400)
    assert set(batch.y.tolist()) == set(range(2**relevant))
    assert set(batch.x_len.tolist()) == set(range(100, 111))
    for x, y, n in zip(batch.x.tolist(), batch.y.tolist(), batch.x_len.tolist(), strict=True):
        at = [i for i, symbol in enumerate(x[:n]) if symbol in (2, 3)]
        digits = "".join("XY"[x[i] - 2] for i in at)
        assert int(digits.replace("X", "0").replace("Y", "1"), 2) == y
        assert all(a <= i <= b for i, (a, b) in zip(at, task.windows(), strict=True))
        assert x[0] == 0
        assert x[n - 1] == 1
        assert {0, 1}.isdisjoint(x[1 : n - 1])


def test_parity_is_asked_of_longer_strings_in_test():
    task = Parity()
    for split, lengths in (("train", (3, 40)), ("valid", (3, 40)), ("test", (41, 256))):
        batch = drawn(task, 3000, split=split)
        assert (int(batch.x_len.min()), int(batch.x_len.max())) == lengths
        for x, y, n in list(zip(batch.x.tolist(), batch.y.tolist(), batch.x_len, strict=True))[:50]:
            assert x[:n].count(1) % 2 == y
            assert sum(x[n:]) == 0
    with pytest.raises(ValueError, match="must rise"):
        Parity(train_max=50, test_max=50)


@pytest.mark.parametrize(
    "task", [Latch(), TemporalOrder(relevant=3), Parity()], ids=lambda t: t.name
)
def test_the_commonest_class_is_counted_and_near_to_chance(task):
    y = whole(task, "test").y.tolist()
    found = task.baselines("test")
    classes = task.target.classes
    assert found["commonest class"]["accuracy"] == max(map(y.count, range(classes))) / len(y)
    assert found["chance, in theory"]["accuracy"] == 1 / classes
    assert found["commonest class"]["accuracy"] == pytest.approx(1 / classes, abs=0.04)


def test_copy_memory_asks_after_the_delimiter_for_what_it_read_first():
    batch = drawn(CopyMemory(delay=3, symbols=2, alphabet=4), 1)
    a, b = batch.x[0, :2].tolist()
    assert {a, b} <= {1, 2, 3, 4}
    assert batch.x[0].tolist() == [a, b, 0, 0, 5, 0, 0]  # T - 1 blanks, the delimiter, blanks
    assert batch.y[0].tolist() == [0, 0, 0, 0, 0, a, b]
    through = drawn(CopyMemory(delay=3, symbols=2, alphabet=4, delimiter="through"), 1)
    assert through.x[0].tolist() == [a, b, 0, 0, 5, 5, 5]
    assert drawn(CopyMemory(delay=100)).x.shape == (200, 120)


def test_selective_copy_asks_at_the_markers_for_what_stood_among_noise():
    task = SelectiveCopy(noise=6, tokens=3, vocabulary=5)
    batch = drawn(task)
    places = set()
    for x, y in zip(batch.x.tolist(), batch.y.tolist(), strict=True):
        assert x[9:] == [4, 4, 4]
        assert y[:9] == [0] * 9
        assert [token for token in x[:9] if token] == y[9:]
        assert {1, 2, 3}.issuperset(y[9:])
        places |= {i for i, token in enumerate(x[:9]) if token}
    assert places == set(range(9))


def test_mqar_asks_for_the_value_that_followed_the_key():
    task = MQAR(vocabulary=20, length=24, pairs=3)
    batch = drawn(task, 500)
    gaps = []
    for x, y in zip(batch.x.tolist(), batch.y.tolist(), strict=True):
        value_of = dict(zip(x[:6:2], x[1:6:2], strict=True))
        assert len(value_of) == len(set(value_of.values())) == 3
        assert all(1 <= key < 10 <= value for key, value in value_of.items())
        queries = [t for t in range(6, 24) if x[t] < 10]
        assert sorted(x[t] for t in queries) == sorted(value_of)
        assert [y[t] for t in queries] == [value_of[x[t]] - 10 + 1 for t in queries]
        assert all(y[t] == 0 for t in range(24) if t not in queries)
        gaps += [(t - 6) // 2 for t in queries]
    shares = [gaps.count(g) / 500 for g in range(9)]
    assert shares[0] > 2 * shares[4] > 1.5 * shares[8]


def test_the_gaps_of_mqar_are_drawn_by_weight_without_replacement():
    """With one pair the share of gap g is its weight g^(power - 1), normalised."""
    batch = drawn(MQAR(vocabulary=8, length=10, pairs=1, power=0.5), 20_000)
    weights = [g**-0.5 for g in (1, 2, 3, 4)]
    for g, weight in enumerate(weights):
        share = float((batch.y[:, 2 + 2 * g] > 0).double().mean())
        assert share == pytest.approx(weight / sum(weights), abs=0.015)


@pytest.mark.parametrize(
    ("task", "nats", "accuracy"),
    [
        (CopyMemory(), 10 * math.log(8) / 120, 1 / 8),
        (CopyMemory(delay=1000, test_items=200), 10 * math.log(8) / 1020, 1 / 8),
        (SelectiveCopy(test_items=500), 16 * math.log(14) / 132, 1 / 14),
        (MQAR(test_items=500), 4 * math.log(128) / 64, 1 / 128),
    ],
    ids=["copy-memory", "copy-memory 1000", "selective-copy", "mqar"],
)
def test_what_needs_no_memory_costs_what_the_formula_says(task, nats, accuracy):
    found = task.baselines("test")
    assert found["memoryless, in theory"] == pytest.approx({"nats": nats, "accuracy": accuracy})
    assert found["memoryless"]["nats"] == pytest.approx(nats, rel=1e-6)
    assert found["memoryless"]["accuracy"] == pytest.approx(accuracy, abs=0.03)


def test_any_value_seen_is_right_once_in_as_many_pairs():
    found = MQAR(pairs=8, test_items=300).baselines("test")
    assert found["any value seen"] == pytest.approx(
        {"accuracy": 1 / 8, "nats": 8 * math.log(8) / 64}
    )
    assert found["any value seen"] == pytest.approx(found["any value seen, in theory"])


def test_recall_is_judged_where_it_is_asked_for_and_the_loss_everywhere():
    y = torch.tensor([[0, 0, 2, 1], [0, 0, 1, 1]])
    out = torch.zeros(2, 4, 3)
    out[..., 0] = 1.0  # always blank …
    out[0, 2, 2] = 2.0  # … but once, rightly
    meter = CopyMemory(symbols=2, alphabet=2, delay=1).meter("test")
    nll = torch.arange(8.0).view(2, 4)
    meter.update(Batch(y, y), Prediction(nll, torch.ones(2, 4, dtype=torch.bool), out, None))
    assert meter.compute() == {"accuracy": 1 / 4, "nats": 3.5}


def test_an_oscillators_curve_is_that_of_its_formula():
    task = Oscillator(length=4, slowest=1.0, fastest=4.0, damping=2.0)
    (y,) = task.curve(torch.tensor([[0.0, 1.0, 0.5]])).tolist()  # f = 2, λ = 2, phase π/2
    expected = [math.exp(-2 * t / 4) * math.cos(math.pi * t + math.pi / 2) for t in range(4)]
    assert y == pytest.approx(expected, abs=1e-6)


def test_a_mean_curve_leaves_the_variance():
    found = Oscillator().baselines("test")
    y = whole(Oscillator(), "test").y.double()
    assert found["zero"]["mse"] == pytest.approx(float(y.square().mean()), rel=1e-6)
    assert found["zero"]["nmse"] == pytest.approx(found["zero"]["mse"] / float(y.var(correction=0)))
    assert found["mean curve"]["nmse"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("task", "architecture", "how", "metric", "bound"),
    [
        (Multiplication(length=10, **FEW), LSTM(hidden=16), (200, 32), "mse", 7 / 144 / 4),
        (Latch(length=20, **FEW), GRU(hidden=8), (300, 32), "accuracy", 0.95),
        (TemporalOrder(length=20, **FEW), LSTM(hidden=32), (300, 32), "accuracy", 0.9),
        (Parity(train_min=1, train_max=4, test_max=8, **FEW), LSTM(hidden=32), (500, 32),
         "accuracy", 0.8),
        (CopyMemory(delay=2, symbols=3, alphabet=3, **FEW), LSTM(hidden=32), (300, 32),
         "nats", 3 * math.log(3) / 8 / 4),
        (SelectiveCopy(noise=4, tokens=3, vocabulary=6, **FEW), LSTM(hidden=32), (300, 32),
         "accuracy", 0.8),
        (MQAR(vocabulary=8, length=12, pairs=2, **FEW), LSTM(hidden=48), (800, 64),
         "accuracy", 0.8),
        (Oscillator(length=10, **FEW), LSTM(hidden=32), (300, 32), "nmse", 0.1),
    ],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_a_small_network_leaves_the_baseline_behind(task, architecture, how, metric, bound):
    steps, batch = how
    figures, _ = figures_after(task, architecture, steps=steps, rate=1e-2, batch=batch)
    better = next(m.higher_is_better for m in task.metrics if m.name == metric)
    stated = [found[metric] for found in task.baselines("test").values()]
    if better:
        assert figures[metric] > bound > max(stated)
    else:
        assert figures[metric] < bound < min(stated)
