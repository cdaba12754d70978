"""Meters for tasks: each sums over the whole split and divides once, at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rnnbench.contract import Batch, ItemScores, Meter, Prediction

__all__ = ["Accuracy", "ForecastErrors", "LanguageModelling", "MeanSquaredError", "Translation"]


class _Sums(Meter):
    """Sums and a count, in double precision on the CPU."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self) -> int:
        """How many targets were seen.

        Raises:
            RuntimeError: none, so there is nothing to report.
        """
        if not self.count:
            raise RuntimeError(
                f"{type(self).__name__} saw no target: the split was empty or wholly masked"
            )
        return self.count


class LanguageModelling(_Sums):
    """ "perplexity" exp(nats per token) and "bits_per_char" nats per character / ln 2.

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
        self.nats += _sum(prediction.nll, prediction.mask)
        self.count += int(prediction.mask.sum())

    def compute(self) -> dict[str, float]:
        nats = self.nats / self.counted()
        # exp overflows a float beyond 709 nats; so bad a model has no finite perplexity.
        perplexity = math.exp(nats) if nats < 709 else math.inf if nats == nats else math.nan
        bits = nats * self.tokens_per_character / math.log(2)
        values = {"perplexity": perplexity, "bits_per_char": bits}
        return {name: values[name] for name in self.metrics}


class Accuracy(_Sums):
    """ "accuracy": the share of targets whose class has the greatest output."""

    def __init__(self) -> None:
        super().__init__()
        self.right = 0
        self.rows: list[list[int]] = []  # right, and counted

    def update(self, batch: Batch, prediction: Prediction) -> None:
        right = (prediction.out.argmax(-1) == batch.y) & prediction.mask
        of_rows = [v.reshape(len(v), -1).sum(1) for v in (right, prediction.mask)]
        self.rows += torch.stack(of_rows, 1).tolist()
        self.right += int(of_rows[0].sum())
        self.count += int(of_rows[1].sum())

    def compute(self) -> dict[str, float]:
        return {"accuracy": self.right / self.counted()}

    def items(self, metric: str) -> ItemScores | None:
        return ItemScores("row", "ratio", self.rows) if metric == "accuracy" else None


class MeanSquaredError(_Sums):
    """ "mse": the mean squared error of the outputs as they were trained (nothing is decoded)."""

    def __init__(self) -> None:
        super().__init__()
        self.squares = 0.0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        self.squares += _sum(prediction.nll, prediction.mask)
        self.count += int(prediction.mask.sum())

    def compute(self) -> dict[str, float]:
        return {"mse": self.squares / self.counted()}


class ForecastErrors(_Sums):
    """ "mse", "mae" and "mase" of forecasts made without seeing the target.

    Missing (NaN) targets are left out, and every other target weighs the same.

    Args:
        scale: the in-sample error of the naive forecast, in the targets' unit: mase = mae / scale.
    Source: Hyndman & Koehler (2006), Int. J. Forecasting 22, 679-688, section 3.
    """

    decodes = True

    def __init__(self, scale: float) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"the scale of MASE must be positive, got {scale}")
        self.scale, self.squares, self.absolutes = scale, 0.0, 0.0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        forecast = _decoded(self, prediction)
        if forecast.shape != batch.y.shape:
            raise ValueError(f"forecast {tuple(forecast.shape)} for y {tuple(batch.y.shape)}")
        mask = prediction.mask & ~batch.y.isnan()
        error = forecast - batch.y
        self.squares += _sum(error.square(), mask)
        self.absolutes += _sum(error.abs(), mask)
        self.count += int(mask.sum())

    def compute(self) -> dict[str, float]:
        mae = self.absolutes / self.counted()
        return {"mse": self.squares / self.count, "mae": mae, "mase": mae / self.scale}


class Translation(_Sums):
    """ "bleu" (sacreBLEU, 0 to 100), "chrf" (chrF2, 0 to 100), "length_ratio" of a whole split.

    "length_ratio" is the smaller of the translations' and the references' total length over the
    larger, in sacreBLEU's tokens: 1 where they are as long, lower where translations are too
    short or too long.

    Args:
        detokenise: the text of a list of tokens.
        stop: token that ends a sentence; it and what follows are cut off.
        references: the reference of a pair of (source, target) tokens, where it is more than
            `detokenise` can tell of the target's tokens: a word may be outside the vocabulary.
        lowercase: compare without regard to case; the signature says so.
    Attributes:
        signature: sacreBLEU's own description of both figures; "" before `compute`.
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
    ) -> None:
        super().__init__()
        self.detokenise, self.stop, self.signature = detokenise, stop, ""
        self.reference = references or (lambda x, y: self.text(y))
        self.lowercase = lowercase
        self.guesses: list[str] = []
        self.references: list[str] = []

    def update(self, batch: Batch, prediction: Prediction) -> None:
        decoded = _decoded(self, prediction)
        pairs = zip(_rows(batch.x, batch.x_len), _rows(batch.y, batch.y_len), strict=True)
        for guess, (x, y) in zip(decoded.tolist(), pairs, strict=True):
            self.add(self.text(guess), self.reference(x, y))

    def add(self, guess: str, reference: str) -> None:
        """Count one pair of texts."""
        self.guesses.append(guess)
        self.references.append(reference)
        self.count += 1

    def text(self, tokens: list[int]) -> str:
        """The text of some tokens, up to the first stop token."""
        if self.stop in tokens:
            tokens = tokens[: tokens.index(self.stop)]
        return self.detokenise(tokens)

    def compute(self) -> dict[str, float]:
        from sacrebleu.metrics import BLEU, CHRF  # 0.1 s, and only translation needs it

        self.counted()
        bleu, chrf = BLEU(lowercase=self.lowercase), CHRF(lowercase=self.lowercase)
        found = bleu.corpus_score(self.guesses, [self.references])
        shorter, longer = sorted((found.sys_len, found.ref_len))
        values = {
            "bleu": found.score,
            "chrf": chrf.corpus_score(self.guesses, [self.references]).score,
            "length_ratio": shorter / longer if longer else 1.0,
        }
        self.signature = f"BLEU|{bleu.get_signature()} chrF2|{chrf.get_signature()}"
        return values

    def items(self, metric: str) -> ItemScores | None:
        if metric != "bleu":
            return None
        from sacrebleu.metrics import BLEU

        bleu = BLEU(lowercase=self.lowercase, effective_order=True)  # of which counts are read only
        found = [
            bleu.sentence_score(guess, [reference])
            for guess, reference in zip(self.guesses, self.references, strict=True)
        ]
        return ItemScores(
            "sentence", "bleu", [[f.sys_len, f.ref_len, *f.counts, *f.totals] for f in found]
        )


def _rows(tokens: Tensor, len_B: Tensor | None) -> list[list[int]]:
    """The tokens of each row without its padding."""
    if len_B is None:
        return tokens.tolist()
    return [row[:n] for row, n in zip(tokens.tolist(), len_B.tolist(), strict=True)]


def _sum(values: Tensor, mask: Tensor) -> float:
    """Sum of the unmasked values. On the CPU, since not every accelerator has doubles."""
    values, mask = values.detach().cpu(), mask.cpu()
    return float(torch.where(mask, values, torch.zeros_like(values)).double().sum())


def _decoded(meter: Meter, prediction: Prediction) -> Tensor:
    if prediction.decoded is None:
        raise ValueError(f"{type(meter).__name__} needs decoded output, and got none")
    return prediction.decoded
