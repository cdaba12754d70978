"""Strings of user interfaces in several languages, paired by their keys. No torch here."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnbench.contract import Source

__all__ = ["fold", "is_short", "short_pairs", "strings_of"]

_LONGEST = 80  # characters of either side: what makes a string short
_SPLITS = ("train", "valid", "test")


def strings_of(name: str, *languages: str) -> Source:
    """Return a source, of this name, of Home Assistant's strings in some languages."""
    return Source(
        name=name,
        origin="wheel:homeassistant==2024.3.3",
        files={f"homeassistant/components/*/translations/{code}.json": "" for code in languages},
        sha256="6e1ec2c07441d63fdcfb8acd2c4bbb6f68bc97330855784d3623d10c38fe3577",
        size=35_392_639,
        licence="Apache-2.0",
        citation="The Home Assistant authors, user-interface strings of release 2024.3.3",
    )


def short_pairs(
    folder: Path, languages: tuple[str, str] = ("en", "de"), second: Path | None = None
) -> tuple[dict[str, list[tuple[str, str, str]]], dict[str, str]]:
    """Return the pairs of each split and the commonest training string of each language.

    A pair is (integration, first, second language); strings are counted before repetitions are
    dropped.

    Args:
        folder: of the first language's source, or of both.
        second: of the second language's source, where it is another one.
    """
    dealt: dict[str, list[tuple[str, str, str]]] = {split: [] for split in _SPLITS}
    one, other = languages
    for path in sorted(
        (second or folder).glob(f"homeassistant/components/*/translations/{other}.json")
    ):
        integration = path.parent.parent.name
        beside = folder / f"homeassistant/components/{integration}/translations/{one}.json"
        if not beside.exists():
            continue  # an integration that was not translated into the first language
        theirs = dict(_strings(json.loads(path.read_text("utf-8"))))
        ours = _strings(json.loads(beside.read_text("utf-8")))
        dealt[_split_of(integration)] += [
            (integration, text, theirs[key])
            for key, text in ours
            if is_short(text) and is_short(theirs.get(key, ""))
        ]
    commonest = {
        language: min(Counter(p[i] for p in dealt["train"]).items(), key=lambda c: (-c[1], c[0]))[0]
        for i, language in enumerate(languages, start=1)
    }
    pairs: dict[str, list[tuple[str, str, str]]] = {}
    earlier: tuple[set[str], set[str]] = (set(), set())
    for split in _SPLITS:
        chosen = {
            (fold(one), fold(other)): (integration, one, other)
            for integration, one, other in reversed(dealt[split])
            if fold(one) not in earlier[0] and fold(other) not in earlier[1]
        }
        pairs[split] = list(chosen.values())[::-1]
        for side, seen in enumerate(earlier):
            seen |= {folded[side] for folded in chosen}
    return pairs, commonest


def fold(text: str) -> str:
    """Return what strings share that differ in case, digits, punctuation or placeholders only."""
    text = re.sub(r"\{[^}]*\}|%\([^)]*\)\w|\d+", "0", text.casefold())
    return " ".join(re.findall(r"\w+", text))


def _strings(node: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the strings of a nested JSON object, with white space folded, by their paths."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _strings(child, (*key, name))
    elif isinstance(node, str) and "\n" not in node:
        yield key, " ".join(node.split())


def is_short(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and "://" not in text and any(c.isalpha() for c in text)


def _split_of(integration: str) -> str:
    """Return the split of an integration: the same on every machine and in later releases."""
    tenth = int.from_bytes(hashlib.sha256(integration.encode()).digest()[:4], "big") % 10
    return {0: "test", 1: "valid"}.get(tenth, "train")
