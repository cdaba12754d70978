"""Counted language models of token arrays: add-one and interpolated Kneser-Ney. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnnbench.errors import ShortTextError

__all__ = ["KneserNey", "add_one_nats"]

BLOCK = 1 << 22  # tokens of a training text that are counted at a time


def add_one_nats(train_N: np.ndarray, text_M: np.ndarray, classes: int) -> dict[str, float]:
    """Return mean nats of the M - 1 predictions of a text under two counted models of `train_N`.

    "unigram": p(c) = (n(c) + 1) / (N + V); "bigram": p(c | b) = (n(b, c) + 1) / (n(b) + V),
    with n(b) counted as a first element of a pair. Only pairs that the text has are counted, and
    the training text is read in blocks, so memory goes with V and M, not with V squared or N.
    Source: Laplace's rule; see Jurafsky & Martin, Speech and Language Processing, chapter 3.
    """
    single_V, before_V = np.ones(classes), np.full(classes, float(classes))
    b_M, c_M = text_M[:-1].astype(np.int64), text_M[1:].astype(np.int64)
    pairs_K, which_M = np.unique(b_M * classes + c_M, return_inverse=True)
    pair_K = np.ones(len(pairs_K))
    for block in _blocks(train_N):
        single_V += np.bincount(block if block is train_N else block[:-1], minlength=classes)
        before_V += np.bincount(block[:-1], minlength=classes)
        keys = block[:-1].astype(np.int64) * classes + block[1:]
        at = np.minimum(np.searchsorted(pairs_K, keys), len(pairs_K) - 1)
        pair_K += np.bincount(at[pairs_K[at] == keys], minlength=len(pairs_K))
    if len(train_N) > 1:
        single_V[train_N[-1]] += 1  # it is the first of no pair
    unigram_V = -np.log(single_V / single_V.sum())
    bigram_M = -np.log(pair_K[which_M] / before_V[b_M])
    return {"unigram": float(unigram_V[text_M[1:]].mean()), "bigram": float(bigram_M.mean())}


def _blocks(tokens_N: np.ndarray) -> Iterator[np.ndarray]:
    """Yield stretches that overlap by one token, so that each pair of neighbours is in one."""
    if len(tokens_N) < 2:
        yield tokens_N
        return
    for start in range(0, len(tokens_N) - 1, BLOCK):
        yield tokens_N[start : start + BLOCK + 1]


class _Order(NamedTuple):
    """The n-grams of one length in a training text, and what is counted of them.

    An n-gram is known by its key: the number of its context, which is an n-gram shorter by one,
    times V, plus its last token. Its number is its place among the sorted keys.
    """

    key_K: np.ndarray
    count_K: np.ndarray  # occurrences, or of shorter ones different tokens that stand before
    discount_K: np.ndarray
    total_C: np.ndarray  # of a context: the sum of the counts of what follows it
    given_away_C: np.ndarray  # of a context: the sum of the discounts, over `total_C`


class KneserNey:
    """Interpolated modified Kneser-Ney: a language model that is counted.

    p(w | h) = (c(h w) - D(c)) / sum_w c(h w) + g(h) p(w | h'), where h' is h without its oldest
    token and g(h) is what the discounts took away, down to the uniform distribution. c counts
    occurrences for the longest n-grams, and for shorter ones the different tokens that stand
    before them. D takes the values D1, D2 and D3 at counts 1, 2 and more, by the counts of
    counts of each length. A context that training lacks leaves the distribution of h'.
    The end-of-sentence symbol is a token like any other, and contexts reach over it.

    Args:
        train_N: tokens below `classes`.
        order: length of the longest n-grams.
    Raises:
        ShortTextError: no more training tokens than the order.
    Source: Chen & Goodman (1999), Computer Speech & Language 13, 359-394.
    """

    def __init__(self, train_N: np.ndarray, classes: int, order: int = 5) -> None:
        if len(train_N) <= order:
            raise ShortTextError(f"{len(train_N)} training tokens are too few for {order}-grams")
        self.classes = classes
        self.orders = _count(np.asarray(train_N), classes, order)

    def nats(self, text_M: np.ndarray) -> np.ndarray:
        """Return (M,) nats of each token of a text after those before it.

        The first token has no context.
        """
        w_M = np.asarray(text_M).astype(np.int64)
        p_M = np.full(len(w_M), 1.0 / self.classes)
        context_M = np.zeros(len(w_M), np.int64)  # number of the context of each token, or -1
        for counted in self.orders:
            known_M = context_M >= 0
            c_M = np.where(known_M, context_M, 0)
            key_M = c_M * self.classes + w_M
            at_M = np.minimum(np.searchsorted(counted.key_K, key_M), len(counted.key_K) - 1)
            found_M = known_M & (counted.key_K[at_M] == key_M)
            # Of the training text's very last tokens nothing follows: that is no context either.
            total_M = counted.total_C[c_M]
            known_M &= total_M > 0
            kept_M = np.where(found_M, counted.count_K[at_M] - counted.discount_K[at_M], 0.0)
            total_M = np.where(known_M, total_M, 1.0)
            p_M = np.where(known_M, kept_M / total_M + counted.given_away_C[c_M] * p_M, p_M)
            number_M = np.where(found_M, at_M, -1)
            context_M = np.concatenate([[-1], number_M[:-1]])
        return -np.log(p_M)

    def distribution(self, context_ND: np.ndarray) -> np.ndarray:
        """Return (N, V) probabilities of what follows each context of D tokens, the oldest first.

        Only what training has after a context is looked up; the rest of a row is the unigrams'
        distribution times what the longer contexts gave away. Memory: 8 N V bytes.

        Args:
            context_ND: at least order - 1 tokens; -1 stands before a text's first token.
        """
        levels: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # rows, tokens, probabilities
        left_N = np.ones(len(context_ND))  # what all longer contexts gave away
        for length in range(len(self.orders) - 1, 0, -1):
            counted = self.orders[length]
            context_N = self._number(context_ND[:, context_ND.shape[1] - length :], length)
            # Of the training text's very last tokens nothing follows: that is no context either.
            row_R = np.flatnonzero((context_N >= 0) & (counted.total_C[context_N] > 0))
            c_R = context_N[row_R]
            first_R, end_R = np.searchsorted(counted.key_K, np.stack((c_R, c_R + 1)) * self.classes)
            many_R = end_R - first_R
            which_F = np.repeat(np.arange(len(row_R)), many_R)  # of each follower: its row
            at_F = np.arange(len(which_F)) + np.repeat(first_R - many_R.cumsum() + many_R, many_R)
            kept_F = (counted.count_K[at_F] - counted.discount_K[at_F]) / counted.total_C[
                c_R[which_F]
            ]
            row_F = row_R[which_F]
            levels.append((row_F, counted.key_K[at_F] % self.classes, left_N[row_F] * kept_F))
            left_N[row_R] *= counted.given_away_C[c_R]
        p_NV = left_N[:, None] * self._unigrams()
        for row_F, token_F, p_F in levels:
            p_NV[row_F, token_F] += p_F
        return p_NV

    def _unigrams(self) -> np.ndarray:
        """Return (V,) probabilities without context."""
        counted = self.orders[0]
        p_V = np.full(self.classes, counted.given_away_C[0] / self.classes)
        p_V[counted.key_K] += (counted.count_K - counted.discount_K) / counted.total_C[0]
        return p_V

    def _number(self, gram_NL: np.ndarray, length: int) -> np.ndarray:
        """Return each n-gram's number among those of its length, -1 where training lacks it."""
        number_N = np.zeros(len(gram_NL), np.int64)
        for place, counted in enumerate(self.orders[:length]):
            token_N = gram_NL[:, place].astype(np.int64)
            key_N = number_N * self.classes + token_N
            at_N = np.minimum(np.searchsorted(counted.key_K, key_N), len(counted.key_K) - 1)
            found_N = (number_N >= 0) & (token_N >= 0) & (counted.key_K[at_N] == key_N)
            number_N = np.where(found_N, at_N, -1)
        return number_N


def _count(train_N: np.ndarray, classes: int, order: int) -> list[_Order]:
    """Count the n-grams of lengths 1 to `order`."""
    w_N = train_N.astype(np.int64)
    context_N = np.zeros(len(w_N), np.int64)  # number of the n-gram that ends before each token
    contexts = 1
    keys, counts, owners, suffixes = [], [], [], []
    start, shorter_N = 0, np.zeros(len(w_N), np.int64)
    for _ in range(order):
        key_N = context_N[start:] * classes + w_N[start:]
        key_K, first_K, number_N, count_K = np.unique(
            key_N, return_index=True, return_inverse=True, return_counts=True
        )
        keys.append(key_K)
        counts.append(count_K)
        owners.append((key_K // classes, contexts))
        suffixes.append(shorter_N[start:][first_K])  # the same n-gram without its oldest token
        shorter_N = np.concatenate([np.zeros(start, np.int64), number_N])
        context_N = np.concatenate([np.zeros(start + 1, np.int64), number_N[:-1]])
        contexts, start = len(key_K), start + 1
    for n in range(order - 1):  # how many n-grams one longer end in each
        counts[n] = np.bincount(suffixes[n + 1], minlength=len(keys[n]))
    levels = []
    for key_K, count_K, (owner_K, size) in zip(keys, counts, owners, strict=True):
        discount_K = _discounts(count_K)[np.minimum(count_K, 3)]
        total_C = np.bincount(owner_K, count_K, minlength=size)
        given_C = np.bincount(owner_K, discount_K, minlength=size)
        given_C = np.divide(given_C, total_C, out=np.ones(size), where=total_C > 0)
        levels.append(_Order(key_K, count_K, discount_K, total_C, given_C))
    return levels


def _discounts(count_K: np.ndarray) -> np.ndarray:
    """Return what is taken from counts of 0, 1, 2 and more.

    D_i = i - (i + 1) Y n_{i+1} / n_i with Y = n_1 / (n_1 + 2 n_2), where n_i n-grams have the
    count i. Where a text is so small that one of n_1 to n_4 is 0, and where that leaves (0, i],
    it is half of i: the equation has no sense there.
    """
    n1, n2, n3, n4 = (int((count_K == i).sum()) for i in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2) if n1 else 0.0
    discounts = np.array([0.0, 0.5, 1.0, 1.5])
    for i, (lower, upper) in enumerate(((n1, n2), (n2, n3), (n3, n4)), start=1):
        if lower and upper:
            d = i - (i + 1) * y * upper / lower
            discounts[i] = d if 0 < d <= i else discounts[i]
    return discounts
