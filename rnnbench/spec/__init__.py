"""What a run is: composing it from defaults, files and the command line, and its identity."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rnnbench.moved import renamed

    return renamed(__name__, name)
