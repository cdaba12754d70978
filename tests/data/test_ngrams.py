"""Counted language models, against slow ones that are written with dictionaries."""

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from rnnbench.data import KneserNey, add_one_nats
from rnnbench.data.text import ngrams


def naive_kneser_ney(train, text, classes, order):
    """Recursive, over tuples: nothing is shared with the vectorised one but the equations."""
    raw = {
        n: Counter(zip(*(train[i:] for i in range(n)), strict=False)) for n in range(1, order + 1)
    }
    counts = {order: raw[order]}
    for n in range(1, order):
        counts[n] = Counter(longer[1:] for longer in raw[n + 1])
        for gram in raw[n]:  # the text's first n-gram may have nothing before it
            counts[n].setdefault(gram, 0)
    discounts = {}
    for n, found in counts.items():
        of = Counter(found.values())
        y = of[1] / (of[1] + 2 * of[2]) if of[1] else 0
        discounts[n] = {0: 0.0}
        for i in (1, 2, 3):
            d = i - (i + 1) * y * of[i + 1] / of[i] if of[i] and of[i + 1] else 0
            discounts[n][i] = d if 0 < d <= i else i / 2
    followers = {n: defaultdict(dict) for n in counts}
    for n, found in counts.items():
        for gram, count in found.items():
            followers[n][gram[:-1]][gram[-1]] = count

    def p(context, w):
        n = len(context) + 1
        shorter = p(context[1:], w) if context else 1 / classes
        after = followers[n].get(context, {})
        total = sum(after.values())
        if not total:
            return shorter
        d = discounts[n]
        taken = sum(d[min(c, 3)] for c in after.values())
        c = after.get(w, 0)
        return (c - d[min(c, 3)] + taken * shorter) / total

    nats = 0.0
    for i in range(1, len(text)):
        nats -= math.log(p(tuple(text[max(0, i - order + 1) : i]), text[i]))
    return nats / (len(text) - 1)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_kneser_ney_equals_one_written_with_dictionaries(order):
    rng = np.random.default_rng(order)
    word = lambda n: (rng.zipf(1.6, n) % 30).astype(np.uint16)  # noqa: E731
    train, text = word(3000), word(400)
    text[17] = 31  # a token that training lacks
    found = KneserNey(train, 32, order).nats(text)[1:].mean()
    assert found == pytest.approx(naive_kneser_ney(train.tolist(), text.tolist(), 32, order))


def test_kneser_ney_is_a_distribution():
    rng = np.random.default_rng(0)
    model = KneserNey(rng.integers(0, 6, 300), 7, 3)
    for context in ([0, 1, 2], [5, 5, 5], [3, 1, 0]):
        p = np.exp([-model.nats(np.array([*context, w]))[-1] for w in range(7)])
        assert p.sum() == pytest.approx(1)
        assert p.min() > 0


def test_kneser_ney_refuses_a_text_shorter_than_its_order():
    with pytest.raises(ValueError, match="too few for 5-grams"):
        KneserNey(np.arange(4), 4)


@pytest.mark.parametrize("block", [7, 100, 10**6])
def test_add_one_equals_counting_with_dictionaries_whatever_the_blocks(block, monkeypatch):
    monkeypatch.setattr(ngrams, "BLOCK", block)
    rng = np.random.default_rng(1)
    train, text, v = rng.integers(0, 9, 500), rng.integers(0, 10, 60), 10
    single, pair = Counter(train.tolist()), Counter(itertools.pairwise(train.tolist()))
    first = Counter(train[:-1].tolist())
    unigram = bigram = 0.0
    for b, c in itertools.pairwise(text.tolist()):
        unigram -= math.log((single[c] + 1) / (len(train) + v))
        bigram -= math.log((pair[b, c] + 1) / (first[b] + v))
    found = add_one_nats(train, text, v)
    assert found["unigram"] == pytest.approx(unigram / 59)
    assert found["bigram"] == pytest.approx(bigram / 59)
