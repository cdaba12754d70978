"""Completes a spec with what needs plugins and data: the width and the version of the data."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from rnnbench.spec.instantiate import Plugins, instantiate
from rnnbench.spec.run_spec import RunSpec


class ResolvedRun(NamedTuple):
    """A run that is fully said, and its plugins, which check and training share."""

    spec: RunSpec
    plugins: Plugins


def resolve(spec: RunSpec) -> RunSpec:
    """Return the spec with its data version, and with the width that a budget of parameters gives.

    Raises:
        SpecError, PluginError, Refusal: the plugins do not take their settings.
    """
    return resolve_with_plugins(spec).spec


def resolve_with_plugins(spec: RunSpec) -> ResolvedRun:
    """Return the spec as `resolve` does, with the plugins that were made for it."""
    from rnnbench.data import data_version

    if spec.budget.parameters is not None:
        from rnnbench.training.parameter_budget import fit_width

        spec = fit_width(spec)
    plugins = instantiate(spec)
    version = data_version(plugins.task.sources(), plugins.task.version)
    return ResolvedRun(dataclasses.replace(spec, data=version), plugins)
