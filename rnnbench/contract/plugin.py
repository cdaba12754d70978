"""The base class of the three plugin kinds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from rnnbench.contract.settings import out_of_range


def kebab(class_name: str) -> str:
    """Return the plugin name of a class: `CharLM` -> `char-lm`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name).lower()


class Plugin:
    """The base of the three kinds of plugins. Subclasses are frozen dataclasses.

    Class attributes:
        name: as in the entry point; by default the class name in kebab case.
        version: raise it when the same settings come to mean something else; it is part of
            every run's identity, so old results stay apart from new ones.
        tiny: settings of a small instance, on which laws are checked; by default `hidden=8`
            where there is such a field.
        declares: why the plugin is as a law finds suspect or broken, by the law's name, for laws
            that allow it: {"gradients_are_true": "a step function learns by the slope of a
            sigmoid (straight-through)"}. The reason stands on boards, beside the plugin's row.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    tiny: ClassVar[Mapping[str, Any]] = {}
    declares: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = kebab(cls.__name__)

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            problem = out_of_range(f, getattr(self, f.name))
            if problem:  # shown as a SpecError, with the place of the setting
                raise ValueError(f"{self.name}: {f.name} {problem}")
