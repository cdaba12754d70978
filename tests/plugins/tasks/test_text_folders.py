"""A language model's text in many files: a folder, a pattern, and parts held out by file."""

import pytest

from rnnbench.data import DataError
from rnnbench_tasks.text_lm import TextLM


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def books(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "books"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.txt").write_text(f"book {i} begins\n" * 40 + f"ends {i}")
    (folder / ".hidden").write_text("no book")
    return folder


def text_of(task, split):
    return task._symbols.decode(task._corpus[split].tolist())


@pytest.mark.parametrize("path", ["books", "books/*.txt", "**/*.txt"])
def test_a_folder_or_pattern_is_one_text_in_the_order_of_names(books, path):
    task = TextLM(train=path, unit="character")
    whole = "".join(text_of(task, split) for split in ("train", "valid", "test"))
    assert whole == "\n".join((books / f"{i}.txt").read_text() for i in range(4))
    assert "no book" not in whole


def test_words_of_two_files_do_not_grow_together(books):
    assert "ends 0\nbook 1" in text_of(TextLM(train="books"), "train")


def test_parts_are_held_out_by_file_and_left_out_of_training(books):
    task = TextLM(train="books", valid="books/2.txt", test="books/3.txt")
    assert text_of(task, "train").count("begins") == 80
    assert "begins" in text_of(task, "test")
    assert "book 3" not in text_of(task, "train")
    assert task._corpus["characters"]["valid"] == len((books / "2.txt").read_text()) + 1


def test_nothing_left_for_training_is_refused(books):
    with pytest.raises(DataError, match="besides those that are read for something else"):
        TextLM(train="books/[23].txt", valid="books/2.txt", test="books/3.txt").sources()


def test_one_file_is_known_by_what_it_was_known_by(books):
    (source,) = TextLM(train="books/0.txt").sources()
    assert source.origin == f"file:{books / '0.txt'}"
