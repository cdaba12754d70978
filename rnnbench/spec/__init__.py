"""The description of a run: composed from defaults, files and the command line, with an identity.
identity."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
