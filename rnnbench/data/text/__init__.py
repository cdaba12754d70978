"""Text: tokens, corpora, tokenisers, n-grams, word vectors."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
