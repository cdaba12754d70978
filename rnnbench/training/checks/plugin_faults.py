"""Finds the line of a plugin in which an error arose, so that the right author hears of it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import rnnbench
from rnnbench.contract.plugin import Plugin


def find_own_frame(error: Exception, plugins: Sequence[Plugin]) -> traceback.FrameSummary:
    """Return the innermost frame of an error in the packages of some plugins, else the last one."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [place for plugin in plugins if (place := _place_of(type(plugin))) is not None]
    for frame in reversed(frames):
        file = Path(frame.filename)
        if any(place == file or place in file.parents for place in places):
            return frame
    return frames[-1]


def _place_of(plugin: type[Plugin]) -> Path | None:
    """Return the folder of a plugin's package, or its file where it is in none, or in core.

    None where it came from no file, such as a class made in a notebook.
    """
    package = sys.modules.get(plugin.__module__.partition(".")[0])
    package_file = getattr(package, "__file__", None)
    if package is not rnnbench and hasattr(package, "__path__") and package_file:
        return Path(package_file).parent
    file = getattr(sys.modules.get(plugin.__module__), "__file__", None)
    return Path(file) if file else None
