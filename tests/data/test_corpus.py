"""Text files as tokens: units, cuts, encodings, and files that are refused with the line."""

import gzip
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from rnnbench.data import DataError, own_file
from rnnbench.data.prepared import Streamed, load, save
from rnnbench.data.text import files as textfiles
from rnnbench.data.text.corpus import Vocabulary, make_corpus
from rnnbench.data.text.files import TokenRecipe
from rnnbench_tasks.text_lm import TextLM

LINES = "".join(f"line {i % 9} of the text , which is {i % 7} long\n" for i in range(200))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def made(tmp_path, content, **settings):
    """The prepared form of one file, or of three."""
    contents = content if isinstance(content, tuple) else (content,)
    names = [f"text{i}.txt" for i in range(len(contents))]
    for name, text in zip(names, contents, strict=True):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    shares = (0.0, 0.0) if len(names) == 3 else (0.1, 0.1)
    recipe = TokenRecipe(tuple(names), **{"unit": "word", "shares": shares, **settings})
    folder = tmp_path / "made"
    folder.mkdir(exist_ok=True)
    save(folder, make_corpus(recipe, tmp_path))
    return load(folder)


def text_of(found, split, unit):
    return Vocabulary(unit, found["symbols"], found["unknown"]).decode(found[split].tolist())


@pytest.mark.parametrize("block", [3, 64, 1 << 20])
@pytest.mark.parametrize("unit", ["word", "character", "byte"])
def test_the_splits_are_the_text_in_order_whatever_the_blocks(tmp_path, unit, block, monkeypatch):
    monkeypatch.setattr(textfiles, "BLOCK", block)
    text = LINES + "añø ☃ 漢字 the end" if unit != "byte" else LINES + "the end"
    found = made(tmp_path, text, unit=unit, unknown=unit != "byte")
    parts = [found[split] for split in ("train", "valid", "test")]
    if unit == "word":
        want = [*text.replace("\n", " <eos> ").split(), "<eos>"]
        assert sum(map(len, parts)) == len(want)
        symbols = np.array(found["symbols"])
        got = np.concatenate([symbols[p] for p in parts]).tolist()
        assert [a for a, b in zip(got, want, strict=True) if a != b] == ["<unk>"] * 4
    else:
        joined = "".join(text_of(found, s, unit) for s in ("train", "valid", "test"))
        assert len(joined) == len(text)
        assert [a for a, b in zip(joined, text, strict=True) if a != b] == (
            [] if unit == "byte" else list("\ufffd" * 7)
        )
        assert len(parts[0]) == int(0.8 * len(text))
    assert sum(found["characters"].values()) == len(text) + (unit == "word")


def test_three_files_are_three_splits_and_a_last_line_without_an_end_gets_one(tmp_path):
    found = made(tmp_path, ("a b\n\nc a", "a\n", "c c"))
    assert text_of(found, "train", "word") == "a b\n\nc a\n"
    assert [len(found[s]) for s in ("train", "valid", "test")] == [7, 2, 3]
    assert found["characters"] == {"train": 9, "valid": 2, "test": 4}


def test_line_ends_of_any_system_and_a_byte_order_mark_change_nothing(tmp_path):
    plain = made(tmp_path, LINES)
    for other in (LINES.replace("\n", "\r\n"), LINES.replace("\n", "\r"), "\ufeff" + LINES):
        found = made(tmp_path, other)
        assert all(np.array_equal(found[s], plain[s]) for s in ("train", "valid", "test"))


def test_a_latin_1_file_is_read_as_such_and_refused_as_utf_8_with_the_line(tmp_path):
    content = (LINES + "caf\xe9 au lait\n" + LINES).encode("latin-1")
    found = made(tmp_path, content, encoding="latin-1", unknown=True)
    assert "caf\xe9" in found["symbols"]
    with pytest.raises(DataError, match=r"text0.txt, line 201: the byte 0xe9 is not utf-8") as e:
        made(tmp_path, content)
    assert "task.encoding=latin-1" in str(e.value)


@pytest.mark.parametrize("block", [5, 1 << 20])
def test_the_line_of_a_wrong_byte_is_right_whatever_the_line_ends_and_blocks(
    tmp_path, block, monkeypatch
):
    monkeypatch.setattr(textfiles, "BLOCK", block)
    for end in (b"\n", b"\r\n"):
        content = end.join([b"one", b"two", b"three \xff", b"four"])
        with pytest.raises(DataError, match=r"line 3: the byte 0xff"):
            made(tmp_path, content)


def test_an_empty_file_and_one_too_short_to_be_cut_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"text1.txt is empty: there is no valid text"):
        made(tmp_path, ("a b\n", "", "c\n"))
    with pytest.raises(DataError, match="too short to be cut"):
        made(tmp_path, "one\n")
    with pytest.raises(DataError, match="there is no encoding 'utf8x'"):
        made(tmp_path, LINES, encoding="utf8x")
    with pytest.raises(DataError, match=r"line 2 .* holds <eos>"):
        made(tmp_path, ("a\nb <eos> c\n", "a\n", "a\n"))
    with pytest.raises(DataError, match="'zebra' is not in the vocabulary"):
        made(tmp_path, ("a\n", "zebra\n", "a\n"))


def test_rare_words_and_those_beyond_the_vocabulary_are_unknown(tmp_path):
    texts = ("a a a b b c <unk>\n", "a c d\n", "a\n")
    found = made(tmp_path, texts, unknown=True, min_count=2)
    assert found["symbols"] == ["<unk>", "a", "b", "<eos>"]
    assert text_of(found, "valid", "word") == "a <unk> <unk>\n"
    found = made(tmp_path, texts, unknown=True, size=3)
    assert found["symbols"] == ["<unk>", "a", "b"]


def test_subwords_spell_every_text(tmp_path):
    from rnnbench.data import Subwords

    found = made(tmp_path, LINES * 3, unit="subword", size=300)
    subwords = Subwords(found["model"].tobytes())
    parts = [found[s].tolist() for s in ("train", "valid", "test")]
    lines = sum(p.count(Subwords.STOP) for p in parts)
    assert lines == 600
    first = parts[0][: parts[0].index(Subwords.STOP)]
    assert subwords.decode(first) == "line 0 of the text , which is 0 long"


def test_subwords_are_learnt_on_long_lines_too_and_an_endless_one_is_refused(tmp_path, monkeypatch):
    text = LINES.replace("\n", " ") + "\n"
    found = made(tmp_path, (text, LINES, LINES), unit="subword", size=300)
    assert len(found["train"]) < 0.9 * len(text)  # more than letters were learnt
    monkeypatch.setattr(textfiles, "LONGEST", 1000)
    monkeypatch.setattr(textfiles, "BLOCK", 64)
    with pytest.raises(DataError, match=r"text0.txt, line 1 .* more than 1,000 characters"):
        made(tmp_path, (text, LINES, LINES), unit="subword", size=300)


def test_a_gzipped_text_is_unpacked_as_it_is_read(tmp_path):
    (tmp_path / "t.gz").write_bytes(gzip.compress(LINES.encode()))
    (tmp_path / "t").write_text(LINES)
    one, two = (TextLM(train=name)._corpus for name in ("t.gz", "t"))
    assert np.array_equal(one["train"], two["train"])
    (tmp_path / "half.gz").write_bytes(gzip.compress(LINES.encode())[:-9])
    with pytest.raises(DataError, match=r"half.gz cannot be read"):
        TextLM(train="half.gz").source  # noqa: B018


def test_an_array_that_is_written_in_parts_is_read_whole(tmp_path):
    parts = [np.arange(5), np.arange(0), np.arange(5, 9)]
    save(tmp_path, {"a": Streamed(np.uint16, lambda: iter(parts)), "n": 3})
    found = load(tmp_path)
    assert found["a"].tolist() == list(range(9))
    assert found["a"].dtype == np.uint16
    assert isinstance(found["a"], np.memmap)


# ------------------------------------------------------------------------------ a user's files


def test_the_data_version_follows_the_content_and_not_the_place(tmp_path):
    from rnnbench.data import data_version

    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text(LINES)
    (tmp_path / "sub/b.txt").write_text(LINES)
    a, b = own_file("a.txt", "train"), own_file(str(tmp_path / "sub/b.txt"), "train")
    assert data_version([a], 1) == data_version([b], 1)
    assert data_version([a], 1) != data_version([own_file("a.txt", "valid")], 1)
    (tmp_path / "a.txt").write_text(LINES + "more\n")
    assert data_version([own_file("a.txt", "train")], 1) != data_version([b], 1)


def test_a_file_that_is_absent_or_empty_and_a_folder_without_files_are_refused(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match=r"train=nowhere.txt: .*nowhere.txt is not there"):
        TextLM(train="nowhere.txt").sources()
    with pytest.raises(DataError, match="empty is empty"):
        TextLM(train="empty").sources()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="has no files"):
        TextLM(train="nothing").sources()


def test_a_file_that_changes_under_a_run_is_refused(tmp_path):
    (tmp_path / "t").write_text(LINES)
    task = TextLM(train="t")
    task.sources()
    (tmp_path / "t").write_text(LINES.upper())
    with pytest.raises(DataError, match="another now than when this run was described"):
        task.data("train", 0)


@pytest.mark.slow
def test_a_file_larger_than_the_memory_that_is_allowed_is_prepared(tmp_path):
    """200 MB of text under a limit of 150 MB on what the process may hold of its own."""
    words = [f"w{i % 997}x{i % 1009}" for i in range(20_000)]
    block = "\n".join(" ".join(words[i : i + 20]) for i in range(0, len(words), 20)) + "\n"
    with (tmp_path / "big.txt").open("w") as f:
        while f.tell() < 200e6:
            f.write(block)
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        import numpy
        from rnnbench.data.text.corpus import make_corpus
        from rnnbench.data.prepared import save, load
        from rnnbench.data.text.files import Recipe
        held = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1])
        resource.setrlimit(resource.RLIMIT_DATA, ((held << 10) + 150_000_000,) * 2)
        Path("made").mkdir()
        unit = sys.argv[1]
        recipe = Recipe(("big.txt",), unit, shares=(0.05, 0.05), unknown=unit != "byte")
        save(Path("made"), make_corpus(recipe, Path()))
        found = load(Path("made"))
        print(sum(len(found[s]) for s in ("train", "valid", "test")), found["characters"])
    """)
    for unit in ("byte", "word"):
        done = subprocess.run(
            [sys.executable, "-c", script, unit], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        subprocess.run(["rm", "-r", "made"], check=True)
