"""Batches: every target once, the same from the same seed, padding that changes nothing."""

import itertools

import numpy as np
import pytest
import torch

from rnnbench.contract import Batch, Port, Prediction
from rnnbench.data import (
    Characters,
    Generated,
    Items,
    Pairs,
    Stream,
    Subwords,
    add_one_nats,
    ragged,
)
from rnnbench.metrics import (
    Accuracy,
    ForecastErrors,
    LanguageModelling,
    MeanSquaredError,
    Translation,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def targets_read(data, size):
    """Every (input, target) that a pass counts, and how often."""
    seen = []
    for key in data.order(size, None):
        b = data.batch(key, None)
        lengths = [b.y.shape[1]] * len(b.y) if b.y_len is None else b.y_len.tolist()
        assert min(lengths) > 0
        for x, y, n in zip(b.x.tolist(), b.y.tolist(), lengths, strict=True):
            seen += list(zip(x[:n], y[:n], strict=True))
    return seen


@pytest.mark.parametrize("n", [2, 3, 9, 10, 97, 100, 101, 128])
@pytest.mark.parametrize("size", [1, 4, 16])
@pytest.mark.parametrize("length", [1, 5, 8])
def test_a_stream_predicts_every_token_but_the_first_exactly_once(n, size, length):
    data = Stream(np.arange(n), length)
    assert sorted(targets_read(data, size)) == [(t, t + 1) for t in range(n - 1)]
    assert len(data) == n - 1


def test_each_row_of_a_stream_goes_on_where_its_last_chunk_ended():
    data = Stream(np.arange(101), 7)
    batches = [data.batch(k, None) for k in data.order(4, None)]
    for before, after in itertools.pairwise(batches):
        assert torch.equal(after.x[:, 0], before.y[:, -1])
    assert all(b.y_len is None for b in batches[:-1])


def test_items_and_pairs_are_read_once_an_epoch_in_an_order_that_the_seed_fixes():
    x = ragged([[i] * (1 + i % 7) for i in range(1, 60)])
    pairs = Pairs(x, x, pool=3)
    items = Items(Batch(torch.arange(59)[:, None], torch.arange(59)))
    for data in (pairs, items):
        for g in (None, rng(1)):
            keys = [np.asarray(k) for k in data.order(8, g)]
            assert sorted(np.concatenate(keys).tolist()) == list(range(59))
            assert max(map(len, keys)) <= 8

        def order(seed, data=data):
            return [list(map(int, k)) for k in data.order(8, rng(seed))]

        assert order(1) == order(1)
        assert order(1) != order(2)


def test_pairs_are_padded_at_the_end_and_batched_with_their_like():
    lengths = np.random.RandomState(0).randint(1, 40, 2000)
    x = ragged([[7] * n for n in lengths])
    data = Pairs(x, x, pad=0)
    waste, total = 0, 0
    for key in data.order(16, rng()):
        b = data.batch(key, None)
        assert torch.equal((b.x != 0).sum(1), b.x_len)
        assert all((row[:n] == 7).all() for row, n in zip(b.x, b.x_len, strict=True))
        waste += int((b.x == 0).sum())
        total += b.x.numel()
    assert waste / total < 0.15
    with pytest.raises(ValueError, match="are not pairs"):
        Pairs(x, ragged([[1]]))


def test_generated_items_follow_the_generator_that_they_are_given():
    data = Generated(
        lambda n, g: Batch(torch.rand(n, 3, generator=g), torch.zeros(n, 1)), 10, seed=5
    )
    keys = data.order(4, rng())
    assert [rows for _, rows in keys] == [4, 4, 2]
    a, b = data.batch(keys[0], rng(1)).x, data.batch(keys[0], rng(2)).x
    assert torch.equal(a, data.batch(keys[0], rng(1)).x)
    assert not torch.equal(a, b)
    assert torch.equal(data.batch(keys[0], None).x, data.batch(keys[0], None).x)
    assert not torch.equal(data.batch(keys[0], None).x, data.batch(keys[1], None).x)


# ------------------------------------------------------------------------------------- text


def test_characters_round_trip_and_the_unknown_is_one_symbol():
    v = Characters.of("hello world")
    assert v.decode(v.encode("hold")) == "hold"
    assert v.encode("hx").tolist()[1] == Characters.UNKNOWN
    assert v.decode(v.encode("hx")) == "h\ufffd"
    assert len(v) == len(set("hello world")) + 1


def test_add_one_models_agree_with_probabilities_counted_by_hand():
    train, text = np.array([1, 2, 1, 2, 1]), np.array([1, 2, 2])
    nats = add_one_nats(train, text, classes=3)
    # unigram: p(2) = (2 + 1) / (5 + 3); bigram: p(2 | 1) = (2 + 1) / (2 + 3), p(2 | 2) = 1 / 5
    assert nats["unigram"] == pytest.approx(-np.log(3 / 8))
    assert nats["bigram"] == pytest.approx(-(np.log(3 / 5) + np.log(1 / 5)) / 2)


def test_subwords_are_the_same_each_time_and_spell_what_they_never_saw():
    lines = [f"the {a} {b} of the {c}" for a in ["red", "big", "new"] for b in ["cat", "hat"]
             for c in ["house", "mouse"]]  # fmt: skip
    one, two = (Subwords.train(lines, 300, "bpe") for _ in range(2))
    assert one.model == two.model
    assert len(one) == 300
    for text in ("the big cat", "Überraschung 東京 {name}"):
        tokens = one.encode(text)
        assert one.decode([*tokens, Subwords.STOP, Subwords.PAD]) == text
        assert Subwords.UNKNOWN not in tokens


def test_a_vocabulary_that_the_text_cannot_fill_is_refused():
    from rnnbench.data import DataError

    with pytest.raises(DataError, match="makes no unigram vocabulary of 5000"):
        Subwords.train(["one line"], 5000, "unigram")


# ----------------------------------------------------------------------------------- meters


def test_language_modelling_weighs_tokens_and_not_batches():
    meter = LanguageModelling()
    for nll, mask in [([[1.0, 2.0, 3.0]], [[1, 1, 1]]), ([[9.0, 50.0, 50.0]], [[1, 0, 0]])]:
        nll, mask = torch.tensor(nll), torch.tensor(mask).bool()
        meter.update(Batch(nll, nll), Prediction(nll, mask, nll, None))
    assert meter.compute() == pytest.approx(
        {"perplexity": np.exp(15 / 4), "bits_per_char": 15 / 4 / np.log(2)}
    )


def test_a_hopeless_model_has_an_infinite_perplexity_and_no_overflow_error():
    meter, nll = LanguageModelling(("perplexity",)), torch.tensor([[1000.0]])
    meter.update(Batch(nll, nll), Prediction(nll, nll > 0, nll, None))
    assert meter.compute() == {"perplexity": float("inf")}


def test_what_stands_in_the_padding_never_changes_a_meter():
    y, mask = torch.tensor([[4, 5, 3], [6, 3, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    b = Batch(y, y, y_len=torch.tensor([3, 2]))
    values = []
    for junk in (0.0, 1e9, float("nan")):
        out = torch.nn.functional.one_hot(y, 9).float()
        out[1, 2] = junk
        nll = torch.where(mask, 0.5, torch.tensor(junk))
        decoded = y.clone()
        decoded[1, 2] = 8 if junk else 7
        gold = b._replace(y=torch.where(mask, y, 8 if junk else 7))
        text = Translation(lambda tokens: " ".join(map(str, tokens)), stop=3)
        meters = (LanguageModelling(), Accuracy(), MeanSquaredError(), text)
        for m in meters:
            m.update(gold, Prediction(nll, mask, out, decoded))
        values.append([m.compute() for m in meters])
    assert values[0] == values[1] == values[2]
    assert values[0][1] == {"accuracy": 1.0}


def test_forecast_errors_leave_missing_targets_out():
    y = torch.tensor([[[1.0], [float("nan")]], [[0.0], [4.0]]])
    guess = torch.tensor([[[2.0], [99.0]], [[0.0], [1.0]]])
    meter = ForecastErrors(scale=0.5)
    meter.update(Batch(y, y), Prediction(y, ~y.isnan(), guess, guess))
    assert meter.compute() == pytest.approx({"mse": 10 / 3, "mae": 4 / 3, "mase": 8 / 3})
    with pytest.raises(ValueError, match="forecast"):
        meter.update(Batch(y, y), Prediction(y, ~y.isnan(), guess, guess[:, :1]))


def test_translation_agrees_with_sacrebleu_and_keeps_its_signature():
    import sacrebleu

    words = ["pad", "unk", "start", "stop", "the", "cat", "sat", "on", "a", "mat"]
    y = torch.tensor([[4, 5, 6, 7, 4, 9, 3], [8, 5, 6, 3, 0, 0, 0]])
    guess = torch.tensor([[4, 5, 6, 7, 8, 9, 3, 4], [8, 5, 6, 3, 5, 5, 5, 5]])
    meter = Translation(lambda tokens: " ".join(words[t] for t in tokens), stop=3)
    meter.update(Batch(y, y, y_len=torch.tensor([7, 4])), Prediction(y, y > 0, y, guess))
    says, is_ = ["the cat sat on a mat", "a cat sat"], ["the cat sat on the mat", "a cat sat"]
    values = meter.compute()
    assert values["bleu"] == pytest.approx(sacrebleu.corpus_bleu(says, [is_]).score)
    assert values["chrf"] == pytest.approx(sacrebleu.corpus_chrf(says, [is_]).score)
    assert "tok:13a" in meter.signature
    assert sacrebleu.__version__ in meter.signature


@pytest.mark.parametrize(
    "meter",
    [LanguageModelling(), Accuracy(), MeanSquaredError(), ForecastErrors(1.0), Translation(str, 3)],
    ids=lambda m: type(m).__name__,
)
def test_a_meter_that_saw_nothing_says_so(meter):
    with pytest.raises(RuntimeError, match="saw no target"):
        meter.compute()
    if meter.decodes:
        y = torch.zeros(1, 1)
        with pytest.raises(ValueError, match="decoded"):
            meter.update(Batch(y, y), Prediction(y, y == 0, y, None))


def test_ports_carry_tokens_or_values():
    with pytest.raises(ValueError, match="set classes or width"):
        Port()
