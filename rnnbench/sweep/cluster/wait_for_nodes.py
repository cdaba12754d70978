"""`rnnbench cluster wait`: waits until all nodes of a Ray cluster that starts are there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray import _raylet
from ray.core.generated import gcs_pb2
from ray.exceptions import AuthenticationError, RpcError

from rnnbench.errors import OutageError
from rnnbench.sweep.cluster.connection import check_reachable
from rnnbench.sweep.engines.protocol import EngineError

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 10.0
TELL_SECONDS = 30.0  # between lines on what is waited for


def wait_for_nodes(
    address: str, nodes: int, seconds: float, say: Callable[[str], None] = print
) -> None:
    """Return once the head at `address` answers and `nodes` nodes, itself included, are alive.

    The head is asked from outside: this machine need not be one of the nodes.

    Args:
        address: host:port of the head.
        seconds: how long to wait at most.
        say: prints a line that tells how far it is.

    Raises:
        OutageError: the time is over.
        EngineError: the head does not take the token of this machine.
    """
    began = told = time.monotonic()
    hosts: list[str] = []
    reason = ""
    while True:
        try:
            check_reachable(address)
            hosts, reason = _hosts(address), ""
        except AuthenticationError as error:
            raise EngineError(
                f"the Ray cluster at {address} does not take the token of this machine: "
                f"{str(error).splitlines()[0]}\n"
                "  RAY_AUTH_TOKEN_PATH has to name the same token on all machines, with "
                "RAY_AUTH_MODE=token."
            ) from error
        except (OSError, RpcError) as error:
            reason = str(error).splitlines()[0]
        if len(hosts) >= nodes:
            say(f"all {nodes} nodes are here: {', '.join(hosts)}")
            return
        now = time.monotonic()
        here = f"{len(hosts)} of {nodes} nodes are here: {', '.join(hosts)}"
        if now - began > seconds:
            raise OutageError(
                (
                    f"no Ray answers at {address} after {seconds:g} s: {reason}\n"
                    "  Did `ray start --head` succeed there?"
                    if reason
                    else f"after {seconds:g} s {here}\n"
                    "  The output of `ray start` on the others tells why they are not."
                )
                + " A start from a slow disk may need a longer --timeout."
            )
        if now - told > TELL_SECONDS:
            told = now
            say(f"waiting for {address}: {reason}" if reason else f"waiting: {here}")
        time.sleep(LOOK_SECONDS)


def _hosts(address: str) -> list[str]:
    """Return the host names of the nodes that are alive, each node's once."""
    raylet: Any = _raylet  # compiled, and without types, like the next
    states: Any = gcs_pb2
    entries = raylet.GcsClient(address=address).get_all_node_info(timeout=ANSWER_SECONDS)
    alive = [e for e in entries.values() if e.state == states.GcsNodeInfo.ALIVE]
    return sorted(e.node_manager_hostname for e in alive)
