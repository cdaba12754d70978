"""The laws of architectures: of the backbone, of its cells, and of the models made of them."""

from __future__ import annotations

from typing import ClassVar

from rnnbench.testing import every_plugin as common
from rnnbench.testing.architectures import backbone as sequence
from rnnbench.testing.architectures import build as built
from rnnbench.testing.architectures import cell, gradients, settings
from rnnbench.testing.architectures import model as wired
from rnnbench.testing.law import Laws, PluginLaws


class ArchitectureLaws(PluginLaws):
    """Give `tiny`, a small instance, and every law is a test.

    class TestElman(ArchitectureLaws):
        tiny = Elman(hidden=4)
    """

    laws: ClassVar[Laws] = Laws(
        sequence.LAWS, gradients.LAWS, cell.LAWS, wired.LAWS, built.LAWS, settings.LAWS,
        common.LAWS,
    )  # fmt: skip
