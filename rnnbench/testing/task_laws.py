"""The laws of tasks: what their data are, and how success is measured."""

from __future__ import annotations

from typing import ClassVar

from rnnbench.testing import every_plugin as common
from rnnbench.testing.law import Laws, PluginLaws
from rnnbench.testing.tasks import answer_leaks, baselines, split_leaks
from rnnbench.testing.tasks import data as task_data
from rnnbench.testing.tasks import metrics as task_measure


class TaskLaws(PluginLaws):
    """Give `tiny`, a small instance, and every law is a test.

    class TestCharLM(TaskLaws):
        tiny = CharLM(length=10)
    """

    laws: ClassVar[Laws] = Laws(
        task_data.LAWS,
        split_leaks.LAWS,
        answer_leaks.LAWS,
        task_measure.LAWS,
        baselines.LAWS,
        common.LAWS,
    )
