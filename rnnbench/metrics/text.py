"""Meters of text: how well it is predicted, and how well it is translated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from rnnbench.contract import Batch, ItemScores, Prediction
from rnnbench.metrics.base import CountingMeter, decoded_output, masked_sum

__all__ = ["LanguageModelling", "Translation"]

ORDER = 4  # of the longest n-grams that BLEU counts


class LanguageModelling(CountingMeter):
    """Measures "perplexity" exp(nats per token) and "bits_per_char" nats per character / ln 2.

    Args:
        metrics: which of the two the task declares.
        tokens_per_character: of the split; 1 where the tokens are characters or bytes.
    """

    def __init__(
        self,
        metrics: Sequence[str] = ("perplexity", "bits_per_char"),
        tokens_per_character: float = 1.0,
    ) -> None:
        super().__init__()
        unknown = set(metrics) - {"perplexity", "bits_per_char"}
        if unknown or not metrics:
            raise ValueError(f"LanguageModelling reports perplexity, bits_per_char; not {unknown}")
        self.metrics, self.nats = tuple(metrics), 0.0
        self.tokens_per_character = tokens_per_character

    def update(self, batch: Batch, prediction: Prediction) -> None:
        self.nats += masked_sum(prediction.nll, prediction.mask)
        self.count += int(prediction.mask.sum())

    def compute(self) -> dict[str, float]:
        nats = self.nats / self.counted()
        # exp overflows a float beyond 709 nats; so bad a model has no finite perplexity.
        perplexity = math.exp(nats) if nats < 709 else math.inf if nats == nats else math.nan
        bits = nats * self.tokens_per_character / math.log(2)
        values = {"perplexity": perplexity, "bits_per_char": bits}
        return {name: values[name] for name in self.metrics}


class Translation(CountingMeter):
    """Measures texts against references over a whole split, by the figures that are asked for.

    "bleu" (sacreBLEU), "chrf" (chrF2) and "ter" (the edits of words that lead to the references, in
    percent of their words, shifts among them) are sacreBLEU's; "bleu" and "chrf" go from 0 to 100.
    "exact" is the share of texts that equal their reference, but for white space at their ends.
    "cer" is the fewest inserted, deleted and replaced characters that lead to the references, over
    the characters of these.

    "length_ratio" is the translations' total length over that of the references, in sacreBLEU's
    tokens: 1 where they are as long, 6 where translations are six times too long.

    Args:
        detokenise: returns the text of a list of tokens.
        stop: token that ends a sentence; it and what follows are cut off.
        references: returns the reference of a pair of (source, target) tokens, where it is more
            than `detokenise` can tell of the target's tokens: a word may be outside the vocabulary.
        lowercase: compare without regard to case; the signature says so.
        metrics: which figures to compute.
    Attributes:
        signature: sacreBLEU's own description of both figures; "" before `compute`.
        unmeasurable: "bleu", where no reference has the four tokens that it counts: the
            references themselves would score 0.
    Source: Papineni et al. (2002) for BLEU, Popović (2015) for chrF, Post (2018),
    arXiv:1804.08771, for the signature.
    """

    decodes = True

    def __init__(
        self,
        detokenise: Callable[[list[int]], str],
        stop: int,
        references: Callable[[list[int], list[int]], str] | None = None,
        lowercase: bool = False,
        metrics: Sequence[str] = ("bleu", "chrf", "length_ratio"),
    ) -> None:
        super().__init__()
        self.metrics = tuple(metrics)
        self.detokenise, self.stop, self.signature = detokenise, stop, ""
        self.reference = references or (lambda x, y: self.text(y))
        self.lowercase = lowercase
        self.guesses: list[str] = []
        self.references: list[str] = []

    def update(self, batch: Batch, prediction: Prediction) -> None:
        decoded = decoded_output(self, prediction)
        pairs = zip(
            _unpadded_rows(batch.x, batch.x_len), _unpadded_rows(batch.y, batch.y_len), strict=True
        )
        for guess, (x, y) in zip(decoded.tolist(), pairs, strict=True):
            self.add(self.text(guess), self.reference(x, y))

    def add(self, guess: str, reference: str) -> None:
        """Count one pair of texts."""
        self.guesses.append(guess)
        self.references.append(reference)
        self.count += 1

    def text(self, tokens: list[int]) -> str:
        """Return the text of some tokens, up to the first stop token."""
        if self.stop in tokens:
            tokens = tokens[: tokens.index(self.stop)]
        return self.detokenise(tokens)

    def compute(self) -> dict[str, float]:
        from sacrebleu.metrics import BLEU, CHRF, TER  # 0.1 s, and only translation needs it

        self.counted()
        asked, gold = set(self.metrics), [self.references]
        values: dict[str, float] = {}
        signatures = []
        if {"bleu", "length_ratio"} & asked:
            bleu = BLEU(lowercase=self.lowercase)
            scored = bleu.corpus_score(self.guesses, gold)
            values["bleu"] = scored.score
            values["length_ratio"] = scored.sys_len / max(scored.ref_len, 1)
            signatures.append(f"BLEU|{bleu.get_signature()}")
        if "chrf" in asked:
            chrf = CHRF(lowercase=self.lowercase)
            values["chrf"] = chrf.corpus_score(self.guesses, gold).score
            signatures.append(f"chrF2|{chrf.get_signature()}")
        if "ter" in asked:
            ter = TER(case_sensitive=not self.lowercase)
            values["ter"] = ter.corpus_score(self.guesses, gold).score
            signatures.append(f"TER|{ter.get_signature()}")
        if "exact" in asked:
            values["exact"] = sum(a == b for a, b in self._compared()) / self.count
        if "cer" in asked:
            errors = sum(text_distance(a, b) for a, b in self._compared())
            values["cer"] = errors / max(1, sum(len(b) for _, b in self._compared()))
        self.signature = " ".join(signatures)
        values = {name: values[name] for name in self.metrics}
        if "bleu" not in asked:
            return values
        # Tokens are blanks' words or parts of them, so one long text settles it without sacreBLEU.
        short = all(len(text.split()) < ORDER for text in self.references)
        if short and not BLEU().corpus_score(self.references, [self.references]).score:
            self.unmeasurable = {"bleu": f"no reference has the {ORDER} tokens that BLEU counts"}
        return values

    def _compared(self) -> list[tuple[str, str]]:
        """Return guesses and references as "exact" and "cer" compare them."""
        pairs = zip(self.guesses, self.references, strict=True)
        if self.lowercase:
            return [(a.strip().lower(), b.strip().lower()) for a, b in pairs]
        return [(a.strip(), b.strip()) for a, b in pairs]

    def items(self, metric: str) -> ItemScores | None:
        if metric == "exact":
            hits = [(int(a == b), 1) for a, b in self._compared()]
            return ItemScores("sentence", "ratio", hits)
        if metric == "cer":
            errors = [(text_distance(a, b), len(b)) for a, b in self._compared()]
            return ItemScores("sentence", "ratio", errors)
        if metric != "bleu":
            return None
        from sacrebleu.metrics import BLEU

        bleu = BLEU(lowercase=self.lowercase, effective_order=True)  # only its counts are read
        sentences = [
            bleu.sentence_score(guess, [reference])
            for guess, reference in zip(self.guesses, self.references, strict=True)
        ]
        return ItemScores(
            "sentence", "bleu", [[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in sentences]
        )


def text_distance(one: str, other: str) -> int:
    """Return the fewest inserted, deleted and replaced characters between two texts.

    A column of the table of distances is held as two numbers of a bit for each character, so that
    long texts take a step a character.

    Source: Myers (1999), J. ACM 46(3), in the form of Hyyrö (2003).
    """
    if not one or not other:
        return len(one) + len(other)
    places: dict[str, int] = {}
    for i, character in enumerate(one):
        places[character] = places.get(character, 0) | 1 << i
    whole, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, distance = whole, 0, len(one)
    for character in other:
        match = places.get(character, 0)
        zero = (((match & up) + up) ^ up) | match | down
        rise, fall = down | ~(zero | up) & whole, up & zero
        distance += bool(rise & last) - bool(fall & last)
        rise, fall = (rise << 1 | 1) & whole, fall << 1 & whole
        up, down = fall | ~(zero | rise) & whole, rise & zero
    return distance


def _unpadded_rows(tokens: Tensor, len_B: Tensor | None) -> list[list[int]]:
    """Return the tokens of each row without its padding."""
    if len_B is None:
        return tokens.tolist()
    return [row[:n] for row, n in zip(tokens.tolist(), len_B.tolist(), strict=True)]
