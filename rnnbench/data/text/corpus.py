"""A corpus as token arrays: vocabularies, and a split's tokens as they are read. No torch here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.data.prepared import Streamed
from rnnbench.data.text.files import END, SPLITS, Text, TokenRecipe, Unit, cut
from rnnbench.data.text.tokens import Subwords
from rnnbench.errors import DataError

__all__ = ["UNKNOWN", "Vocabulary", "make_corpus"]

UNKNOWN = "<unk>"
UNKNOWN_CHARACTER = "\ufffd"
LEARNT_ON = 20_000_000  # characters of the training text that subwords are learnt on, at most


class Vocabulary:
    """The symbols of a corpus, whose tokens are their places.

    Args:
        symbols: words, or characters (bytes: as latin-1 has them).
        unknown: token of what is outside it; None where nothing is.
    """

    def __init__(self, unit: Unit, symbols: Sequence[str], unknown: int | None) -> None:
        self.unit, self.symbols, self.unknown = unit, tuple(symbols), unknown

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def dtype(self) -> type[np.integer]:
        """Return the smallest integers that hold its tokens."""
        n = len(self)
        return np.uint8 if n <= 2**8 else np.uint16 if n <= 2**16 else np.int32

    @cached_property
    def _token(self) -> dict[str, int]:
        return {s: i for i, s in enumerate(self.symbols)}

    @cached_property
    def _by_code(self) -> np.ndarray:
        """Return the token of each code point; -1 outside."""
        table = np.full(0x110000, -1 if self.unknown is None else self.unknown, np.int32)
        table[[ord(s) for s in self.symbols]] = np.arange(len(self))
        return table

    def encode(self, text: str) -> np.ndarray:
        """Return tokens of a text; of words each line feed is an END.

        Raises:
            ValueError: a symbol is outside it, and there is none for the unknown.
        """
        if self.unit == "word":
            words = text.replace("\n", f" {END} ").split()
            outside = -1 if self.unknown is None else self.unknown
            tokens = np.fromiter((self._token.get(w, outside) for w in words), np.int32, len(words))
            first = lambda i: words[i]  # noqa: E731
        else:
            tokens = self._by_code[_codes(text)]
            first = lambda i: text[i]  # noqa: E731
        if self.unknown is None and len(tokens) and tokens.min() < 0:
            raise ValueError(f"{first(int(np.argmin(tokens)))!r} is not in the vocabulary")
        return tokens.astype(self.dtype)

    def decode(self, tokens: Sequence[int]) -> str:
        if self.unit == "word":
            text = " ".join(self.symbols[t] for t in tokens)
            return re.sub(f" ?{END} ?", "\n", text)
        text = "".join(self.symbols[t] for t in tokens)
        return text.encode("latin-1").decode("utf-8", "replace") if self.unit == "byte" else text


def make_corpus(recipe: TokenRecipe, *folders: Path) -> dict[str, Any]:
    """Make the tokens of each split, the vocabulary, and how many characters each split has.

    Args:
        folders: that of each of the recipe's files, or one for all.
    Returns:
        "train", "valid", "test": (N,) integers, written as they are read; "characters": by split;
        "symbols" and "unknown", or of subwords "model", the bytes of sentencepiece.
    Raises:
        DataError: a file is empty, too short to be cut, not in this encoding, or holds what it
            may not: the file, the line and the reason.
    """
    folders = folders * len(recipe.files) if len(folders) == 1 else folders
    whole = []
    for folder, names in zip(folders, recipe.files, strict=True):
        first, *rest = (folder / name for name in ([names] if isinstance(names, str) else names))
        whole.append(Text(first, recipe, further=tuple(rest)))
    texts = whole if len(whole) > 1 else cut(whole[0])
    by_split = dict(zip(SPLITS, texts, strict=True))
    characters = {split: sum(map(len, text.blocks())) for split, text in by_split.items()}
    for split, text in by_split.items():
        if not characters[split]:
            raise DataError(f"{text.path} is empty: there is no {split} text in it")
    if recipe.unit == "subword":
        model = _learn(by_split["train"], recipe)
        tokens = {s: _subword_tokens(t, Subwords(model)) for s, t in by_split.items()}
        extra: dict[str, Any] = {"model": np.frombuffer(model, np.uint8)}
    else:
        vocabulary = _vocabulary(by_split["train"], recipe)
        tokens = {s: _tokens(t, vocabulary) for s, t in by_split.items()}
        extra = {"symbols": list(vocabulary.symbols), "unknown": vocabulary.unknown}
    return {"characters": characters, **extra, **tokens}


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _vocabulary(text: Text, recipe: TokenRecipe) -> Vocabulary:
    """Choose the symbols: words, the commonest first, or characters, by their code points."""
    if recipe.unit == "byte":
        return Vocabulary("byte", [chr(i) for i in range(256)], None)
    counts: Counter[str] = Counter()
    for block in text.blocks():
        counts.update(block.replace("\n", f" {END} ").split() if recipe.unit == "word" else block)
    outside = UNKNOWN if recipe.unit == "word" else UNKNOWN_CHARACTER
    chosen = sorted(counts, key=lambda s: (-counts[s], s))
    if recipe.unknown:
        chosen = [s for s in chosen if counts[s] >= recipe.min_count or s in (END, "\n")]
        chosen = [s for s in chosen if s != outside]
        chosen = [outside, *chosen[: recipe.size - 1 if recipe.size else None]]
    if recipe.unit == "character":
        chosen.sort()
    return Vocabulary(recipe.unit, chosen, chosen.index(outside) if recipe.unknown else None)


def _tokens(text: Text, vocabulary: Vocabulary) -> Streamed:
    def chunks() -> Iterator[np.ndarray]:
        for block in text.blocks():
            try:
                yield vocabulary.encode(block)
            except ValueError as error:
                raise DataError(f"{text.path}: {error}") from error

    return Streamed(vocabulary.dtype, chunks)


def _learn(text: Text, recipe: TokenRecipe) -> bytes:
    def lines() -> Iterator[str]:
        length = 0
        for block in text.blocks():
            for line in block.split("\n"):
                yield from _split_long(line)
            length += len(block)
            if length >= LEARNT_ON:
                return

    return Subwords.train(lines(), recipe.size, recipe.algorithm).model


def _split_long(line: str) -> Iterator[str]:
    """Yield a line in pieces that sentencepiece takes: it passes over lines above 4,192 bytes."""
    words = line.split()
    while words:
        piece, words = words[:100], words[100:]
        text = " ".join(piece)
        yield from (text[i : i + 1000] for i in range(0, len(text), 1000))


def _subword_tokens(text: Text, subwords: Subwords) -> Streamed:
    def chunks() -> Iterator[np.ndarray]:
        for block in text.blocks():
            for line in block[:-1].split("\n"):
                yield np.array([*subwords.encode(line), Subwords.STOP], dtype)

    dtype = np.uint16 if len(subwords) <= 2**16 else np.int32
    return Streamed(dtype, chunks)
