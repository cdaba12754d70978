"""Where modules and names of earlier versions are now, so that plugins written for them go on.

Importing an old module gives the new one's names and a `DeprecationWarning` that says what to
write instead. What an old package re-exported under another name is found by `renamed`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Sequence
from typing import Any

# Old module, then the module that has its names now; all below `rnnbench`.
_MODULES = """
settings contract.settings
contract.learning contract.estimation
source registry.schema_from_source
scaffold registry.scaffold
literature registry.published_results
compose spec.compose
request spec.from_command_line
yamltext files.yaml_with_lines
nn.gates nn.cells.gate_wrappers
nn.initialisation nn.cells.gate_names
nn.named nn.cells.by_name
nn.passes nn.temporary_weights
nn.watching nn.estimators.observe_cells
nn.online nn.estimators.forward_mode
nn.stepping nn.estimators.one_step
nn.averaging nn.averaged_weights
nn.whole nn.whole_input
nn.towers nn.residual_blocks
nn.at_once nn.direct_forecast
nn.decoding nn.models.decoding
nn.encoder_decoder nn.models.encoder_decoder
nn.rows nn.layouts.ragged
nn.trees nn.layouts.trees
nn.grids nn.layouts.grids
nn.linear_cells nn.linear.cells
nn.linear_scan nn.linear.scan
nn.scan.tiers nn.scan.choice
nn.scan.trace nn.scan.unsupported
nn.meters metrics.base
nn.meters_text metrics.sequences
nn.meters_forecasting metrics.forecasting
data.sources data.fetching.sources
data.origins data.fetching.origins
data.download data.fetching.download
data.archives data.fetching.archives
data.store data.fetching.cached_folders
data.streams data.online_stream
data.corpus data.text.corpus
data.textfiles data.text.files
data.tokenisers data.text.tokenisers
data.ngrams data.text.ngrams
data.vectors data.text.word_vectors
data.parallel data.text.parallel_files
data.windows data.series.series
data.tables data.series.tables
data.times data.series.time_formats
data.timeline data.series.regular_steps
data.calendar data.series.calendar_features
data.naive data.series.naive_forecasts
data.synthetic data.tasks.synthetic
data.language data.tasks.language
data.translation data.tasks.translation
data.text_translation data.tasks.corpus_translation
data.labelled data.tasks.labelled_text
data.forecasting data.tasks.forecasting
runner training.execute
step training.train_step
model training.wiring
check training.dry_run
evaluate training.evaluate
checkpoint training.checkpoint
record results.record
provenance results.provenance
store results.store
remote results.remote
database results.database
board leaderboard.types
testing.laws testing.law
testing.architecture testing.architecture_laws
testing.task testing.task_laws
testing.trick testing.trick_laws
testing.toys testing.fixtures.toy_tasks
testing.small testing.fixtures.small_architectures
"""
MODULES = {
    f"rnnbench.{old}": f"rnnbench.{new}"
    for old, new in (line.split() for line in _MODULES.strip().splitlines())
}

# Names that a package had under another name, or a module before it became a package.
NAMES = {
    "rnnbench.contract": {"Items": "task:ItemScores", "Learning": "estimation:EstimatorInput"},
    "rnnbench.contract.estimation": {"Learning": "estimation:EstimatorInput"},
    "rnnbench.contract.task": {"Items": "task:ItemScores"},
    "rnnbench.nn": {"Whole": "whole_input:WholeInputBackbone"},
    "rnnbench.nn.scan.choice": {"watched": "scan.choice:operators_are_watched"},
    "rnnbench.nn.whole_input": {"Whole": "whole_input:WholeInputBackbone"},
    "rnnbench.data": {"Status": "fetching.sources:SourceStatus"},
    "rnnbench.data.tasks.translation": {"Translation": "tasks.translation:TranslationTask"},
    "rnnbench.data.text.files": {"Recipe": "text.files:TokenRecipe"},
    "rnnbench.training.train_step": {"Tricks": "train_step:TrickFold"},
}
# Packages that took the name of a module: all of the module's names.
PACKAGES = {
    "rnnbench.nn.cells": (
        "rnnbench.nn.cells.gated",
        "rnnbench.nn.cells.fast",
        "rnnbench.nn.cells.wrapper",
        "rnnbench.nn.cells.stack",
        "rnnbench.nn.refusals",
    ),
    "rnnbench.nn.models": ("rnnbench.nn.models.base",),
    "rnnbench.data.text": ("rnnbench.data.text.tokens",),
    "rnnbench.data.series": ("rnnbench.data.series.series",),
    "rnnbench.registry": ("rnnbench.registry.registry", "rnnbench.registry.schema"),
    "rnnbench.spec": ("rnnbench.spec.run_spec",),
    "rnnbench.training": ("rnnbench.training.lightning_module",),
    "rnnbench.leaderboard": ("rnnbench.leaderboard.boards",),
}


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}: import it from there", DeprecationWarning, stacklevel=4)


def renamed(package: str, name: str) -> Any:
    """Return what `package` called `name` in an earlier version, and warn of its new name.

    Raises:
        AttributeError: it never had such a name.
    """
    new = NAMES.get(package, {}).get(name)
    if new is not None:
        module, _, attribute = new.partition(":")
        base = (
            package if package.count(".") == 1 else package.rsplit(".", package.count(".") - 1)[0]
        )
        home = f"{base}.{module}"
        _warn(f"{package}.{name}", f"{home}.{attribute}")
        return getattr(importlib.import_module(home), attribute)
    if not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}") is None:
        for home in PACKAGES.get(package, ()):
            value = getattr(importlib.import_module(home), name, None)
            if getattr(value, "__module__", None) == home:
                _warn(f"{package}.{name}", f"{home}.{name}")
                return value
    raise AttributeError(f"module {package!r} has no attribute {name!r}")


class _OldModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules by the names that they had."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in MODULES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: types.ModuleType) -> None:
        new = MODULES[module.__name__]
        warnings.warn(f"{module.__name__} is now {new}: import it from there", DeprecationWarning,
                      stacklevel=7)  # fmt: skip
        home = importlib.import_module(new)

        def find(name: str) -> Any:
            return getattr(home, name) if hasattr(home, name) else renamed(new, name)

        module.__doc__ = home.__doc__
        module.__dict__["__getattr__"] = find


def install() -> None:
    """Let old names be found after all present ones."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())
