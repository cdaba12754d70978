"""The server: what it answers, and what it refuses."""

import http.client
import socket

import pytest
from click.testing import CliRunner
from report.site_of import serving
from support.fake_records import make_record, make_spec

from rnnbench.cli import main
from rnnbench.report.site.server import Pages, ServeError, Server, is_loopback, serve
from rnnbench.results.store import Store


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    store = Store(root)
    store.write(make_record())
    (root / "secret.txt").write_text("precious")
    with serving(root) as server:
        yield server, store
    store.close()


def ask(server, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    host = headers.pop("host", None)
    connection.putrequest(method, path, skip_host=host is not None)
    for name, value in ({"Host": host} if host is not None else {}).items():
        connection.putheader(name, value)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_it_serves_the_pages_and_nothing_else(served):
    server, _ = served
    answer, body = ask(server)
    assert answer.status == 200
    assert b"Leaderboards" in body
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"connect-src" in body
    answer, body = ask(server, "/data/char-lm.js")
    assert (answer.status, answer.headers["Content-Type"]) == (
        200,
        "text/javascript; charset=utf-8",
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", [
    "/../secret.txt", "/secret.txt", "/%2e%2e/secret.txt", "/tasks/../../secret.txt",
    "/results.db", "//etc/passwd", "/etc/passwd", "/tasks/..%2f..%2fsecret.txt", "/tasks/",
    "/index.html%00.js", "/data/", "/%", "*",
])  # fmt: skip
def test_no_file_is_read_by_a_name_that_a_request_gives(served, path):
    answer, body = ask(served[0], path)
    assert answer.status == 404
    assert b"precious" not in body


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"]
)
def test_it_is_read_only(served, method):
    answer, _ = ask(served[0], "/", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_head_is_get_without_the_page(served):
    answer, body = ask(served[0], "/", "HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(ask(served[0])[1])


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "",
                                  "127.0.0.1.evil.example", "localhost.evil.example:{port}",
                                  "192.168.0.7:{port}", "localhost:{port}x"])  # fmt: skip
def test_a_name_that_somebody_pointed_here_is_refused(served, host):
    server, _ = served
    answer, body = ask(server, host=host.format(port=server.port))
    assert answer.status == 421
    assert b"Leaderboards" not in body


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "127.0.0.1:{port}", "LOCALHOST", "[::1]:{port}"]
)
def test_this_machines_own_names_are_served(served, host):
    server, _ = served
    assert ask(server, host=host.format(port=server.port))[0].status == 200


def test_what_the_reader_has_is_not_sent_again_until_it_changes(served):
    server, store = served
    tag = ask(server)[0].headers["ETag"]
    answer, body = ask(server, If_None_Match=tag)
    assert (answer.status, body) == (304, b"")
    store.write(make_record(make_spec(seed=7)))
    server.pages._looked = 0.0  # as if a second had gone by
    answer, body = ask(server, If_None_Match=tag)
    assert answer.status == 200
    assert answer.headers["ETag"] != tag


def test_a_page_that_cannot_be_made_harms_no_other(served, monkeypatch):
    server, _ = served
    site = server.pages._site
    monkeypatch.setattr(type(site), "_run_page", lambda self: 1 / 0)
    server.pages._made.pop("run.html", None)
    answer, body = ask(server, "/run.html")
    assert answer.status == 500
    assert b"ZeroDivisionError" not in body
    assert "ZeroDivisionError" in server.problems.pop()
    assert ask(server)[0].status == 200


def test_a_taken_port_is_told_in_words(served, tmp_path):
    server, _ = served
    with pytest.raises(ServeError, match="Choose another: --port"):
        serve(tmp_path, "127.0.0.1", server.port)


def test_only_this_machines_own_addresses_are_its_own():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.3.2.1", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.7", "example.org")))


def test_an_open_address_is_warned_of_and_takes_addresses_as_hosts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Server, "serve_forever", lambda self: None)
    serve(tmp_path, "0.0.0.0", 0)
    printed = capsys.readouterr().out
    assert "no password" in printed
    assert "ssh -L" in printed
    pages = Pages(tmp_path)
    server = Server(pages, "0.0.0.0", 0)
    assert server.is_ours(f"192.168.0.7:{server.port}")
    assert server.is_ours(f"{socket.gethostname()}:{server.port}")
    assert not server.is_ours(f"evil.example:{server.port}")
    server.server_close()
    pages.close()


def test_the_command_serves_until_it_is_interrupted(tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    done = CliRunner().invoke(main, ["serve", "--out", str(tmp_path), "--port", "0"])
    assert done.exit_code == 0
    assert "http://127.0.0.1:" in done.output
    assert "no password" not in done.output
