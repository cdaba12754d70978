"""Finding and describing plugins, without importing them where their source is plain."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
