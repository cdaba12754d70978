"""Plugins that are right but for what their package does when it is imported."""

from rnnbench.registry.guarded_import import import_plugin
from rnnbench.testing import ArchitectureLaws, TaskLaws, TrickLaws

LOUD = import_plugin("changes_the_process")
LAW, WORDS = "import_changes_nothing", "importing changes_the_process prints to standard output"
BROKEN = {
    ArchitectureLaws: (LAW, LOUD.Loud(), WORDS),
    TaskLaws: (LAW, LOUD.LoudTask(), WORDS),
    TrickLaws: (LAW, LOUD.LoudTrick(), WORDS),
}
