"""An architecture around any backbone, of which the broken ones are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rnnbench.contract import Architecture, Backbone, Refusal, setting
from rnnbench.testing.fixtures.small_architectures import ScannedCell


@dataclass(frozen=True)
class Made(Architecture):
    """Builds one backbone of a class that takes (d_in, hidden).

    Source: made up.
    """

    backbone: ClassVar[type[Backbone]] = ScannedCell
    looks_ahead: ClassVar[bool] = False

    hidden: int = setting(6, "units", low=2)

    def build(self, d_in, *, causal):
        if causal and self.looks_ahead:
            raise Refusal(f"{self.name} looks ahead.\n  Choose a task that allows it.")
        return self.backbone(d_in, self.hidden)


def architecture(backbone: type[Backbone], looks_ahead: bool = False) -> Architecture:
    """An architecture that builds this backbone, found by pickle under its own name."""
    name = f"{backbone.__name__}{'Ahead' if looks_ahead else ''}"
    if f"{name}Architecture" in globals():
        return globals()[f"{name}Architecture"]()
    name += "Architecture"
    cls = type(name, (Made,), {"backbone": backbone, "looks_ahead": looks_ahead,
                               "__module__": __name__, "__doc__": Made.__doc__})  # fmt: skip
    globals()[name] = dataclass(frozen=True)(cls)
    return globals()[name]()
