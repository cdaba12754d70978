"""The Penn Treebank, by characters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnbench.contract import Metric, Source, setting
from rnnbench.data.tasks.language import LanguageModel
from rnnbench.data.text.files import TokenRecipe
from rnnbench_tasks._treebank import FILES, TREEBANK


@dataclass(frozen=True)
class PTBChar(LanguageModel):
    """Predict the next character of the Wall Street Journal.

    The files of `ptb`, spelt out, "<unk>" too; blanks at the edges of a line are dropped, and
    each line ends with one symbol: 5,017,482 / 393,042 / 442,423 characters. Papers that keep
    the blanks, or leave line ends out, count others, and their figures differ in the third digit.
    State is carried. Validation and test are read in 10 rows, each of which begins without
    context: of 10 characters among hundreds of thousands no figure shows a trace.

    Baselines: uniform, and add-one unigram and bigram counts of the training part.

    Source: Mikolov et al. (2012), Subword language modeling with neural networks, for the
    characters of this corpus; its text: Marcus, Santorini & Marcinkiewicz (1993),
    Computational Linguistics 19(2).
    """

    name: ClassVar[str] = "ptb-char"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("bits_per_char", "bits", help="nats per character / ln 2, over the whole split"),
        Metric("perplexity", "", help="exp of nats per character, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 2e-3,
        "budget.epochs": 5,
        "budget.validate_every": 1568,
    }

    length: int = setting(100, "steps that gradients flow back through", unit="steps", low=1)
    test_rows: int = setting(
        10, "rows in which test is read; each begins without context", unit="rows", low=1
    )

    def sources(self) -> tuple[Source, ...]:
        return (TREEBANK,)

    def recipe(self) -> TokenRecipe:
        return TokenRecipe(FILES, "character", strip=True)
