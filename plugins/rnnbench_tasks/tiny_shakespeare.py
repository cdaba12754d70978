"""Tiny Shakespeare, by characters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnbench.contract import Metric, Source, setting
from rnnbench.data.tasks.language import LanguageModel
from rnnbench.data.text.files import TokenRecipe

_SHAKESPEARE = Source(
    name="tiny-shakespeare",
    origin=(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
    ),
    files={"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
    size=1_115_394,
    licence="public domain",
    citation="Karpathy (2015), The unreasonable effectiveness of recurrent neural networks",
)


@dataclass(frozen=True)
class TinyShakespeare(LanguageModel):
    """Predict the next character of 40,000 lines of Shakespeare.

    1,115,394 characters, 65 distinct, in one file: the first 90% train, the next 5% validate, the
    last 5% test. The cuts go through a play, so a test text is of a kind that training has seen;
    `char-lm` splits by whole plays.
    State is carried. Validation and test are read in 10 rows, each of which begins without
    context.

    Baselines: uniform, and add-one unigram and bigram counts of the training part.

    Source: Karpathy, Johnson & Fei-Fei (2015), arXiv:1506.02078, for character models of
    Shakespeare; the file is that of Karpathy's char-rnn.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("bits_per_char", "bits", help="nats per character / ln 2, over the whole split"),
        Metric("perplexity", "", help="exp of nats per character, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 50,
        "optimizer.lr": 2e-3,
        "budget.epochs": 10,
        "budget.validate_every": 402,
    }

    length: int = setting(50, "steps that gradients flow back through", unit="steps", low=1)
    test_rows: int = setting(
        10, "rows in which test is read; each begins without context", unit="rows", low=1
    )

    def sources(self) -> tuple[Source, ...]:
        return (_SHAKESPEARE,)

    def recipe(self) -> TokenRecipe:
        return TokenRecipe(("input.txt",), "character", shares=(0.05, 0.05))
