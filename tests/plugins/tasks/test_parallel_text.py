"""Translation of one's own files: aligned files and columns, and what is refused."""

import gzip
from pathlib import Path

import pytest
from plugins.tasks.number_pairs import write_number_pairs

from rnnbench.data import DataError
from rnnbench.spec.compose import compose
from rnnbench.testing import TaskLaws
from rnnbench.training.resolve import resolve
from rnnbench_tasks.parallel_text import ParallelText

SPLITS = ("train", "valid", "test")


class TestParallelText(TaskLaws):
    tiny = ParallelText(**ParallelText.tiny)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The number words as aligned files, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_number_pairs(tmp_path)


def pairs_of(task, split):
    """Source and target texts of a split, from the tokens of its batches."""
    source, target = (task.tokeniser(side).decode for side in ("source", "target"))
    data = task.data(split, 0)
    batches = [data.batch(key, None) for key in data.order(64, None)]
    return sorted(
        (source(x), target(y))
        for b in batches
        for x, y in zip(b.x.tolist(), b.y.tolist(), strict=True)
    )


def test_aligned_files_and_columns_give_the_same_pairs(files):
    columns = ParallelText(source_file="a.tsv", vocabulary=320)
    aligned = ParallelText(source_file="a.en", target_file="a.de", vocabulary=320)
    swapped = ParallelText(source_file="a.tsv", source_column=2, target_column=1, vocabulary=320)
    for split in SPLITS:
        assert columns.texts(split) == aligned.texts(split)
        assert sorted(swapped.texts(split)) != sorted(columns.texts(split))
    everything = sorted(pair for split in SPLITS for pair in columns.texts(split))
    assert everything == sorted(map(tuple, files))
    assert 60 < len(columns.texts("test")) < 140


def test_files_of_their_own_are_validation_and_test_and_a_header_is_none(files):
    rows = [f"{a}\t{b}\tx" for a, b in files]
    Path("train.tsv").write_text("\n".join(["english\tgerman\tmore", *rows[:800]]), "utf-8")
    with gzip.open("valid.tsv.gz", "wt", encoding="utf-8") as f:
        f.write("\n".join(["english\tgerman\tmore", *rows[800:900]]))
    given = dict(header=True, vocabulary=320, source_file="train.tsv")
    task = ParallelText(valid_source_file="valid.tsv.gz", **given)
    assert task.texts("valid") == [tuple(row) for row in files[800:900]]
    assert len(task.texts("train")) + len(task.texts("test")) == 800
    with pytest.raises(ValueError, match="not of one form"):
        ParallelText(valid_source_file="a.en", valid_target_file="a.de", **given)
    with pytest.raises(ValueError, match="there is a test_target_file and no"):
        ParallelText(test_target_file="a.de", **given)


@pytest.mark.parametrize(
    ("content", "settings", "why"),
    [
        (b"a\tb\nc\td\ne\n", {}, "x.tsv, line 3: 1 columns between tabs, and line 1 has 2: 'e'"),
        (b"a\tb\n\nc\td\n", {}, "x.tsv, line 2: 1 columns .* it is blank"),
        (b"a\tb\nc\td\te\n", {}, "x.tsv, line 2: 3 columns"),
        (b"only one\n", {}, "x.tsv, line 1: 1 column between tabs, and column 2 is asked for"),
        (b"", {}, "x.tsv is empty"),
        (b"\t\n\t\n", {}, "no text in its 2 pairs"),
        (b"a\tb\ncaf\xe9\td\n", {}, r"x.tsv, line 2: byte 4 \(0xe9\) is not utf-8"),
        (b"a\tb\n", {"encoding": "utf-9"}, "no encoding 'utf-9'"),
        (b"a\tb\n" * 9, {}, "no pair of texts is left for (valid|test|train)"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_line_and_the_reason(
    content, settings, why, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("x.tsv").write_bytes(content)
    with pytest.raises(DataError, match=why):
        ParallelText(source_file="x.tsv", **settings).data("train", 0)


def test_files_of_unequal_length_missing_ones_and_broken_archives_are_refused(files):
    Path("short.de").write_text("eins\nzwei\n", "utf-8")
    with pytest.raises(DataError, match=r"line 3 of .*a\.en has no counterpart in .*short\.de"):
        ParallelText(source_file="a.en", target_file="short.de").data("train", 0)
    with pytest.raises(DataError, match=r"nowhere\.tsv is not there"):
        ParallelText(source_file="nowhere.tsv").data("train", 0)
    with pytest.raises(DataError, match="no text is named"):
        ParallelText().data("train", 0)
    Path("x.tsv.gz").write_bytes(gzip.compress(b"a\tb\n" * 500)[:-9])
    with pytest.raises(DataError, match=r"x\.tsv\.gz, after line .* not a whole gzip file"):
        ParallelText(source_file="x.tsv.gz").data("train", 0)


def test_what_memory_cannot_hold_is_refused_before_it_is_read(files, monkeypatch):
    from rnnbench.data.text import parallel_files as parallel

    monkeypatch.setattr(parallel.os, "sysconf", lambda name: 1)
    with pytest.raises(DataError, match="pairs are prepared in memory"):
        ParallelText(source_file="a.tsv").data("train", 0)


def test_latin_1_windows_line_ends_and_a_mark_of_byte_order_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"café {i}\tKaffee für {i}" for i in range(80)]
    Path("latin.tsv").write_bytes("\r\n".join(rows).encode("latin-1"))
    Path("bom.tsv").write_bytes(b"\xef\xbb\xbf" + "\n".join(rows).encode())
    found = [
        [pair for split in SPLITS for pair in task.texts(split)]
        for task in (
            ParallelText(source_file="latin.tsv", encoding="latin-1", tokens="words"),
            ParallelText(source_file="bom.tsv", tokens="words"),
        )
    ]
    assert found[0] == found[1]
    assert sorted(found[0]) == sorted(tuple(row.split("\t")) for row in rows)


def test_the_data_version_follows_the_content_and_not_the_place(files, tmp_path):
    def version(file):
        settings = {"task.source_file": file, "task.vocabulary": 320}
        return resolve(compose("parallel-text", "seq2seq", settings=settings)).data

    (tmp_path / "b").mkdir()
    copy = tmp_path / "b" / "other.tsv"
    copy.write_text(Path("a.tsv").read_text("utf-8"), "utf-8")
    assert version("a.tsv") == version(str(copy))
    copy.write_text(copy.read_text("utf-8").replace("zwei", "zwo"), "utf-8")
    assert version("a.tsv") != version(str(copy))
