"""Makes the plugins of a spec: settings become objects, which check them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from rnnbench.contract.settings import revisions
from rnnbench.errors import PluginError, Refusal, SpecError
from rnnbench.registry.given_classes import given_class
from rnnbench.registry.registry import load
from rnnbench.spec.run_spec import PluginSpec, RunSpec


class Plugins(NamedTuple):
    """The plugins of a run as objects: made once, then handed on from check to training."""

    task: Any
    architecture: Any
    tricks: list[Any]


def create(kind: str, spec: PluginSpec) -> Any:
    """Make the plugin object of a spec.

    Raises:
        PluginError: unknown, broken, or another version than the spec was written for.
    """
    cls, settings = load(kind, spec.name), dict(spec.settings)
    if given_class(kind, spec.name) is not None:  # its name says which code it is
        return cls(**settings)
    revised = {f.name: f.metadata.get("revised", ()) for f in dataclasses.fields(cls)}
    version = cls.version + revisions(revised, settings)
    if version != spec.version:
        raise PluginError(
            f"{kind[:-1]} {spec.name!r} is at version {version}; this run was made with "
            f"version {spec.version}, whose results mean something else.\n"
            "  Install the version of its package that the record's provenance names."
        )
    return cls(**settings)


def instantiate(spec: RunSpec) -> Plugins:
    """Return the task, the architecture and the tricks of a spec.

    Raises:
        PluginError: see `create`.
        SpecError: a plugin does not take its settings.
        Refusal: as a plugin says.
    """
    try:
        return Plugins(
            create("tasks", spec.task),
            create("architectures", spec.architecture),
            [create("tricks", t) for t in spec.tricks],
        )
    except (PluginError, Refusal):
        raise
    except (ValueError, TypeError) as error:
        raise SpecError(str(error)) from error
