"""Plugins of every kind with one fault each: (the law that it breaks, the plugin, words of the
example that is shown)."""

import laws.broken_architectures as broken_architectures
import laws.broken_tasks as broken_tasks
import laws.broken_tricks as broken_tricks

from rnnbench.testing import ArchitectureLaws, TaskLaws, TrickLaws

BROKEN = {
    ArchitectureLaws: broken_architectures.BROKEN,
    TaskLaws: broken_tasks.BROKEN,
    TrickLaws: broken_tricks.BROKEN,
}
