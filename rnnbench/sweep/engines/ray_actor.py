"""The seat of the Ray engine: an actor that Ray places on a node."""

from __future__ import annotations

from rnnbench.sweep.engines.seat import Seat


class RaySeat(Seat):
    """A seat that knows its node as Ray does."""

    def where(self) -> str:
        """Return the id of the node that this seat is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())
