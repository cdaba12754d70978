"""Models: what all share, decoding, and the encoder with its attending decoder."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
