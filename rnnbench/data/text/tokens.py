"""Text as tokens: characters, subwords, ragged sequences in one array. No torch here."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import sentencepiece

from rnnbench.errors import DataError

__all__ = ["Characters", "Subwords", "ragged"]


class Characters:
    """A vocabulary of characters, with token 0 for every character outside it.

    Args:
        symbols: the characters of tokens 1, 2, …
    """

    UNKNOWN = 0

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self._token = {c: i for i, c in enumerate(self.symbols, start=1)}

    @classmethod
    def of(cls, text: str) -> Characters:
        """Take the characters of a (training) text, in order of their code points."""
        return cls(sorted(set(text)))

    def __len__(self) -> int:
        """Return V, with the unknown symbol."""
        return len(self.symbols) + 1

    def encode(self, text: str) -> np.ndarray:
        """Return (N,) tokens, uint8 or uint16."""
        dtype = np.uint8 if len(self) <= 256 else np.uint16
        return np.fromiter((self._token.get(c, 0) for c in text), dtype, len(text))

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of some tokens, with U+FFFD for the unknown symbol."""
        return "".join(self.symbols[t - 1] if t else "\ufffd" for t in tokens)


def _why_not(message: str) -> str:
    """Say in words, and with a number to write, why sentencepiece learnt no vocabulary.

    Args:
        message: its own: place in its source, the condition that failed, then perhaps a sentence.
    """
    if most := re.search(r"too high.*<= (\d+)", message):
        return (
            f"the text has pieces for {most[1]} at most.\n  Set task.vocabulary={most[1]} or less, "
            "or give more text."
        )
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return (
            f"its characters alone, with the bytes, take {least[1]}.\n"
            f"  Set task.vocabulary={least[1]} or more."
        )
    if "sentences_.empty()" in message:
        return (
            "there is no line in it that can be read: it is empty, or its lines are longer than "
            "4,192 bytes.\n  Give text in shorter lines."
        )
    sentence = re.sub(r"^[^\[]*\[.*\]\s*", "", message.strip())
    return sentence or "it does not say why"


class Subwords:
    """A sentencepiece vocabulary. Tokens 0 to 3 are padding, unknown, start and stop.

    A character that training never saw is spelt in UTF-8 bytes, so every text survives
    `decode(encode(text))`, apart from repeated and outer white space, which is folded.

    Source: Kudo & Richardson (2018), arXiv:1808.06226; "unigram" is Kudo (2018),
    arXiv:1804.10959, "bpe" is Sennrich, Haddow & Birch (2016), arXiv:1508.07909.
    """

    PAD, UNKNOWN, START, STOP = range(4)
    SMALLEST = 4 + 256

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    @classmethod
    def train(
        cls, lines: Iterable[str], size: int, algorithm: Literal["bpe", "unigram"]
    ) -> Subwords:
        """Learn a vocabulary of exactly `size` tokens from some lines, the same every time.

        Raises:
            DataError: the lines cannot give a vocabulary of this size.
        """
        out = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=out,
                vocab_size=size,
                model_type=algorithm,
                character_coverage=1.0,
                byte_fallback=True,
                normalization_rule_name="identity",
                pad_id=cls.PAD,
                unk_id=cls.UNKNOWN,
                bos_id=cls.START,
                eos_id=cls.STOP,
                input_sentence_size=0,
                shuffle_input_sentence=False,
                num_threads=1,  # with more, the result may depend on timing
                minloglevel=3,
            )
        except RuntimeError as e:
            raise DataError(
                f"sentencepiece makes no {algorithm} vocabulary of {size} tokens from this text: "
                f"{_why_not(str(e))}"
            ) from e
        return cls(out.getvalue())

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        return list(self._processor.encode(text))

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of some tokens; padding, start and stop are passed over."""
        return str(self._processor.decode([int(t) for t in tokens if t not in self._silent]))

    @property
    def words(self) -> tuple[str, ...]:
        """Return each token without "▁", the mark of a word's beginning.

        "" for what is no word: padding, unknown, start, stop, bytes, and the mark alone.
        """
        p = self._processor
        return tuple(
            "" if p.is_control(t) or p.is_unknown(t) or p.is_byte(t)
            else p.id_to_piece(t).replace("\u2581", "")
            for t in range(len(self))
        )  # fmt: skip

    @property
    def _silent(self) -> tuple[int, ...]:
        return (self.PAD, self.START, self.STOP)


def ragged(
    sequences: Iterable[Sequence[int]], dtype: type = np.uint16
) -> tuple[np.ndarray, np.ndarray]:
    """Join sequences of any lengths as (flat, offsets).

    Sequence i is `flat[offsets[i] : offsets[i + 1]]`.
    """
    sequences = list(sequences)
    offsets = np.zeros(len(sequences) + 1, np.int64)
    np.cumsum([len(s) for s in sequences], out=offsets[1:])
    flat: np.ndarray = np.fromiter((t for s in sequences for t in s), dtype, int(offsets[-1]))
    return flat, offsets
