"""Plugins with one fault each: (the law broken, the plugin, words of the example shown)."""

from laws.broken import (
    architecture_cells,
    architecture_models,
    architecture_states,
    architecture_training,
    imports,
    task_data,
    task_leaks,
    task_metrics,
    trick_refusals,
    trick_steps,
    trick_training,
    whole_models,
)
from rnnbench.testing import ArchitectureLaws, TaskLaws, TrickLaws

BROKEN = {
    ArchitectureLaws: [
        *architecture_states.BROKEN,
        *architecture_cells.BROKEN,
        *architecture_models.BROKEN,
        *architecture_training.BROKEN,
        *whole_models.BROKEN,
        imports.BROKEN[ArchitectureLaws],
    ],
    TaskLaws: [
        *task_data.BROKEN,
        *task_leaks.BROKEN,
        *task_metrics.BROKEN,
        imports.BROKEN[TaskLaws],
    ],
    TrickLaws: [
        *trick_refusals.BROKEN,
        *trick_training.BROKEN,
        *trick_steps.BROKEN,
        imports.BROKEN[TrickLaws],
    ],
}

# Those that a law can only suspect: their authors may give a reason.
SUSPECT = {
    ArchitectureLaws: architecture_states.SUSPECT + architecture_training.SUSPECT,
    TaskLaws: task_leaks.SUSPECT,
    TrickLaws: trick_steps.SUSPECT,
}
