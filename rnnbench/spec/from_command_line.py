"""Makes a spec of the command line and a run file. No torch until all names are checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnbench.errors import SpecError
from rnnbench.files.yaml_with_lines import YamlText, read_yaml
from rnnbench.registry.registry import did_you_mean
from rnnbench.spec.compose import UNITS, compose
from rnnbench.spec.data_set import file_that_is_read
from rnnbench.spec.fill import fill
from rnnbench.spec.plugin_text import Plugin, split_assignments, split_plugin
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.spec.seeds import complaint

KEYS = ("task", "architecture", "tricks", "optimizer", "budget", "trainer", "seed", "logger")
COMMAND = "command line"


def read_request(
    task: str | None,
    architecture: str | None,
    settings: Sequence[str],
    tricks: Sequence[str],
    file: Path | None,
    seed: int | None,
    test: bool,
) -> tuple[RunSpec, Trainer]:
    """Read the run asked for; the command line wins over the file.

    Returns:
        The spec without its data version (see `training.resolve`), and the trainer's settings.

    Raises:
        SpecError, PluginError: naming what is wrong and where it was written.
    """
    # `rnnbench run --file run.yaml optimizer.lr=1` has settings where names would stand.
    loose = [word for word in (task, architecture) if word and _is_setting(word)]
    task, architecture = (None if w in loose else w for w in (task, architecture))
    written = read_yaml(file) if file else None
    values, places, plugins, file_seed = _from_file(written) if written else ({}, {}, {}, None)
    assignments: dict[str, Any] = {**split_assignments([*loose, *settings])}
    if "logger" in assignments:
        assignments["trainer.logger"] = assignments.pop("logger")
    if any(f"budget.{u}" in assignments for u in UNITS):
        values = {k: v for k, v in values.items() if k not in {f"budget.{u}" for u in UNITS}}
    values |= assignments
    places |= dict.fromkeys(assignments, COMMAND)
    names: dict[str, Any] = {
        "task": task or plugins.get("task"),
        "architecture": architecture or plugins.get("architecture"),
    }
    for name, value in names.items():
        if value is None:
            raise SpecError(
                f"no {name} is given\n  Write: rnnbench run TASK ARCHITECTURE; see: rnnbench list"
            )
    trick_list: list[Plugin] = list(tricks) or plugins.get("tricks", [])
    for name, given_value in (("task", task), ("architecture", architecture), ("tricks", tricks)):
        if given_value:
            places[name] = COMMAND
    trainer_values = {
        k.removeprefix("trainer."): values.pop(k) for k in list(values) if k.startswith("trainer.")
    }
    trainer = fill(Trainer, trainer_values, "trainer", places)
    spec = compose(
        names["task"],
        names["architecture"],
        trick_list,
        values,
        seed=seed if seed is not None else (file_seed or 0),
        test=test,
        places=places,
    )
    return spec, trainer


def _from_file(
    written: YamlText,
) -> tuple[dict[str, Any], dict[str, str], dict[str, Any], int | None]:
    """Return settings by dotted name, their places, the plugins, and the seed."""
    top = written.value
    if not isinstance(top, dict):
        raise SpecError(f"{written.file}: a run file is a mapping; keys: {', '.join(KEYS)}")
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    plugins: dict[str, Any] = {}
    for key, value in top.items():
        place = written.at(key)
        if key not in KEYS:
            raise SpecError(
                f"{place}: unknown key {key!r}{did_you_mean(key, KEYS)}\n"
                f"  A run file takes: {', '.join(KEYS)}"
            )
        places[key] = place
        if key == "logger":
            values["trainer.logger"], places["trainer.logger"] = value, place
        elif key == "tricks":
            if not isinstance(value, list):
                raise SpecError(f"{place}: tricks is a list, such as [clip, zoneout:rate=0.1]")
            plugins["tricks"] = value
            for i, trick in enumerate(value):
                name, own = _plugin(trick, written.at("tricks", i))
                places |= {f"tricks.{name}.{f}": written.at("tricks", i, f) for f in own}
        elif key in ("task", "architecture"):
            plugins[key] = value
            _, own = _plugin(value, place)
            places |= {f"{key}.{f}": written.at(key, f) for f in own}
        elif key in ("optimizer", "budget", "trainer"):
            if not isinstance(value, dict):
                raise SpecError(f"{place}: {key} is a mapping of settings, got {value!r}")
            for field, v in value.items():
                values[f"{key}.{field}"] = v
                places[f"{key}.{field}"] = written.at(key, field)
    seed = top.get("seed")
    if seed is not None and (problem := complaint([seed])):
        raise SpecError(f"{places['seed']}: {problem}")
    return values, places, plugins, seed


def _is_setting(word: str) -> bool:
    """Tell `optimizer.lr=1` from a plugin with settings of its own, `clockwork:periods=1,2`."""
    name, equals, _ = word.partition("=")
    return bool(equals) and ":" not in name


def _plugin(value: Any, place: str) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(value, (str, dict)):
        raise SpecError(f"{place}: a plugin is a name or a mapping with `name:`, got {value!r}")
    try:
        return split_plugin(value)
    except SpecError as error:
        raise SpecError(f"{place}: {error}") from error


def describe_spec(spec: RunSpec) -> str:
    """Describe a run in one line; what differs from the defaults is in its record."""
    tricks = "".join(f" + {t.name}" for t in spec.tricks)
    budget = next(
        f"{v:g} {k}" for k, v in dataclasses.asdict(spec.budget).items() if k in UNITS and v
    )
    task = spec.task.name
    if called := spec.label or file_that_is_read(dict(spec.task.settings)):
        task = f"{called} ({task})"
    return f"{spec.architecture.name}{tricks} on {task}, seed {spec.seed}, {budget}"
