"""Real database servers for tests, from Debian's packages, each with data of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest


class Server:
    """A server on a free port of the loopback; `stop` and `start` as often as wanted."""

    name = ""
    user = ""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        owner = pwd.getpwnam(self.user)
        os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = None
        self.create()
        self.start()

    def as_user(self, *command):
        return ["runuser", "-u", self.user, "--", *map(str, command)]

    def run(self, *command):
        return subprocess.run(
            self.as_user(*command), check=True, capture_output=True, text=True, cwd="/"
        )

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.as_user(*self.command()), stdout=log, stderr=log, cwd="/"
            )
        deadline = time.monotonic() + 120
        while not self.is_up():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)

    def stop(self):
        self.end()
        self.process.wait(120)

    def close(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)


class PostgreSQL(Server):
    name, user = "postgresql", "postgres"

    @staticmethod
    def programs():
        return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)

    def create(self):
        self.data = self.folder / "data"
        self.run(self.programs() / "initdb", "-D", self.data, "-A", "trust", "-U", "rnnbench")

    def command(self):
        return (
            self.programs() / "postgres", "-D", self.data, "-p", self.port, "-k", self.folder,
            "-h", "127.0.0.1",
        )  # fmt: skip

    def is_up(self):
        ready = [self.programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def end(self):
        self.run(self.programs() / "pg_ctl", "-D", self.data, "-m", "immediate", "stop")

    def fresh(self, name):
        url = f"postgresql://rnnbench@127.0.0.1:{self.port}"
        self.run("psql", "-q", f"{url}/postgres", "-c", f"CREATE DATABASE {name}")
        return f"{url}/{name}"


class MariaDB(Server):
    name, user = "mariadb", "mysql"

    @staticmethod
    def programs():
        return Path("/usr/sbin") if Path("/usr/sbin/mariadbd").exists() else None

    def create(self):
        self.data, self.socket = self.folder / "data", self.folder / "socket"
        self.run(
            "mariadb-install-db", "--no-defaults", f"--datadir={self.data}",
            "--auth-root-authentication-method=normal", "--skip-test-db",
        )  # fmt: skip

    def command(self):
        return (
            "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.data}",
            f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
            f"--pid-file={self.folder / 'pid'}",
        )  # fmt: skip

    def admin(self, *words):
        command = ["mariadb-admin", "-u", "root", f"--socket={self.socket}", *words]
        return subprocess.run(command, check=False, capture_output=True)

    def is_up(self):
        return self.admin("ping").returncode == 0

    def end(self):
        self.admin("shutdown")

    def fresh(self, name):
        for statement in (
            f"CREATE DATABASE {name}",
            "CREATE USER IF NOT EXISTS rnnbench@'127.0.0.1' IDENTIFIED BY 'sesame'",
            f"GRANT ALL ON {name}.* TO rnnbench@'127.0.0.1'",
        ):
            subprocess.run(
                ["mariadb", "-u", "root", f"--socket={self.socket}", "-e", statement], check=True
            )
        return f"mysql://rnnbench:sesame@127.0.0.1:{self.port}/{name}"


def open_server(kind):
    """Return a running server; skip where its package is not installed, but fail in CI."""
    if kind.programs() is None:
        message = f"Debian's package {kind.name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return kind()
