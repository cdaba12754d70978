"""The plugins of a spec as objects."""

from __future__ import annotations

from typing import Any

from rnnbench.errors import PluginError, Refusal, SpecError
from rnnbench.registry.registry import load
from rnnbench.spec.run_spec import PluginSpec, RunSpec


def create(kind: str, spec: PluginSpec) -> Any:
    """Make the plugin object of a spec.

    Raises:
        PluginError: unknown, broken, or another version than the spec was written for.
    """
    cls = load(kind, spec.name)
    if cls.version != spec.version:
        raise PluginError(
            f"{kind[:-1]} {spec.name!r} is at version {cls.version}; this run was made with "
            f"version {spec.version}, whose results mean something else.\n"
            "  Install the version of its package that the record's provenance names."
        )
    return cls(**dict(spec.settings))


def instantiate(spec: RunSpec) -> tuple[Any, Any, list[Any]]:
    """Make the task, the architecture and the tricks of a spec."""
    try:
        return (
            create("tasks", spec.task),
            create("architectures", spec.architecture),
            [create("tricks", t) for t in spec.tricks],
        )
    except (PluginError, Refusal):
        raise
    except (ValueError, TypeError) as error:
        raise SpecError(str(error)) from error
