"""Plugins of every kind with one fault each: (the law that it breaks, the plugin, words of the
example that is shown)."""

import broken_architectures
import broken_tasks
import broken_tricks

from rnnbench.testing import ArchitectureLaws, TaskLaws, TrickLaws

BROKEN = {
    ArchitectureLaws: broken_architectures.BROKEN,
    TaskLaws: broken_tasks.BROKEN,
    TrickLaws: broken_tricks.BROKEN,
}
