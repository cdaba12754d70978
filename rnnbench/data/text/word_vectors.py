"""Word vectors: read from files of which only wanted words are kept, or learnt from text.

Files are read once, line by line or block by block, so memory goes with the wanted words and not
with the file: gensim's reader holds all of it, and stops at words that contain blanks, of which
glove.840B has some. No torch here.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np

from rnnbench.errors import DataError

__all__ = ["Format", "learn_vectors", "read_vectors", "sha256_of"]

Format = Literal["word2vec-text", "word2vec-binary", "glove"]

_BLOCK = 1 << 20  # bytes read at a time


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as it lies on the disk, packed or not.

    Raises:
        DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def read_vectors(
    path: Path, format: Format, words: Collection[str]
) -> tuple[int, dict[str, np.ndarray]]:
    """Return the width D of a file's vectors, and float32 vectors (D,) of those words that it has.

    Of a word that occurs twice the first vector counts. A file whose name ends in ".gz" is
    unpacked as it is read.

    Args:
        format: "word2vec-text" (a line "COUNT WIDTH", then a line a word), "glove" (the same
            without the first line), or "word2vec-binary" (that line, then each word, a blank,
            and WIDTH little-endian float32).
        words: those wanted, spelt as in the file, which is UTF-8.

    Raises:
        DataError: there is no such file, or it is not of this format.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    word_by_bytes = {word.encode(): word for word in words}
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as f:
            read = _binary if format == "word2vec-binary" else _text
            width, vectors = read(cast(BinaryIO, f), word_by_bytes, format)
    except (DataError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} cannot be read as {format}: {error}") from error
    for word, vector in vectors.items():
        if not np.isfinite(vector).all():
            raise DataError(f"{path}: the vector of {word!r} has values that are not finite")
    return width, vectors


def _header(f: BinaryIO) -> tuple[int, int]:
    """Count and width of the first line."""
    line = f.readline(1000)
    fields = line.split()
    if len(fields) != 2 or not all(n.isdigit() for n in fields) or int(fields[1]) < 1:
        raise DataError(
            f"its first line is no 'COUNT WIDTH' but {line[:40]!r}; without one it may be glove"
        )
    return int(fields[0]), int(fields[1])


def _text(
    f: BinaryIO, word_by_bytes: dict[bytes, str], format: Format
) -> tuple[int, dict[str, np.ndarray]]:
    count, width = (None, 0) if format == "glove" else _header(f)
    # A word may contain blanks, so a line is known by its first part and then cut from its end.
    heads = {word.split(b" ", 1)[0] for word in word_by_bytes}
    vectors: dict[str, np.ndarray] = {}
    lines = 0
    for line in f:
        if not line.strip():
            continue
        lines += 1
        if not width:
            width = line.rstrip().count(b" ")
            if width < 2:
                raise DataError(
                    f"its first line holds {width} values: {line[:40]!r}; with a line "
                    "'COUNT WIDTH' it is word2vec-text"
                )
        if line[: line.find(b" ")] not in heads:
            continue
        word, *values = line.rstrip().rsplit(b" ", width)
        if word not in word_by_bytes or word_by_bytes[word] in vectors:
            continue
        try:
            vector = np.array([float(v) for v in values], np.float32)
        except ValueError:
            raise DataError(
                f"the entry of {word_by_bytes[word]!r} holds a value that is no number"
            ) from None
        if len(vector) != width:
            raise DataError(
                f"the entry of {word_by_bytes[word]!r} has {len(vector)} values, not {width}"
            )
        vectors[word_by_bytes[word]] = vector
    if not width:
        raise DataError("it is empty")
    if count is not None and lines != count:
        raise DataError(f"its first line promises {count} words, and {lines} follow")
    return width, vectors


def _binary(
    f: BinaryIO, word_by_bytes: dict[bytes, str], format: Format
) -> tuple[int, dict[str, np.ndarray]]:
    count, width = _header(f)
    vectors: dict[str, np.ndarray] = {}
    for number, (word, raw) in enumerate(_entries(f, count, 4 * width), start=1):
        if not word:
            raise DataError(
                f"word {number} is empty: either this is no binary file, or a word in it begins "
                "with a blank, which this format cannot hold"
            )
        if word in word_by_bytes and word_by_bytes[word] not in vectors:
            vectors[word_by_bytes[word]] = np.frombuffer(raw, "<f4").astype(np.float32)
    return width, vectors


def _entries(f: BinaryIO, count: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield word and raw vector of each entry.

    word2vec ends each entry with a line feed, gensim does not.
    """
    buffer, at = b"", 0
    for number in range(count):
        while (blank := buffer.find(b" ", at)) < 0 or len(buffer) <= blank + size:
            more = f.read(_BLOCK)
            if not more:
                raise DataError(f"its first line promises {count} words, and {number} follow")
            buffer, at = buffer[at:] + more, 0
        end = blank + 1 + size
        yield buffer[at:blank].lstrip(b"\n"), buffer[blank + 1 : end]
        at = end
    if (buffer[at:] + f.read(_BLOCK)).strip(b"\n"):
        raise DataError(f"more follows after the {count} words that its first line promises")


def learn_vectors(
    sentences: Iterable[Sequence[str]],
    width: int,
    *,
    window: int,
    epochs: int,
    algorithm: Literal["cbow", "skip-gram"],
    seed: int,
) -> dict[str, np.ndarray]:
    """Learn float32 vectors (width,) of all words of a text by word2vec, the same every time.

    Five negative samples, no least count, and gensim's defaults otherwise: learning rate 0.025
    falling to 0.0001, words of a share above 0.001 subsampled.

    Args:
        sentences: lists of words, which can be iterated over again: `epochs` + 1 times.
        window: greatest distance between a word and its context.

    Raises:
        DataError: gensim is not installed.

    Source: Mikolov et al. (2013), arXiv:1301.3781 and arXiv:1310.4546.
    """
    word2vec = _gensim()
    model = word2vec.Word2Vec(
        sentences=_Cut(sentences, word2vec.MAX_WORDS_IN_BATCH),
        vector_size=width,
        window=window,
        epochs=epochs,
        sg=int(algorithm == "skip-gram"),
        negative=5,
        min_count=1,
        workers=1,  # with more, the result depends on timing
        seed=seed % 2**32,
    )
    return {word: model.wv[word].copy() for word in model.wv.index_to_key}


class _Cut:
    """Sentences in pieces of at most so many words: gensim passes over what is beyond."""

    def __init__(self, sentences: Iterable[Sequence[str]], longest: int):
        self.sentences, self.longest = sentences, longest

    def __iter__(self) -> Iterator[Sequence[str]]:
        for sentence in self.sentences:
            for at in range(0, len(sentence), self.longest):
                yield sentence[at : at + self.longest]


def require_gensim() -> None:
    """Raise the DataError of `learn_vectors` without learning anything."""
    _gensim()


def _gensim() -> Any:
    try:
        from gensim.models import word2vec
    except ImportError as error:
        raise DataError(
            f"word2vec needs gensim, which cannot be imported ({error}); install it with: "
            "pip install 'rnnbench[vectors]'"
        ) from error
    return word2vec
