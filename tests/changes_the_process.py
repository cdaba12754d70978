"""A package of plugins whose import changes the process: `laws.broken.imports` imports it."""

from dataclasses import dataclass

from laws.broken.right_tasks import Majority
from laws.broken.whole_models import Wired

from rnnbench.contract import Trick

print("hello from a plugin")


@dataclass(frozen=True)
class Loud(Wired):
    """Source: made up."""


@dataclass(frozen=True)
class LoudTask(Majority):
    """Source: made up."""


@dataclass(frozen=True)
class LoudTrick(Trick):
    """Source: made up."""
