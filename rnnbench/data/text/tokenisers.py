"""Words and characters of one side of a corpus as tokens, beside `Subwords`. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

from rnnbench.data.text.tokens import Subwords
from rnnbench.errors import DataError

__all__ = ["Symbols", "TextTokens", "Tokeniser", "learn", "moses", "read"]

TextTokens = Literal["bpe", "unigram", "moses", "words", "characters"]
FIRST = 4  # tokens 0 to 3 are padding, unknown, start and stop, as in `Subwords`
UNKNOWN = "\u2047"  # how an unknown word is shown, as sentencepiece does


class Tokeniser(Protocol):
    """Text to tokens and back. Tokens 0 to 3 are padding, unknown, start and stop."""

    def __len__(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Iterable[int]) -> str: ...

    @property
    def words(self) -> tuple[str, ...]: ...


class Symbols:
    """A closed vocabulary of symbols, and how a text is split into them and joined again.

    Args:
        symbols: of tokens 4, 5, …
        split: text to symbols.
        join: symbols to text; an unknown one is "⁇".
    """

    def __init__(
        self,
        symbols: Sequence[str],
        split: Callable[[str], Sequence[str]],
        join: Callable[[list[str]], str],
    ) -> None:
        self.symbols, self.split, self.join = tuple(symbols), split, join
        self._token = {symbol: i for i, symbol in enumerate(self.symbols, start=FIRST)}

    def __len__(self) -> int:
        return FIRST + len(self.symbols)

    def encode(self, text: str) -> list[int]:
        return [self._token.get(symbol, Subwords.UNKNOWN) for symbol in self.split(text)]

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of some tokens; padding, start and stop are passed over."""
        kept = (int(t) for t in tokens if t >= FIRST or t == Subwords.UNKNOWN)
        return self.join([self.symbols[t - FIRST] if t >= FIRST else UNKNOWN for t in kept])

    @property
    def words(self) -> tuple[str, ...]:
        """Return the symbols; "" for padding, unknown, start and stop."""
        return ("",) * FIRST + self.symbols


def commonest(
    symbols: Iterable[Sequence[str]], size: int | None = None, min_count: int = 1
) -> list[str]:
    """Return the commonest symbols of some texts, equally common ones in alphabetical order.

    Args:
        size: how many at most; None for no limit.
        min_count: those that occur less often are left out.
    """
    counts = Counter(s for text in symbols for s in text)
    ranked = sorted((-n, s) for s, n in counts.items() if n >= min_count)
    return [symbol for _, symbol in ranked[:size]]


def moses(language: str) -> tuple[Callable[[str], list[str]], Callable[[list[str]], str]]:
    """Return the Moses tokeniser of a language and its inverse, as sacremoses rewrites them.

    Raises:
        DataError: it has no list of this language's abbreviations, without which sacremoses would
            go by those of English.
    Source: Koehn et al. (2007), Moses: open source toolkit for statistical machine translation.
    """
    from sacremoses import MosesDetokenizer, MosesTokenizer  # 0.2 s, and few tasks need it
    from sacremoses.corpus import NonbreakingPrefixes

    languages = sorted(set(NonbreakingPrefixes().available_langs.values()))
    if language not in languages:
        raise DataError(
            f"Moses has no rules for the language {language!r}; it has them for "
            f"{', '.join(languages)}.\n  Choose one of these, or other tokens than moses."
        )
    there, back = MosesTokenizer(lang=language), MosesDetokenizer(lang=language)
    return (lambda text: there.tokenize(text, escape=False)), back.detokenize


def learn(
    tokens: TextTokens,
    sides: Sequence[Sequence[str]],
    languages: Sequence[str],
    size: int,
    min_count: int,
) -> list[Any]:
    """Learn what `read` makes each side's tokeniser from: bytes of a subword model, or symbols.

    Args:
        sides: training texts of each side. Subwords and characters are learnt on all sides
            together, words on each.
        size: classes, the four special ones included: exactly so many subwords, at most so many
            words. Characters are all taken.
        min_count: words that occur less often are unknown.
    Raises:
        DataError: the texts cannot give a subword vocabulary of this size.
    """
    if tokens in ("bpe", "unigram"):
        together = [text for texts in zip(*sides, strict=True) for text in texts]
        return [Subwords.train(together, size, tokens).model] * len(sides)
    if tokens == "characters":
        return [sorted({c for texts in sides for text in texts for c in text})] * len(sides)
    vocabularies = []
    for texts, language in zip(sides, languages, strict=True):
        split = moses(language)[0] if tokens == "moses" else str.split
        vocabularies.append(commonest(map(split, texts), size - FIRST, min_count))
    return vocabularies


def read(tokens: TextTokens, learnt: Any, language: str) -> Tokeniser:
    """Make the tokeniser of a side from what `learn` returned."""
    if tokens in ("bpe", "unigram"):
        return Subwords(learnt)
    if tokens == "characters":
        return Symbols(learnt, list, "".join)
    if tokens == "words":
        return Symbols(learnt, str.split, " ".join)
    return Symbols(learnt, *moses(language))
