"""Downloads by HTTP: gone on with, checked, and refused with the reason."""

import hashlib
import http.server
import threading

import pytest
from data.tiny_wheel import left_in

from rnnbench.contract import Source
from rnnbench.data import DataError, fetch, verify
from rnnbench.data.fetching import download, origins


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
