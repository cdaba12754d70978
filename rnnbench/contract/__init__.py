"""The names that a plugin author imports: the three plugin kinds and the types they speak in.

An Architecture, a Task and a Trick are frozen dataclasses whose fields are their
hyper-parameters. Names are imported at first use: `setting` and the names of sites need no torch.

Shape suffixes, here and everywhere: B batch, T input steps, S output steps, D input
width, H hidden width, V classes or output width, G gate pre-activations.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rnnbench.moved import renamed

if TYPE_CHECKING:
    from rnnbench.contract.answers import Answers
    from rnnbench.contract.architecture import Architecture, Backbone, Cell, detach
    from rnnbench.contract.data_card import DataCard, Picture
    from rnnbench.contract.estimation import Estimator, EstimatorInput
    from rnnbench.contract.names import SITES, Kind
    from rnnbench.contract.optimizer import WrappedOptimizer, decays, undecayed
    from rnnbench.contract.plugin import Plugin
    from rnnbench.contract.rehearsal import in_dry_run
    from rnnbench.contract.settings import setting
    from rnnbench.contract.task import Data, ItemScores, Meter, Metric, Source, Task
    from rnnbench.contract.trick import Trick
    from rnnbench.contract.types import (
        Batch,
        Distribution,
        Layout,
        Moment,
        Port,
        Prediction,
        Result,
        State,
    )
    from rnnbench.errors import Refusal

_HOME = {
    "rnnbench.contract.answers": ("Answers",),
    "rnnbench.contract.architecture": ("Architecture", "Backbone", "Cell", "detach"),
    "rnnbench.contract.data_card": ("DataCard", "Picture"),
    "rnnbench.contract.estimation": ("Estimator", "EstimatorInput"),
    "rnnbench.contract.names": ("SITES", "Kind"),
    "rnnbench.contract.optimizer": ("WrappedOptimizer", "decays", "undecayed"),
    "rnnbench.contract.plugin": ("Plugin",),
    "rnnbench.contract.rehearsal": ("in_dry_run",),
    "rnnbench.contract.settings": ("setting",),
    "rnnbench.contract.task": (
        "Data", "ItemScores", "Meter", "Metric", "Source", "Task",
    ),
    "rnnbench.contract.trick": ("Trick",),
    "rnnbench.contract.types": (
        "Batch", "Distribution", "Layout", "Moment", "Port", "Prediction",
        "Result", "State",
    ),
    "rnnbench.errors": ("Refusal",),
}  # fmt: skip

__all__ = [
    "SITES",
    "Answers",
    "Architecture",
    "Backbone",
    "Batch",
    "Cell",
    "Data",
    "DataCard",
    "Distribution",
    "Estimator",
    "EstimatorInput",
    "ItemScores",
    "Kind",
    "Layout",
    "Meter",
    "Metric",
    "Moment",
    "Picture",
    "Plugin",
    "Port",
    "Prediction",
    "Refusal",
    "Result",
    "Source",
    "State",
    "Task",
    "Trick",
    "WrappedOptimizer",
    "decays",
    "detach",
    "in_dry_run",
    "setting",
    "undecayed",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    return renamed(__name__, name)
