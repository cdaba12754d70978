"""The Penn Treebank, by words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnbench.contract import Metric, Source
from rnnbench.data.tasks.language import LanguageModel
from rnnbench.data.text.files import TokenRecipe
from rnnbench_tasks._treebank import FILES, TREEBANK


@dataclass(frozen=True)
class PTB(LanguageModel):
    """Predict the next word of the Wall Street Journal.

    Mikolov's preparation: lower case, numbers as N, the 10,000 commonest words, <unk> for the
    others. 929,589 / 73,760 / 82,430 tokens with one end-of-sentence symbol a line.
    The test split is read in one row with carried state, as Zaremba et al. do, and validation in
    10 rows, each of which begins without context: the nine words that this costs of 73,760 are
    below what perplexities are rounded to. Chunks of `length` change no figure of a causal model.

    Baselines: uniform (perplexity 10,000), add-one unigram and bigram counts of the training
    part, and interpolated Kneser-Ney 5-grams, of which Mikolov et al. report 141.2.

    Source: Marcus, Santorini & Marcinkiewicz (1993), Computational Linguistics 19(2); the
    preparation: Mikolov et al. (2010), Interspeech; the evaluation: Zaremba, Sutskever & Vinyals
    (2014), arXiv:1409.2329.
    """

    name: ClassVar[str] = "ptb"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("perplexity", "", help="exp of nats per token, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 20,
        "optimizer.lr": 2e-3,
        "budget.epochs": 10,
        "budget.validate_every": 1328,
    }

    def sources(self) -> tuple[Source, ...]:
        return (TREEBANK,)

    def recipe(self) -> TokenRecipe:
        return TokenRecipe(FILES, "word")
