"""Results of the literature, which a task's package lists beside its code. No torch here.

A task NAME of a package finds them in `literature/NAME.yaml`, in the folder of the module that
defines it; so a package of somebody else's has its own:

    - model: LSTM, 2 layers of 1500, dropout 0.65    # what was measured
      metric: perplexity                             # as the task calls it
      value: 78.4
      paper: Zaremba, Sutskever and Vinyals (2014), arXiv:1409.2329
      where: table 1
      year: 2014
      protocol: words, test, one model, state carried
      known: measured by its authors
      settings: {length: 100}                        # only beside boards with these; optional
      spread: 0.5                                    # as its paper gives it; optional

They stand beside measured rows, and never rank with them: other code, budgets and searches.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnbench.errors import UserError
from rnnbench.files.yaml_with_lines import YamlError, YamlText, read_yaml
from rnnbench.registry.registry import discover
from rnnbench.registry.schema import Entry

KNOWN = (
    "measured by its authors",
    "measured by others",
    "quoted by another paper",
    "from its authors' code or logs",
)
"""How a figure is known: the provenance tag of each result."""

LINKS = re.compile(r"arXiv:(\d{4}\.\d{4,5})|doi:(10\.\d{4,9}/[^\s,;]+)|(https://[^\s,;]+)")


class LiteratureError(UserError, ValueError):
    """A file of results cannot be read; the message names file and line."""


@dataclass(frozen=True)
class Published:
    """A figure that somebody published.

    Attributes:
        settings: of the task, which a board must have to stand beside it.
        spread: standard deviation or half-width, as its paper gives it.
    """

    model: str
    metric: str
    value: float
    paper: str
    where: str
    year: int
    protocol: str
    known: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    spread: float | None = None

    @property
    def short(self) -> str:
        """Return whom to name in a narrow place: "Zaremba (2014)"."""
        return f"{re.split(r'[,(]| and ', self.paper, maxsplit=1)[0].strip()} ({self.year})"

    @property
    def link(self) -> str:
        """Return the https address of the paper, "" where it names none."""
        match = LINKS.search(self.paper)
        if match is None:
            return ""
        arxiv, doi, address = match.groups()
        return f"https://arxiv.org/abs/{arxiv}" if arxiv else (
            f"https://doi.org/{doi}" if doi else address
        )  # fmt: skip

    def belongs(self, settings: Mapping[str, Any]) -> bool:
        """Tell whether it stands beside a board of the task with these settings."""
        return all(settings.get(name) == value for name, value in self.settings.items())


def published(task: str) -> tuple[Published, ...]:
    """Return the results that a task's package lists; () if there are none, or it is not installed.

    Raises:
        LiteratureError: the list cannot be read.
    """
    entry = discover()[0]["tasks"].get(task)
    path = None if entry is None else file_of(entry)
    return () if path is None else read_published(path)


def file_of(entry: Entry) -> Path | None:
    """Return where a task's results are listed, None where there is no such file."""
    from rnnbench.registry import schema_from_source

    source = schema_from_source.file_of(entry)
    if source is None or not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", entry.name):
        return None
    path = source.parent / "literature" / f"{entry.name}.yaml"
    return path if path.is_file() else None


def read_published(path: Path) -> tuple[Published, ...]:
    """Read a file of results.

    Raises:
        LiteratureError: it is no list of results, or a field is unknown, missing or mistyped.
    """
    try:
        text = read_yaml(path)
    except (YamlError, OSError, UnicodeDecodeError) as error:
        raise LiteratureError(str(error)) from error
    if not isinstance(text.value, list):
        raise LiteratureError(f"{path.name}: the results of a task are a list")
    return tuple(_read_result(text, place, result) for place, result in enumerate(text.value))


TYPES: dict[str, tuple[type, ...]] = {
    "value": (int, float), "spread": (int, float), "year": (int,), "settings": (dict,),
}  # fmt: skip
WORDS = {float: "a number", int: "a whole number", str: "text", dict: "a mapping"}


def _read_result(text: YamlText, place: int, result: Any) -> Published:
    where = text.at(place)
    if not isinstance(result, dict):
        raise LiteratureError(f"{where}: a result is a mapping with model, metric, value, …")
    fields = {f.name: f for f in dataclasses.fields(Published)}
    optional = {"settings", "spread"}
    if wrong := sorted(set(result) - set(fields)) or sorted(set(fields) - set(result) - optional):
        names = ", ".join(fields)
        raise LiteratureError(
            f"{where}: missing or unknown {', '.join(wrong)}; a result has {names}"
        )
    for name, value in result.items():
        types = TYPES.get(name, (str,))
        if not isinstance(value, types) or isinstance(value, bool):
            raise LiteratureError(f"{where}: {name} is {value!r}, expected {WORDS[types[-1]]}")
    if result["known"] not in KNOWN:
        raise LiteratureError(f"{where}: known is one of: {'; '.join(KNOWN)}")
    return Published(**result)
