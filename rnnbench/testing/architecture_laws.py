"""The laws of architectures: of the backbone, of its cells, and of the models made of them."""

from __future__ import annotations

from typing import ClassVar

from rnnbench.testing import built, cell, common, sequence, wired
from rnnbench.testing.laws import Laws, PluginLaws


class ArchitectureLaws(PluginLaws):
    """Give `tiny`, a small instance, and every law is a test.

    class TestElman(ArchitectureLaws):
        tiny = Elman(hidden=4)
    """

    laws: ClassVar[Laws] = Laws(sequence.LAWS, cell.LAWS, wired.LAWS, built.LAWS, common.LAWS)
