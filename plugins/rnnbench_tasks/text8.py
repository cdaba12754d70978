"""text8: cleaned Wikipedia, by characters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnbench.contract import Metric, Source, setting
from rnnbench.data.tasks.language import LanguageModel
from rnnbench.data.text.files import TokenRecipe

_TEXT8 = Source(
    name="text8",
    origin="https://mattmahoney.net/dc/text8.zip",
    files={"text8": "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7"},
    sha256="a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
    size=31_344_016,
    licence="CC BY-SA 3.0 and GFDL (Wikipedia)",
    citation="Mahoney (2011), Large text compression benchmark: about the test data",
)


@dataclass(frozen=True)
class Text8(LanguageModel):
    """Predict the next character of Wikipedia, cleaned to 26 letters and the blank.

    100,000,000 characters, 27 distinct: 90 million train, 5 million validate, 5 million test.
    State is carried. Validation and test are read in 64 rows, each of which begins without
    context: of 64 characters among 5 million no figure shows a trace.

    Baselines: uniform, and add-one unigram and bigram counts of the training part.

    Source: Mahoney (2011), Large text compression benchmark; the split: Mikolov et al. (2012),
    Subword language modeling with neural networks.
    """

    name: ClassVar[str] = "text8"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("bits_per_char", "bits", help="nats per character / ln 2, over the whole split"),
        Metric("perplexity", "", help="exp of nats per character, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 128,
        "optimizer.lr": 1e-3,
        "budget.steps": 20000,
        "budget.validate_every": 2000,
    }

    length: int = setting(180, "steps that gradients flow back through", unit="steps", low=1)
    eval_batch: int = setting(  # type: ignore[misc]
        64, "rows in which validation is read; each begins without context", unit="rows", low=1
    )
    test_rows: int = setting(
        64, "rows in which test is read; each begins without context", unit="rows", low=1
    )

    def sources(self) -> tuple[Source, ...]:
        return (_TEXT8,)

    def recipe(self) -> TokenRecipe:
        return TokenRecipe(("text8",), "character", shares=(0.05, 0.05))
