"""The name of a data set: the label that a user gave it, else the name of the file that is read.

A label is no setting: it names what a run reads, and changes nothing in it. A run under another
label is the same run, and has the same id.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from rnnbench.errors import SpecError

LABEL = "label"  # of a task's entry, where no field of the task has this name
LONGEST = 60  # characters of a label
_HELD_OUT = ("test", "valid", "target")  # how settings of further files begin
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]*")
_FILE_SETTING = re.compile(r"path|file|folder|train|\w+_(path|file|folder)")
_PATTERN = re.compile(r"[*?\[]")


def read_label(value: Any, place: str) -> str:
    """Return the label of a data set as it was written.

    Args:
        place: where it was written, as the beginning of a message.
    Raises:
        SpecError: it is no text of one short line.
    """
    if not isinstance(value, str):
        raise SpecError(
            f'{place}task.{LABEL}={value!r}: a label is text; in a file write {LABEL}: "{value}"'
        )
    text = str(value).strip()
    if len(text) > LONGEST or any(unicodedata.category(c).startswith("C") for c in text):
        raise SpecError(
            f"{place}task.{LABEL} names a data set in one line of up to {LONGEST} characters, "
            f"got {text[:80]!r}"
        )
    return text


def file_that_is_read(settings: Mapping[str, Any]) -> str:
    """Return the name of a user's own file among a task's settings, without its folder; or "".

    Of several that of training counts.
    """
    named = [name for name, value in sorted(settings.items()) if _names_a_file(name, value)]
    first = [name for name in named if not name.startswith(_HELD_OUT)] or named
    if not first:
        return ""
    path = PurePath(str(settings[first[0]]))
    return "/".join(path.parts[-2:]) if _PATTERN.search(path.name) else path.name


def _names_a_file(name: str, value: Any) -> bool:
    if not isinstance(value, str) or not value.strip():
        return False
    by_name = _FILE_SETTING.fullmatch(name) is not None
    return by_name or _ENDING.fullmatch(PurePath(value).suffix) is not None
