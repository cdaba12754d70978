"""A plugin as it is known without running it: its entry point, its fields, its sites."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KINDS = ("architectures", "tasks", "tricks")


# What a `setting` states, and what it states by default.
FACTS: Mapping[str, Any] = {
    "help": "", "unit": None, "low": None, "high": None, "search": None, "plugin": None,
    "width": None, "revised": (), "added": None,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One plugin as its distribution announces it."""

    kind: str  # "architectures", "tasks" or "tricks"
    name: str
    target: str  # "module:Class"
    distribution: str
    version: str  # of the distribution


@dataclass(frozen=True)
class FieldSchema:
    """A hyper-parameter. `type` is a Python type such as `int` or `Literal["a", "b"]`."""

    name: str
    type: Any
    default: Any
    help: str = ""
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    search: tuple[Any, ...] | None = None
    plugin: str | None = None
    width: bool = False
    revised: tuple[Any, ...] = ()
    added: bool = False

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def type_name(self) -> str:
        if typing.get_origin(self.type) is None and isinstance(self.type, type):
            return self.type.__name__
        return str(self.type).replace("typing.", "")

    def as_field(self) -> tuple[str, Any, Any]:
        """Return the field as `dataclasses.make_dataclass` takes it."""
        info = {k: getattr(self, k) for k in FACTS}
        return self.name, self.type, dataclasses.field(default=self.default, metadata=info)


@dataclass(frozen=True)
class Schema:
    """A plugin as it is known without running it: its fields, and facts about it."""

    kind: str
    name: str
    doc: str
    fields: Mapping[str, FieldSchema]
    version: int = 1
    sites: tuple[str, ...] = ()  # of a trick
    task_kind: str = ""  # of a task: "aligned", ...
    recommended: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of a task

    @property
    def width(self) -> str | None:
        """Return the field that an architecture's size follows from; None where it has none."""
        declared = [name for name, field in self.fields.items() if field.width]
        return declared[0] if declared else "hidden" if "hidden" in self.fields else None

    @property
    def help(self) -> str:
        """Return the first line of the docstring."""
        return self.doc.strip().split("\n")[0].strip()

    @property
    def source(self) -> str:
        """Return the paper, from the docstring's `Source:` paragraph."""
        _, mark, text = self.doc.partition("Source:")
        paragraph = text.split("\n\n")[0]
        return " ".join(paragraph.split()) if mark else ""


@dataclass(frozen=True)
class BrokenPlugin:
    """An entry point or a whole distribution that cannot be used, and why."""

    kind: str
    name: str
    distribution: str
    reason: str
