"""Counts the faults of a cluster's nodes, and sets a bad node aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

FAULTS = 3  # workers lost in a row on a node, without a job ended, before it is set aside
NODE_ID = "ray.io/node-id"


class NodeFaults:
    """The faults of nodes, and the nodes that were set aside for them."""

    def __init__(self) -> None:
        self._lost: Counter[str] = Counter()  # workers lost on a node since it last ended a job
        self._aside: set[str] = set()

    def add(self, node: str, nodes: Collection[str]) -> bool:
        """Count a worker that was lost on a node.

        Args:
            nodes: all nodes of the cluster.

        Returns:
            Whether the node is set aside now: it only loses workers, and there are others.
        """
        self._lost[node] += 1
        if self._lost[node] < FAULTS or node in self._aside:
            return False
        return self.set_aside(node, nodes)

    def set_aside(self, node: str, nodes: Collection[str]) -> bool:
        """Set a node aside that cannot be used; return False where there is no other one."""
        if not set(nodes) - self._aside - {node}:
            return False
        self._aside.add(node)
        return True

    def clear(self, node: str) -> None:
        """Forget the faults of a node that has ended a job."""
        self._lost[node] = 0

    def label_selector(self) -> dict[str, str]:
        """Return the selector by which Ray avoids the nodes that were set aside."""
        return {NODE_ID: f"!in({','.join(sorted(self._aside))})"} if self._aside else {}
