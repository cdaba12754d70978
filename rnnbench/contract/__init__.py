"""What a plugin author imports: the three plugin kinds and the few types they speak in.

An Architecture, a Task and a Trick are frozen dataclasses whose fields are their
hyper-parameters. This package imports torch, and of rnnbench only the torch-free `settings`.

Shape suffixes, here and everywhere: B batch, T input steps, S output steps, D input
width, H hidden width, V classes or output width, G gate pre-activations.
"""

from rnnbench.contract.architecture import Architecture, Backbone, Cell, detach
from rnnbench.contract.learning import Learning, WrappedOptimizer
from rnnbench.contract.plugin import Plugin
from rnnbench.contract.task import Data, Items, Meter, Metric, Source, Task
from rnnbench.contract.trick import SITES, Estimator, Trick
from rnnbench.contract.types import (
    Batch,
    Distribution,
    Kind,
    Layout,
    Moment,
    Port,
    Prediction,
    Refusal,
    Result,
    State,
)
from rnnbench.settings import setting

__all__ = [
    "Architecture", "Backbone", "Batch", "Cell", "Data", "Distribution", "Estimator", "Kind",
    "Items", "Layout", "Learning", "Meter", "Metric", "Moment", "Plugin", "Port", "Prediction",
    "Refusal", "Result", "SITES", "Source", "State", "Task", "Trick", "WrappedOptimizer",
    "detach", "setting",
]  # fmt: skip
