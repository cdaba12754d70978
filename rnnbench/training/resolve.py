"""The last two facts of a spec, which need plugins and data: its width and its data version."""

from __future__ import annotations

import dataclasses

from rnnbench.spec.instantiate import instantiate
from rnnbench.spec.run_spec import RunSpec


def resolve(spec: RunSpec) -> RunSpec:
    """Import the plugins, let them check their settings, and fill in the data version.

    With a budget of parameters the architecture's width is solved for.

    Raises:
        SpecError, PluginError, contract.Refusal.
    """
    from rnnbench.data import data_version

    if spec.budget.parameters is not None:
        from rnnbench.training.parameter_budget import fit_width

        spec = fit_width(spec)
    task, _, _ = instantiate(spec)
    return dataclasses.replace(spec, data=data_version(task.sources(), task.version))
