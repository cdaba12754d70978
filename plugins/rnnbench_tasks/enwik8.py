"""enwik8: Wikipedia's XML, by bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnbench.contract import Metric, Source, setting
from rnnbench.data.tasks.language import LanguageModel
from rnnbench.data.text.files import TokenRecipe

_ENWIK8 = Source(
    name="enwik8",
    origin="https://mattmahoney.net/dc/enwik8.zip",
    files={"enwik8": "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8"},
    sha256="547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
    size=36_445_475,
    licence="CC BY-SA 3.0 and GFDL (Wikipedia)",
    citation="Hutter (2006), The human knowledge compression contest; Mahoney (2011)",
)


@dataclass(frozen=True)
class Enwik8(LanguageModel):
    """Predict the next byte of Wikipedia, markup and all languages included.

    100,000,000 bytes: 90 million train, 5 million validate, 5 million test. There are 256
    classes, of which 205 occur. What is reported as bits per character is bits per byte, as
    everywhere in the field.
    State is carried. Validation and test are read in 64 rows, each of which begins without
    context: of 64 bytes among 5 million no figure shows a trace.

    Baselines: uniform (8 bits), and add-one unigram and bigram counts of the training part.

    Source: Hutter (2006), prize.hutter1.net; the split: Chung, Gulcehre, Cho & Bengio (2015),
    arXiv:1502.02367.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("bits_per_char", "bits", help="nats per byte / ln 2, over the whole split"),
        Metric("perplexity", "", help="exp of nats per byte, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 128,
        "optimizer.lr": 1e-3,
        "budget.steps": 20000,
        "budget.validate_every": 2000,
    }

    length: int = setting(200, "steps that gradients flow back through", unit="steps", low=1)
    eval_batch: int = setting(  # type: ignore[misc]
        64, "rows in which validation is read; each begins without context", unit="rows", low=1
    )
    test_rows: int = setting(
        64, "rows in which test is read; each begins without context", unit="rows", low=1
    )

    def sources(self) -> tuple[Source, ...]:
        return (_ENWIK8,)

    def recipe(self) -> TokenRecipe:
        return TokenRecipe(("enwik8",), "byte", shares=(0.05, 0.05))
