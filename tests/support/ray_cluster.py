"""Ray clusters of several nodes on this machine, closed to strangers by a token, for tests."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from support import TESTS

# Of all test processes of this machine one has a Ray cluster at a time: the agents of heads want
# the same port, and what a test finds of processes and shared memory is then its own.
RAY_ALONE = FileLock(Path(tempfile.gettempdir()) / "rnnbench-tests-ray.lock")
TIMEOUT = 300  # where other tests keep the machine busy


@contextlib.contextmanager
def cluster_of(folder: Path, nodes: int, cpus: int = 1) -> Iterator[Any]:
    """Yield a cluster: a head without room for trials, and `nodes` nodes of `cpus` each.

    Nodes are processes of this machine: `cluster.remove_node(node, allow_graceful=False)` kills
    one with all that runs on it, as a machine that is lost does.
    """
    with RAY_ALONE:
        yield from _cluster_of(folder, nodes, cpus)


def _cluster_of(folder: Path, nodes: int, cpus: int) -> Iterator[Any]:
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    here = str(TESTS)
    changed = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PYTHONPATH": os.pathsep.join([here, *(p for p in sys.path if p)]),
        "RAY_ADDRESS": "",
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ |= changed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        from rnnbench.sweep.cluster.connection import read_environment_again

        read_environment_again()

        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False},
        )
        try:
            cluster.workers = [cluster.add_node(num_cpus=cpus) for _ in range(nodes)]
            cluster.wait_for_nodes()
            yield cluster
        finally:
            cluster.shutdown()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            read_environment_again()


class RayCluster:
    """Several nodes, the dashboard on loopback. Tests talk to it from processes of their own."""

    def __init__(self, folder, nodes=2):
        RAY_ALONE.acquire()
        self.folder = folder
        self.token = secrets.token_hex(32)
        self.token_file = folder / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self.token)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.jobs = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        code = (
            "import sys\n"
            "from ray.cluster_utils import Cluster\n"
            "port, nodes = int(sys.argv[1]), int(sys.argv[2])\n"
            "c = Cluster(initialize_head=True, head_node_args=dict(num_cpus=2, "
            "include_dashboard=True, dashboard_host='127.0.0.1', dashboard_port=port, "
            "object_store_memory=80_000_000))\n"
            "for _ in range(nodes - 1):\n"
            "    c.add_node(num_cpus=1, object_store_memory=80_000_000)\n"
            "c.wait_for_nodes()\n"
            "print('address', c.address, flush=True)\n"
            "sys.stdin.read()\n"  # until the test is gone, however it went
            "c.shutdown()\n"
        )
        self._log = open(folder / "cluster.log", "w")  # noqa: SIM115
        self._keeper = subprocess.Popen(
            [sys.executable, "-c", code, self.jobs.rpartition(":")[2], str(nodes)],
            env=self.environment, cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        for line in self._keeper.stdout:
            if line.startswith("address "):
                self.address = line.split()[1]
                return
        self.close()
        raise RuntimeError((folder / "cluster.log").read_text())

    def run(self, *arguments, timeout=TIMEOUT, **more):
        """Run `rnnbench ...` in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "rnnbench", *map(str, arguments)],
            env={**self.environment, **more.pop("env", {})}, capture_output=True, text=True,
            timeout=timeout, check=False, **more,
        )  # fmt: skip

    def close(self):
        with contextlib.suppress(OSError):
            self._keeper.stdin.close()
        try:
            self._keeper.wait(30)
        finally:
            self._keeper.kill()
            self._keeper.stdout.close()
            self._log.close()
            RAY_ALONE.release()
