"""The laws of tasks: what their data are, and how success is measured."""

from __future__ import annotations

from typing import ClassVar

from rnnbench.testing import baselines, common, task_data, task_measure
from rnnbench.testing.laws import Laws, PluginLaws


class TaskLaws(PluginLaws):
    """Give `tiny`, a small instance, and every law is a test.

    class TestCharLM(TaskLaws):
        tiny = CharLM(length=10)
    """

    laws: ClassVar[Laws] = Laws(task_data.LAWS, task_measure.LAWS, baselines.LAWS, common.LAWS)
