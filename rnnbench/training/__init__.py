"""One run, from its spec to its record: step, wiring, dry run, checkpoints, devices."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
