"""Files of word vectors: what they hold is what the model reads; a damaged one is refused."""

import gzip
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from gensim.models import KeyedVectors
from support.toys import TinyLSTM

from rnnbench.data import DataError
from rnnbench.data.text.word_vectors import read_vectors, sha256_of
from rnnbench.testing.fixtures.toy_tasks import Toy
from rnnbench.training.determinism import seed_everything
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_tricks.encoding import Encoding

WORDS = ("", "Licht", "aus", "an", "the", "ein", "über")


IN_FILE = ("aus", "licht", "an", "the", "Haus", "über")  # "ein" is missing, "Licht" is not cased


@dataclass(frozen=True)
class Named(Toy):
    """A toy whose classes are words."""

    def words(self, side):
        return WORDS


LM = Named(carried=True)


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(len(IN_FILE), 6)).astype(np.float32)


@pytest.fixture
def files(tmp_path, vectors):
    """Write the same vectors in every format, all but GloVe's by gensim."""
    keyed = KeyedVectors(6)
    keyed.add_vectors(list(IN_FILE), vectors)
    paths = {name: tmp_path / name for name in ("word2vec-text", "word2vec-binary", "glove")}
    keyed.save_word2vec_format(str(paths["word2vec-text"]), binary=False)
    keyed.save_word2vec_format(str(paths["word2vec-binary"]), binary=True)
    lines = [f"{w} {' '.join(map(repr, v.tolist()))}\n" for w, v in zip(IN_FILE, vectors)]  # noqa: B905
    paths["glove"].write_text("".join(lines), "utf-8")
    return paths


def from_file(path, format="word2vec-text", **settings):
    return Encoding("file", path=str(path), format=format, sha256=sha256_of(path), **settings)


def built(trick, task=LM, architecture=None, seed=0):
    seed_everything(seed)
    tricks = [trick] if isinstance(trick, Encoding) else trick
    architecture = architecture or TinyLSTM()
    return assemble(architecture, task, TrickFold(tricks))


# Files


@pytest.mark.parametrize("format", ["word2vec-text", "word2vec-binary", "glove"])
def test_each_class_reads_the_row_of_its_word(files, vectors, format):
    model = built(from_file(files[format], format))
    read = model.embed(torch.arange(7)[None])[0]
    row = {word: torch.from_numpy(v) for word, v in zip(IN_FILE, vectors, strict=True)}
    for at, word in enumerate(WORDS):
        found = row.get(word, row.get(word.lower()))
        if found is not None:
            torch.testing.assert_close(
                read[at], found, atol=0 if format != "glove" else 1e-7, rtol=0
            )
    assert not any(torch.allclose(read[5], v) for v in row.values()), "'ein' is not in the file"


# gensim leaves a file without a header open after its first pass.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*FileIO:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("format", ["word2vec-text", "word2vec-binary", "glove"])
def test_the_reader_agrees_with_gensims(files, format):
    width, found = read_vectors(files[format], format, IN_FILE)
    theirs = KeyedVectors.load_word2vec_format(
        str(files[format]), binary=format == "word2vec-binary", no_header=format == "glove"
    )
    assert width == theirs.vector_size
    assert list(found) == theirs.index_to_key
    for word in IN_FILE:
        np.testing.assert_array_equal(found[word], theirs[word])


def test_a_binary_file_as_the_word2vec_tool_writes_it_is_read(tmp_path, vectors):
    path = tmp_path / "v.bin"
    entries = zip(IN_FILE, vectors, strict=True)
    path.write_bytes(
        b"6 6\n" + b"".join(w.encode() + b" " + v.tobytes() + b"\n" for w, v in entries)
    )
    _, found = read_vectors(path, "word2vec-binary", {"über", "the"})
    assert list(found) == ["the", "über"]
    np.testing.assert_array_equal(found["über"], vectors[5])


def test_entries_longer_than_a_block_of_reading_are_whole(files, vectors, monkeypatch):
    monkeypatch.setattr("rnnbench.data.text.word_vectors._BLOCK", 7)
    _, found = read_vectors(files["word2vec-binary"], "word2vec-binary", IN_FILE)
    np.testing.assert_array_equal(np.stack([found[w] for w in IN_FILE]), vectors)


def test_a_packed_file_is_unpacked_as_it_is_read(files, vectors, tmp_path):
    path = tmp_path / "v.bin.gz"
    path.write_bytes(gzip.compress(files["word2vec-binary"].read_bytes()))
    _, found = read_vectors(path, "word2vec-binary", ["the"])
    np.testing.assert_array_equal(found["the"], vectors[3])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        read_vectors(path, "word2vec-binary", ["the"])


def test_words_with_blanks_in_them_are_told_from_their_first_parts(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text(", 1 2 3\n. . . 4 5 6\n. 7 8 9\nof it 1 1 1\n. 0 0 0\n")
    width, found = read_vectors(path, "glove", [".", "of it", "of"])
    assert width == 3
    assert {w: v.tolist() for w, v in found.items()} == {".": [7, 8, 9], "of it": [1, 1, 1]}


@pytest.mark.parametrize(
    ("content", "format", "why"),
    [
        (b"a 1 2\nb 3 4\n", "word2vec-text", "glove"),
        (b"2 2\na 1 2\nb 3 4\n", "glove", "word2vec-text"),
        (b"3 2\na 1 2\nb 3 4\n", "word2vec-text", "promises 3 words, and 2 follow"),
        (b"2 2\na 1 2\nb 3\n", "word2vec-text", "'b' has 1 values, not 2"),
        (b"1 2\nb 3 x\n", "word2vec-text", "no number"),
        (b"1 2\nb 3 nan\n", "word2vec-text", "not finite"),
        (b"2 1\na \0\0\0\0b \0\0", "word2vec-binary", "promises 2 words, and 1 follow"),
        (b"1 1\na \0\0\0\0b \0\0\0\0", "word2vec-binary", "more follows"),
        (b"2 1\na \0\0\0\0  \0\0\0\0", "word2vec-binary", "word 2 is empty"),
        (b"", "glove", "empty"),
        (b"", "word2vec-text", "COUNT WIDTH"),
    ],
)
def test_a_file_that_is_damaged_or_of_another_format_is_refused(tmp_path, content, format, why):
    path = tmp_path / "v"
    path.write_bytes(content)
    with pytest.raises(DataError, match=why):
        read_vectors(path, format, ["a", "b"])


def test_only_the_wanted_rows_of_a_file_are_kept_in_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "big.txt"
    with path.open("w") as f:
        f.write("20000 100\n")
        f.writelines(f"w{i} {'0.125 ' * 100}\n" for i in range(20000))
    tracemalloc.start()
    _, found = read_vectors(path, "word2vec-text", ["w7", "w19999"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 2
    assert path.stat().st_size > 12e6
    assert peak < 1e6, f"{peak} bytes for 2 of 20,000 vectors"
