"""Connects to the Ray cluster that a sweep runs on, or starts one on this machine for its time.

A Ray cluster runs any code that its clients send, and `ray start` opens it to whoever reaches the
port. So one that is started here asks for a token, and one that answers without a token is used
only where it listens on this machine alone.
"""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from rnnbench.errors import OutageError
from rnnbench.sweep.engines.protocol import EngineError

ASK_SECONDS = 30.0
REACH_SECONDS = 10.0
OPEN = "RNNBENCH_ALLOW_OPEN_CLUSTER"  # set to 1 where something else keeps strangers out
_ASK = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_exists(b"rnnbench", None)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class UnreachableClusterError(EngineError, OutageError):
    """Nobody answers at the address of the Ray cluster."""

    exit_code = OutageError.exit_code


class RayConnection:
    """The connection of this process to a cluster; there is one a process.

    Args:
        address: as `ray.init` takes it; "auto": RAY_ADDRESS or the cluster of this machine, and
            where there is none a new one on this machine.
        say: prints a line that tells which cluster it is.
        cpus: CPUs of a new cluster; None: as many as this machine has.

    Raises:
        EngineError: no cluster answers at the address, or it is open to strangers.
    """

    def __init__(self, address: str, say: Callable[[str], None], cpus: int | None = None) -> None:
        self._folder = ""
        self._before: dict[str, str | None] = {}
        if address == "auto":
            address = os.environ.get("RAY_ADDRESS", "")
            if not address:
                from ray._private.services import canonicalize_bootstrap_address

                with contextlib.suppress(Exception):  # Ray's own look for a cluster on this machine
                    address = canonicalize_bootstrap_address("auto") or ""
        with signals_kept():
            if address:
                self._attach(address)
                say(f"Ray cluster at {self.address}: {self.described()}")
            else:
                self._start(cpus)
                say(f"Ray started on this machine for the time of the sweep: {self.described()}")

    @property
    def address(self) -> str:
        """Return the address of the cluster."""
        return str(ray.get_runtime_context().gcs_address)

    def nodes(self) -> dict[str, dict[str, float]]:
        """Return the resources of each node that is alive, by its id."""
        return {n["NodeID"]: n["Resources"] for n in ray.nodes() if n["Alive"]}

    def name(self, node: str) -> str:
        """Return the name by which a person knows a node: its host and the start of its id."""
        entry = next((n for n in ray.nodes() if n["NodeID"] == node), None)
        return node[:8] if entry is None else f"{entry['NodeManagerHostname']} ({node[:8]})"

    def machines(self) -> int:
        """Return the number of machines; one may have several nodes, as in tests."""
        return len({n["NodeManagerHostname"] for n in ray.nodes() if n["Alive"]})

    def described(self) -> str:
        """Return the size of the cluster in words."""
        nodes = self.nodes().values()
        cpus, gpus = (sum(n.get(r, 0.0) for n in nodes) for r in ("CPU", "GPU"))
        return f"{len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs"

    def abandon(self) -> None:
        """Leave a cluster whose head is gone, without the calls that would wait for it."""
        atexit.unregister(ray._private.worker.shutdown)

    def close(self) -> None:
        """Leave the cluster; end it where it was started here."""
        with signals_kept():
            ray.shutdown()
        if not self._folder:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        read_environment_again()

    def _attach(self, address: str) -> None:
        """Connect to a cluster that is there."""
        refuse_open(address)
        try:
            check_reachable(address)  # Ray itself tries for minutes
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RayError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            away = isinstance(error, OSError)
            raise (UnreachableClusterError if away else EngineError)(
                f"no Ray cluster can be used at {address}: {first}\n"
                "  Is it up (`ray status`), and is its token here (RAY_AUTH_TOKEN_PATH)? Without "
                "--address a cluster is started on this machine."
            ) from error

    def _start(self, cpus: int | None) -> None:
        """Start a cluster on this machine that asks for a token."""
        self._folder = tempfile.mkdtemp(prefix="rnnbench-ray-")
        token = Path(self._folder) / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN", "PYTHONPATH")
        self._before = {name: os.environ.get(name) for name in names}
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        os.environ.pop("RAY_AUTH_TOKEN", None)
        # What this process finds, the seats find too.
        os.environ["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)
        read_environment_again()
        try:
            ray.init(
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (OSError, RayError, RuntimeError) as error:
            self.close()
            raise EngineError(f"Ray cannot be started on this machine: {error}") from error


def check_reachable(address: str) -> None:
    """Raise OSError where nobody listens at host:port."""
    host, _, port = address.rpartition(":")
    if "://" not in address and port.isdigit():
        socket.create_connection((host, int(port)), REACH_SECONDS).close()


def read_environment_again() -> None:
    """Make Ray see RAY_AUTH_MODE and the token as they are now: it reads them when imported."""
    from ray import _raylet  # compiled, and without types for these two

    raylet: Any = _raylet
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def refuse_open(address: str) -> None:
    """Raise EngineError where a cluster answers without a token, and others can reach it."""
    if os.environ.get(OPEN) == "1" or "://" in address or address == "local":
        return
    host = address.rpartition(":")[0]
    try:
        ip = ipaddress.ip_address(socket.gethostbyname(host))
    except (OSError, ValueError):
        return  # `ray.init` says what is wrong with it
    if ip.is_loopback:
        return
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _ASK, address],
            env={**os.environ, "RAY_AUTH_MODE": "disabled"},
            capture_output=True, text=True, timeout=ASK_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return  # it does not answer; `ray.init` says so
    if answer.returncode == 0:
        raise EngineError(
            f"the Ray cluster at {address} is open: whoever reaches it can run code on it.\n"
            "  Start it with RAY_AUTH_MODE=token and a token file of mode 0600 (see "
            f"cluster/README.md). Where a network keeps strangers out, set {OPEN}=1."
        )


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Keep the driver's signal handlers, which Ray replaces by its own, within `with`."""
    names = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.getsignal(s) for s in names}
    try:
        yield
    finally:
        for s, handler in before.items():
            with contextlib.suppress(ValueError):  # not in the main thread: nothing was changed
                signal.signal(s, handler)
