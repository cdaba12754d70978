"""Meters of symbols and labels: error rates of transduction, F1 of chunks, relatedness."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rnnbench.contract import Batch, ItemScores, Meter, Prediction

__all__ = ["Chunks", "ErrorRates", "Relatedness", "chunks", "edit_distance"]


class ErrorRates(Meter):
    """Measures "phoneme_error_rate" and "word_error_rate" against several references.

    A word is wrong where it equals none of its references. Phoneme errors are the fewest
    insertions, deletions and substitutions that lead to a reference: of the references the one
    with the fewest for its length counts, with its errors and its length, and the rate is the
    sum of errors over the sum of lengths.

    Args:
        references: of the tokens of a source, each as tokens without the stop token.
        stop: token that ends a sequence; it and what follows are cut off.
    Source: Yao & Zweig (2015), arXiv:1506.00196, section 4.1, for both rates.
    """

    decodes = True

    def __init__(self, references: Callable[[list[int]], list[list[int]]], stop: int) -> None:
        self.references, self.stop = references, stop
        self.errors = self.length = self.wrong = self.words = 0
        self.item_scores: list[tuple[int, int]] = []  # errors and length of each word

    def update(self, batch: Batch, prediction: Prediction) -> None:
        if prediction.decoded is None:
            raise ValueError("ErrorRates needs decoded output, and got none")
        lengths = [batch.x.shape[1]] * len(batch.x) if batch.x_len is None else batch.x_len.tolist()
        rows = zip(batch.x.tolist(), lengths, prediction.decoded.tolist(), strict=True)
        for x, length, guess in rows:
            if self.stop in guess:
                guess = guess[: guess.index(self.stop)]
            self.add(guess, self.references(x[:length]))

    def add(self, guess: Sequence[int], references: Sequence[Sequence[int]]) -> None:
        """Count one word."""
        candidates = [(edit_distance(guess, gold), len(gold)) for gold in references]
        errors, length = min(candidates, key=lambda f: (f[0] / f[1], f[1]))
        self.item_scores.append((errors, length))
        self.errors, self.length = self.errors + errors, self.length + length
        self.wrong, self.words = self.wrong + (errors > 0), self.words + 1

    def compute(self) -> dict[str, float]:
        if not self.words:
            raise RuntimeError("ErrorRates saw no word: the split was empty")
        return {
            "phoneme_error_rate": self.errors / self.length,
            "word_error_rate": self.wrong / self.words,
        }

    def items(self, metric: str) -> ItemScores | None:
        if metric == "phoneme_error_rate":
            return ItemScores("word", "ratio", self.item_scores)
        return ItemScores("word", "ratio", [(int(errors > 0), 1) for errors, _ in self.item_scores])


def edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the fewest insertions, deletions and substitutions between two sequences.

    Source: Levenshtein (1966), by the recursion of Wagner & Fischer (1974).
    """
    above = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        row = [i]
        for j, b in enumerate(other, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


class Chunks(Meter):
    """Measures "f1" of chunks found whole, as conlleval counts them, and "accuracy" of the tags.

    f1 = 2 p r / (p + r) with p and r the shares of the chunks predicted and present that agree in
    both ends and in type, over the whole split; 0 where there is none.

    Args:
        tags: of each class: "O", or "B-" or "I-" and a type.
    Source: Tjong Kim Sang & Buchholz (2000), CoNLL-2000 shared task, section 4, and its conlleval.
    """

    def __init__(self, tags: Sequence[str]) -> None:
        self.tags = tags
        self.agreed = self.predicted = self.present = self.right = self.count = 0
        # Of each sentence twice the chunks that agree, and the chunks of both sides.
        self.item_scores: list[tuple[int, int]] = []

    def update(self, batch: Batch, prediction: Prediction) -> None:
        guesses = prediction.out.argmax(-1).tolist()
        lengths = [batch.y.shape[1]] * len(batch.y) if batch.y_len is None else batch.y_len.tolist()
        for gold, guess, length in zip(batch.y.tolist(), guesses, lengths, strict=True):
            self.add([self.tags[t] for t in guess[:length]], [self.tags[t] for t in gold[:length]])

    def add(self, guess: Sequence[str], gold: Sequence[str]) -> None:
        """Count the tags of one sentence."""
        predicted, present = chunks(guess), chunks(gold)
        self.agreed += len(predicted & present)
        self.item_scores.append((2 * len(predicted & present), len(predicted) + len(present)))
        self.predicted, self.present = self.predicted + len(predicted), self.present + len(present)
        self.right += sum(a == b for a, b in zip(guess, gold, strict=True))
        self.count += len(gold)

    def compute(self) -> dict[str, float]:
        if not self.count:
            raise RuntimeError("Chunks saw no tag: the split was empty")
        total = self.predicted + self.present
        return {
            "f1": 2 * self.agreed / total if total else 0.0,
            "accuracy": self.right / self.count,
        }

    def items(self, metric: str) -> ItemScores | None:
        return ItemScores("sentence", "ratio", self.item_scores) if metric == "f1" else None


def chunks(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """Return (first, end, type) of each chunk.

    An "I-" after another type, or after "O", begins one.
    """
    spans, begin, kind = set(), 0, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, here = tag.partition("-")
        if kind and (prefix != "I" or here != kind):
            spans.add((begin, i, kind))
            kind = ""
        if prefix != "O" and not kind:
            begin, kind = i, here
    return spans


class Relatedness(Meter):
    """Measures "mse", "pearson" and "spearman" of one value for each item.

    A correlation is 0 where either side does not vary.
    Source: Marelli et al. (2014), SemEval-2014 task 1, section 4, for the three figures.
    """

    def __init__(self) -> None:
        self.guesses: list[float] = []
        self.values: list[float] = []

    def update(self, batch: Batch, prediction: Prediction) -> None:
        mask = prediction.mask.flatten().cpu()
        self.guesses += prediction.out.detach().cpu().double().flatten()[mask].tolist()
        self.values += batch.y.cpu().double().flatten()[mask].tolist()

    def compute(self) -> dict[str, float]:
        if not self.values:
            raise RuntimeError("Relatedness saw no value: the split was empty or wholly masked")
        from scipy.stats import rankdata  # 0.3 s, and few tasks need it

        guess_N, value_N = np.array(self.guesses), np.array(self.values)
        return {
            "pearson": _correlation(guess_N, value_N),
            "spearman": _correlation(rankdata(guess_N), rankdata(value_N)),
            "mse": float(np.mean((guess_N - value_N) ** 2)),
        }


def _correlation(one_N: np.ndarray, other_N: np.ndarray) -> float:
    one_N, other_N = one_N - one_N.mean(), other_N - other_N.mean()
    spread = float(np.sqrt((one_N**2).sum() * (other_N**2).sum()))
    return float((one_N * other_N).sum()) / spread if spread > 1e-12 * len(one_N) else 0.0
