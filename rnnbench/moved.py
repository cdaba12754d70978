"""Where modules and names of earlier versions are now, so that plugins written for them go on.

An old module can still be imported. Each name that is taken from it, or from a package that knew
it under another name, gives today's object and a `DeprecationWarning` at the line that asked,
which says what to write instead. Modules that plugins cannot have any more give an `ImportError`
that says what to do.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any, cast

# Old module, then the modules that have its names now; all below `rnnbench`.
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
nn.scan.agreement nn.scan.verify_kernel nn.scan.eager
nn.scan.tiers nn.scan.choice nn.scan.dispatch
nn.scan.trace nn.scan.trace_step nn.scan.cell_snapshot nn.scan.unsupported nn.scan.eager
nn.meters metrics.base
nn.meters_text metrics.sequences
nn.meters_forecasting metrics.forecasting
data.sources data.fetching.sources
data.origins data.fetching.origins
data.download data.fetching.download
data.mirror data.fetching.user_mirror
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
data.timeline data.series.regular_steps data.series.cut_points
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
HOMES = {
    f"rnnbench.{old}": tuple(f"rnnbench.{home}" for home in homes)
    for old, *homes in (line.split() for line in _MODULES.strip().splitlines())
}
MODULES = {old: homes[0] for old, homes in HOMES.items()}

# Packages that took the name of a module: the modules that have that module's names now.
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
    "rnnbench.training": ("rnnbench.training.run", "rnnbench.training.lightning_module"),
    "rnnbench.leaderboard": ("rnnbench.leaderboard.boards",),
}

# Names that were changed: old module, old name, and where it is now; all below `rnnbench`.
_NAMES = """
contract Items contract.task:ItemScores
contract Learning contract.estimation:EstimatorInput
contract.learning Learning contract.estimation:EstimatorInput
contract.learning WrappedOptimizer contract.optimizer:WrappedOptimizer
contract.task Items contract.task:ItemScores
contract.types Refusal errors:Refusal
nn Whole nn.whole_input:WholeInputBackbone
nn.encoder_decoder Plan nn.models.encoder_decoder:EncoderDecoderChoices
nn.gates Remembering nn.cells.gate_wrappers:StatefulGateWrapper
nn.meters LanguageModelling metrics.text:LanguageModelling
nn.meters Translation metrics.text:Translation
nn.meters_forecasting Unit metrics.forecasting:WindowUnit
nn.online Step nn.estimators.one_step:DifferentiableStep
nn.passes Stand nn.temporary_weights:TemporaryWeight
nn.scan.tiers watched nn.scan.choice:operators_are_watched
nn.scan.trace Failed nn.scan.unsupported:KernelFailed
nn.scan.trace Inside nn.scan.cell_snapshot:CellSnapshot
nn.scan.trace look_inside nn.scan.cell_snapshot:take_snapshot
nn.scan.trace Site nn.scan.trace_step:ConstantProduct
nn.scan.trace Step nn.scan.trace_step:TracedStep
nn.stepping Step nn.estimators.one_step:DifferentiableStep
nn.watching Glimpse nn.estimators.observe_cells:CellObservation
nn.watching Reading nn.estimators.observe_cells:EmbeddingObservation
nn.whole Whole nn.whole_input:WholeInputBackbone
data Status data.fetching.sources:SourceStatus
data.sources Status data.fetching.sources:SourceStatus
data.tables Reading data.series.tables:TableFormat
data.textfiles Recipe data.text.files:TokenRecipe
data.timeline Step data.series.regular_steps:TimeStep
data.translation Translation data.tasks.translation:TranslationTask
step Tricks training.train_step:TrickFold
testing.small Scanned testing.fixtures.small_architectures:ScannedLayers
testing.small Whole testing.fixtures.small_architectures:WholeLayer
"""
NAMES: dict[str, dict[str, str]] = {}
for _module, _old, _new in (line.split() for line in _NAMES.strip().splitlines()):
    NAMES.setdefault(f"rnnbench.{_module}", {})[_old] = f"rnnbench.{_new}"

# Modules that became private parts of the plugin packages, which core never imports.
_WITH_PLUGINS = """
nn.delays rnnbench_architectures._delays
nn.shortcuts rnnbench_tricks._shortcuts
nn.reminded rnnbench_tricks._sparse_attentive_cell
nn.words rnnbench_tricks._word_dropout
data.interface_strings rnnbench_tasks._interface_strings
data.tsf rnnbench_tasks._tsf
data.recall rnnbench_tasks._recall
data.pointers rnnbench_tasks._pointers
data.grammars rnnbench_tasks._grammars
data.trees rnnbench_tasks._trees
data.treebank rnnbench_tasks._treebank
data.digits rnnbench_tasks._digits
data.mnist rnnbench_tasks._mnist
data.ett rnnbench_tasks._ett
"""
# Modules, and names of modules, that no plugin was offered, and that were rebuilt.
_INTERNAL = {
    "nn": "linear_kernel linear_triton",
    "nn.scan": "back build compiled elements emit maps maths native plan products replay scalars "
    "writer",
    "nn.scan.tiers": "TIERS",
    "testing": "backbones baselines built cell common elsewhere ports reading rehearsal sequence "
    "task_data task_measure trick_evaluation wired",
}
GONE = {
    f"rnnbench.{old}": f"rnnbench.{old} belongs to rnnbench's own plugins now, as {new}, and may "
    f"change with them. Copy the part that you need into your package, or import it from {new} at "
    "your own risk"
    for old, new in (line.split() for line in _WITH_PLUGINS.strip().splitlines())
} | {
    f"rnnbench.{package}.{module}": f"rnnbench.{package}.{module} was a part inside of rnnbench, "
    "and is gone. Plugins import from rnnbench.contract, rnnbench.nn, rnnbench.metrics, "
    "rnnbench.data and rnnbench.testing"
    for package, modules in _INTERNAL.items()
    for module in modules.split()
}

_warned: set[tuple[str, str, int]] = set()  # what, in which file, in which line


def _is_module(name: str) -> bool:
    """Tell whether a module of today has this name; the import is for plugins of old alone."""
    import importlib.util

    return importlib.util.find_spec(name) is not None


def renamed(module: str, name: str) -> Any:
    """Return what `module` called `name` in an earlier version, and warn of what to write now.

    Args:
        module: a module of an earlier version, or a package that stands in its place.
    Raises:
        AttributeError: it never had such a name.
        ImportError: plugins cannot have it any more; says what to do.
    """
    full = f"{module}.{name}"
    missing = AttributeError(f"module {module!r} has no attribute {name!r}")
    if name.startswith("_"):
        raise missing
    if full in GONE:
        raise ImportError(GONE[full], name=module)
    new = NAMES.get(module, {}).get(name)
    if new is not None:
        home, _, attribute = new.partition(":")
        value = getattr(importlib.import_module(home), attribute)
        _warn(full, home, attribute, value)
        return value
    if full in MODULES:
        return importlib.import_module(full)
    if module in MODULES:
        homes = HOMES[module]
    elif module in PACKAGES and not _is_module(full):
        homes = PACKAGES[module]
    else:
        raise missing
    public = ".".join(homes[0].split(".")[:2])
    for home in (*homes, public):
        found = importlib.import_module(home)
        if home == public and name not in getattr(found, "__all__", ()):
            break
        value = getattr(found, name, missing)
        if value is not missing and not isinstance(value, types.ModuleType):
            _warn(full, home, name, value)
            return value
    raise missing


def present_place(module: str, name: str) -> tuple[str, str]:
    """Return the module and the name of what an old module called `name`; imports nothing.

    What was never moved is returned as it is.
    """
    home, _, attribute = NAMES.get(module, {}).get(name, "").partition(":")
    return (home, attribute) if home else (MODULES.get(module, module), name)


def _warn(old: str, home: str, name: str, value: Any) -> None:
    """Warn the line that took an old name, once, and say the shortest way to write it now."""
    short = ".".join(home.split(".")[:2])
    if home == "rnnbench.errors":
        short = "rnnbench.contract"
    package = sys.modules.get(short) or importlib.import_module(short)
    if name in getattr(package, "__all__", ()) and getattr(package, name) is value:
        home = short
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_globals.get("__name__") == __name__
        or frame.f_code.co_name == "__getattr__"
        or frame.f_code.co_filename.startswith("<frozen importlib.")
    ):
        frame = frame.f_back
    where = (old, frame.f_code.co_filename, frame.f_lineno)
    if where in _warned:
        return  # `from package import name` asks twice
    _warned.add(where)
    import warnings

    warnings.warn_explicit(
        f"{old} is deprecated: write `from {home} import {name}`",
        DeprecationWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        frame.f_globals.get("__name__"),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


class _OldModules:
    """Finds modules by the names that they had in earlier versions."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in MODULES or fullname in GONE:
            return ModuleSpec(fullname, cast(Any, self))
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make the module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill an old module with a `__getattr__` that looks its names up where they are now.

        Raises:
            ImportError: plugins cannot have the module any more; says what to do.
        """
        old = module.__name__
        if old in GONE:
            raise ImportError(GONE[old], name=old)
        home = importlib.import_module(MODULES[old])

        def __getattr__(name: str) -> Any:
            if name == "__all__" and hasattr(home, name):  # for `from module import *`
                return [*home.__all__, *NAMES.get(old, {})]
            return renamed(old, name)

        module.__doc__ = home.__doc__
        module.__dict__["__getattr__"] = __getattr__


def install() -> None:
    """Let old modules be found after all present ones."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())
