"""Describes a data set before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Picture:
    """A small picture of numbers, which a terminal or a page draws.

    Attributes:
        title: what is drawn, in a few words.
        values: up to a hundred; None where there is nothing.
        form: a "line" over time, or "bars" such as those of a histogram.
        ends: what stands below the first and the last value.
    """

    title: str
    values: tuple[float | None, ...]
    form: Literal["line", "bars"] = "line"
    ends: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class DataCard:
    """A data set as a task reads it.

    Attributes:
        summary: all in one line.
        facts: what was read, by name.
        splits: what each split has, by its name.
        doubts: readings that may be mistakes, each with what to do about it.
    """

    summary: str
    facts: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    doubts: Sequence[str] = ()
    pictures: Sequence[Picture] = ()

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return {
            "summary": self.summary,
            "facts": dict(self.facts),
            "splits": dict(self.splits),
            "doubts": list(self.doubts),
            "pictures": [
                {"title": p.title, "form": p.form, "ends": list(p.ends),
                 "values": [None if v is None else float(f"{v:.4g}") for v in p.values]}
                for p in self.pictures
            ],
        }  # fmt: skip
