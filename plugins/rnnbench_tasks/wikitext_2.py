"""WikiText-2, by words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnbench.contract import Metric, Source
from rnnbench.data.tasks.language import LanguageModel
from rnnbench.data.text.files import TokenRecipe

_FILES = ("train.txt", "valid.txt", "test.txt")
_WIKITEXT = Source(
    name="wikitext-2",
    origin=(
        "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/"
        "wikitext-2/"
    ),
    files={
        "train.txt": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
        "valid.txt": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "test.txt": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    },
    size=13_175_278,
    licence="CC BY-SA 3.0",
    citation="Merity, Xiong, Bradbury & Socher (2016), Pointer sentinel mixture models",
)


@dataclass(frozen=True)
class WikiText2(LanguageModel):
    """Predict the next word of Wikipedia's best articles.

    Words as they are in the files, which have <unk> for words seen fewer than three times:
    2,088,628 / 217,646 / 245,569 tokens with one end-of-sentence symbol a line, for empty lines
    too, and a vocabulary of 33,278.
    The test split is read in one row with carried state; validation in 10 rows, each of which
    begins without context.

    Baselines: uniform, add-one unigram and bigram counts of the training part, and interpolated
    Kneser-Ney 5-grams.

    Source: Merity, Xiong, Bradbury & Socher (2016), arXiv:1609.07843, section 4.3.
    """

    name: ClassVar[str] = "wikitext-2"
    declares: ClassVar[Mapping[str, str]] = {
        "vocabulary_is_of_training": "the published vocabulary has the words of all splits that "
        "stand three times in them"
    }
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("perplexity", "", help="exp of nats per token, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 20,
        "optimizer.lr": 2e-3,
        "budget.epochs": 10,
        "budget.validate_every": 2984,
    }

    def sources(self) -> tuple[Source, ...]:
        return (_WIKITEXT,)

    def recipe(self) -> TokenRecipe:
        return TokenRecipe(_FILES, "word")
