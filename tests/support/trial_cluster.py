"""A Ray cluster of several nodes on this machine, closed to strangers, for tests."""

from __future__ import annotations

import contextlib
import os
import secrets
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


@contextlib.contextmanager
def cluster_of(folder: Path, nodes: int, cpus: int = 1) -> Iterator[Any]:
    """A head without room for trials, and `nodes` nodes of `cpus` each.

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
