"""Serves the site while a sweep runs (`rnnbench serve`). Reads, and can change nothing.

Pages are made when they are asked for and kept until the results change. No file is read by a name
that a request gives: what is not a page of the site is not there. Requests whose Host is not this
server's are refused, so that no other site can read the results through the reader's browser (DNS
rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
import warnings
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rnnbench.errors import UserError
from rnnbench.report.site.gather import gather, version
from rnnbench.report.site.pages import Site
from rnnbench.results.store import Store

FRESH_SECONDS = 1.0  # between two looks at whether the results have changed
FAR_SECONDS = 15.0  # the same where results lie at an address
IDLE_SECONDS = 30.0  # of a connection that asks nothing
LOCAL = {"localhost", "127.0.0.1", "[::1]", "::1"}
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


class ServeError(UserError, ValueError):
    """An address that cannot be listened at; the message says what to do."""


class Pages:
    """The site of a store, made anew when the results change. For several threads."""

    def __init__(self, root: Path | str, database: str | None = None) -> None:
        self._store = Store(root, database)
        self._lock = threading.Lock()
        self._version, self._looked = "", 0.0
        self._site: Site | None = None
        self._made: dict[str, bytes] = {}

    def page(self, path: str, known: str = "") -> tuple[str, bytes | None]:
        """Return the site's version, and a file of it; None for one that the reader has.

        Raises:
            KeyError: the site has no such file.
        """
        with self._lock:
            self._refresh()
            assert self._site is not None
            if path not in self._site.paths:
                raise KeyError(path)
            if known == self._version:
                return self._version, None
            if path not in self._made:
                self._made[path] = self._site.render(path).encode("utf-8", "replace")
            return self._version, self._made[path]

    def _refresh(self) -> None:
        now = time.monotonic()
        every = FRESH_SECONDS if self._store.remote is None else FAR_SECONDS
        if self._site is not None and now - self._looked < every:
            return
        version_now = version(self._store)
        if self._site is None or version_now != self._version:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # the page names what is damaged
                gathered = gather(self._store)
            self._site, self._made, self._version = (
                Site(gathered, live=version_now),
                {},
                version_now,
            )
        self._looked = time.monotonic()

    def close(self) -> None:
        self._store.close()


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rnnbench", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # any other method
            return self._refuse_method
        raise AttributeError(name)

    def _refuse_method(self) -> None:
        self.close_connection = True  # what it sent is not read
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"read only\n", allow="GET, HEAD")

    def _answer(self, body: bool) -> None:
        if not self.server.is_ours(self.headers.get("Host", "")):
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"this is not the server you asked\n", body)
            return
        path = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        known = self.headers.get("If-None-Match", "").removeprefix("W/").strip('"')
        try:
            version_now, content = self.server.pages.page(path, known)
        except KeyError:
            self._send(HTTPStatus.NOT_FOUND, b"there is no such page\n", body)
            return
        except Exception as error:  # a page that cannot be made is told, and harms no other
            self.log_error("%s: %s: %s", path, type(error).__name__, error)
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, b"the page cannot be made\n", body)
            return
        if content is None:
            self._send(HTTPStatus.NOT_MODIFIED, b"", False, etag=version_now)
            return
        kind = TYPES[path[path.rindex(".") :]]
        self._send(HTTPStatus.OK, content, body, kind=kind, etag=version_now)

    def _send(
        self, status: HTTPStatus, content: bytes, body: bool = True, *,
        kind: str = "text/plain; charset=utf-8", etag: str = "", allow: str = "",
    ) -> None:  # fmt: skip
        self.send_response(status)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        for name, value in (("ETag", etag and f'"{etag}"'), ("Allow", allow)):
            if value:
                self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        if body and content:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log what went well."""

    def log_error(self, format: str, *args: Any) -> None:
        self.server.problems.append((format % args)[:500])


class Server(ThreadingHTTPServer):
    """Listens until it is told to stop.

    Attributes:
        problems: pages that could not be made.
    """

    daemon_threads = True

    def __init__(self, pages: Pages, host: str, port: int) -> None:
        self.pages, self.problems = pages, []  # type: Pages, list[str]
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise ServeError(
                f"cannot listen at {host}, port {port}: {error.strerror or error}\n"
                "  Choose another: --port 8001"
            ) from error
        self.port = self.server_address[1]
        self.local = is_loopback(host)
        self._names = LOCAL if self.local else LOCAL | {
            host.lower(), f"[{host.lower()}]", socket.gethostname().lower(),
            socket.getfqdn().lower(),
        }  # fmt: skip

    def server_bind(self) -> None:
        """Bind without asking a name server who we are."""
        socketserver_bind(self)

    def is_ours(self, host: str) -> bool:
        """Tell whether a Host header names this server, and not a name that was pointed at it."""
        name, _, port = host.lower().rpartition(":") if host[-1:] != "]" else (host.lower(), "", "")
        if not name:
            name, port = port, ""
        if port and (not port.isdigit() or int(port) != self.port):
            return False
        return name in self._names or (not self.local and is_address(name.strip("[]")))

    @property
    def url(self) -> str:
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def socketserver_bind(server: Server) -> None:
    import socketserver

    socketserver.TCPServer.server_bind(server)
    host, port = server.server_address[:2]
    server.server_name, server.server_port = str(host), int(port)


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def serve(root: Path | str, host: str, port: int, database: str | None = None) -> None:
    """Serve until Ctrl-C.

    Raises:
        ServeError: nobody can listen there.
    """
    pages = Pages(root, database)
    server = Server(pages, host, port)
    if not server.local:
        print(
            f"rnnbench: {host} is not this machine alone: whoever reaches port {server.port} reads "
            "these results, with their settings, machines and commands. There is no password and "
            "no encryption.\n  For your own browser elsewhere: ssh -L "
            f"{server.port}:127.0.0.1:{server.port} THIS-MACHINE, with --host 127.0.0.1"
        )
    print(f"serving {root} at {server.url} (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
        pages.close()
