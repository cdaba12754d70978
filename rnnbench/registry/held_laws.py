"""Remembers of plugins of third parties which laws they kept, and for which code. No torch here.

`rnnbench check-plugin` notes its verdict in the user's state folder. A run notes the code of its
plugins in its record, with the verdict on that code where there is one, so that boards can say
whether what they rank was held to the laws.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from rnnbench.files.atomic import replace_file
from rnnbench.registry.given_classes import SESSION, code_in, given_class
from rnnbench.registry.registry import discover
from rnnbench.registry.schema import Entry

OWN = "rnnbench"  # the distribution whose plugins are held to their laws before each release


def folder() -> Path:
    """Return the folder in which verdicts are kept."""
    return Path(platformdirs.user_state_dir("rnnbench", appauthor=False))


def code_of(entry: Entry) -> str:
    """Return a hash of the source of a plugin's package, "" where it cannot be found."""
    top = entry.target.partition(":")[0].partition(".")[0]
    try:
        found = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ""
    if found is None:
        return ""
    places = [Path(p) for p in found.submodule_search_locations or ()]
    files = [f for place in places for f in sorted(place.rglob("*.py"))]
    if not places and found.origin:
        files = [Path(found.origin)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12] if files else ""


def note_verdict(
    entry: Entry, held: int, broken: Iterable[str], suspect: Iterable[str] = ()
) -> None:
    """Keep what the laws said of a plugin as it is now.

    Args:
        held: number of laws that it keeps.
        broken, suspect: names of those that it breaks, or may break.

    Raises:
        OSError: the folder cannot be written to.
    """
    verdicts = verdicts_noted()
    verdicts[_key(entry)] = {
        "version": entry.version, "code": code_of(entry), "held": held, "broken": list(broken),
        "suspect": list(suspect),
    }  # fmt: skip
    folder().mkdir(parents=True, exist_ok=True)
    replace_file(folder() / "laws.json", json.dumps(verdicts, indent=1))


def verdicts_noted() -> dict[str, dict[str, Any]]:
    """Return all verdicts that were noted on this machine, by "distribution/kind/name"."""
    try:
        return dict(json.loads((folder() / "laws.json").read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def verdict_of(entry: Entry) -> dict[str, Any] | None:
    """Return the verdict that was noted of a plugin last, None where there is none."""
    return verdicts_noted().get(_key(entry))


def describe_third_parties(names: Iterable[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Return version and code of plugins that are not rnnbench's own, and the verdict on them.

    Args:
        names: (kind, name) of each plugin.
    Returns:
        For each of a third party, by "kind/name": distribution, version, code and laws: the last
        verdict that was noted here, or None. What was given as a class of a Python session has
        that in its distribution's place, and no version.
    """
    installed: Mapping[str, Mapping[str, Entry]] = discover()[0]
    described: dict[str, dict[str, Any]] = {}
    for kind, name in names:
        if given_class(kind, name) is not None:
            described[f"{kind}/{name}"] = {
                "distribution": SESSION, "version": None, "code": code_in(name), "laws": None,
            }  # fmt: skip
            continue
        entry = installed[kind].get(name)
        if entry is None or entry.distribution == OWN:
            continue
        described[f"{kind}/{name}"] = {
            "distribution": entry.distribution, "version": entry.version,
            "code": code_of(entry), "laws": verdict_of(entry),
        }  # fmt: skip
    return described


def _key(entry: Entry) -> str:
    return f"{entry.distribution}/{entry.kind}/{entry.name}"
