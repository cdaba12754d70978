"""From a sweep to the cells that will run: composed, checked, named. Nothing is trained here."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.registry import FieldSchema, PluginError, did_you_mean
from rnnbench.spec import Budget, Optimizer, RunSpec, canonical_json
from rnnbench.sweep.file import Cell, Sweep, SweepError
from rnnbench.sweep.space import Dimension, Params, dimension, grid_size

Places = Mapping[str, str]  # dotted name -> "file:line"


@dataclass(frozen=True)
class Bench:
    """What a sweep needs from the rest of rnnbench.

    Attributes:
        fields: (kind, plugin name) -> its fields by name; PluginError where there is none.
        compose: (cell, settings by dotted name, places, seed, test) -> the run; ValueError where
            a setting cannot be.
        check: raises `refusal` where the combination makes no sense.
        refusal: `rnnbench.contract.Refusal` (importing it here would import torch).
        higher_is_better: of the value by which the task selects.
    """

    fields: Callable[[str, str], Mapping[str, FieldSchema]]
    compose: Callable[[Cell, Params, Places, int, bool], RunSpec]
    check: Callable[[RunSpec], object]
    refusal: type[ValueError]
    higher_is_better: Callable[[RunSpec], bool]


def standard_bench() -> Bench:
    """The installed plugins, composed and checked as single runs are. Imports torch."""
    from rnnbench.check import check_spec
    from rnnbench.compose import compose, instantiate, resolve
    from rnnbench.contract import Refusal
    from rnnbench.registry import schema

    def fields(kind: str, name: str) -> Mapping[str, FieldSchema]:
        return schema(kind, name).fields

    def composed(cell: Cell, settings: Params, places: Places, seed: int, test: bool) -> RunSpec:
        parts = cell.task, cell.architecture, cell.tricks
        return resolve(compose(*parts, settings, seed=seed, test=test, places=places))

    def higher_is_better(spec: RunSpec) -> bool:
        task, _, _ = instantiate(spec)
        metrics = {m.name: m.higher_is_better for m in task.metrics}
        return task.selection != "loss" and metrics[task.selection]

    return Bench(fields, composed, check_spec, Refusal, higher_is_better)


@dataclass(frozen=True)
class CellPlan:
    """A cell with all that its study depends on.

    Attributes:
        study: names the study: the cell's name and a hash of `definition`.
        definition: what makes its trials comparable: the run (fixed settings, budget, versions,
            data, seed; searched settings at their lowest), the space, the sampler, the pruner. A
            change of any makes a new study and leaves the old one as it is. Of a refused cell: what
            the file asks for.
        fixed: settings by dotted name.
        trials: to be sought; at most as many as the space has points, where it is a grid.
        refused: why the combination cannot run; None: it can.
    """

    cell: Cell
    study: str
    definition: dict[str, Any]
    fixed: Params
    space: tuple[Dimension, ...]
    trials: int
    places: dict[str, str]
    higher_is_better: bool = False
    refused: str | None = None


def plan_cells(sweep: Sweep, bench: Bench) -> list[CellPlan]:
    """Compose and check every cell.

    Raises:
        SweepError: the sweep asks for something that does not exist, naming file and line.
    """
    cells = sweep.cells()
    fields = [_fields(sweep, cell, bench) for cell in cells]
    _check_names(sweep, cells, fields)
    plans = [_plan(sweep, cell, f, bench) for cell, f in zip(cells, fields, strict=True)]
    studies: dict[str, CellPlan] = {}
    for plan in plans:
        twin = studies.setdefault(plan.study, plan)
        if twin is not plan:
            raise SweepError(
                f"{sweep.text.at(*plan.cell.places[1])}: the cell {plan.cell.name} is in the sweep "
                "twice (the same settings, written in two ways); remove one"
            )
    return plans


def _fields(sweep: Sweep, cell: Cell, bench: Bench) -> dict[str, FieldSchema]:
    """Every setting of a cell by its dotted name."""
    found: dict[str, FieldSchema] = {}
    for section, cls in (("optimizer", Optimizer), ("budget", Budget)):
        hints = typing.get_type_hints(cls)
        for f in dataclasses.fields(cls):
            found[f"{section}.{f.name}"] = FieldSchema(
                f.name, hints[f.name], f.default, search=f.metadata.get("search")
            )
    for section, entry, place in cell.parts():
        kind = {"task": "tasks", "architecture": "architectures"}.get(section, "tricks")
        try:
            fields = bench.fields(kind, entry["name"])
        except PluginError as error:
            raise sweep.error(place, str(error)) from error
        found |= {f"{section}.{field}": schema for field, schema in fields.items()}
    return found


def _check_names(
    sweep: Sweep, cells: Sequence[Cell], fields: Sequence[Mapping[str, FieldSchema]]
) -> None:
    """Refuse settings and entries of the space that no cell has."""
    wanted = [
        (("settings", group, name), name, None if group == "all" else group)
        for group, names in sweep.settings.items()
        for name in names
    ]
    wanted += [(("search", "space", name), name, None) for name in sweep.search.space]
    for place, name, task in wanted:
        known: dict[str, None] = {}
        for cell, own in zip(cells, fields, strict=True):
            if task in (None, cell.task["name"]):
                known |= dict.fromkeys(own)
        if name not in known:
            section = name.rpartition(".")[0]
            siblings = [k for k in known if k.rpartition(".")[0] == section]
            raise sweep.error(
                place,
                f"no cell{f' of {task}' if task else ''} has a setting {name!r}"
                f"{did_you_mean(name, known)}\n"
                + (f"  {section} has: {', '.join(k.rpartition('.')[2] for k in siblings)}"
                   if siblings else f"  no cell has {section!r}"),
            )  # fmt: skip


def _plan(sweep: Sweep, cell: Cell, fields: Mapping[str, FieldSchema], bench: Bench) -> CellPlan:
    text, search = sweep.text, sweep.search
    fixed = {n: (v, place) for n, (v, place) in sweep.fixed(cell).items() if n in fields}
    space = _space(sweep, cell, fields, fixed)
    places = {}
    for section, entry, place in cell.parts():
        places[section] = text.at(*place)
        places |= {f"{section}.{name}": text.at(*place, name) for name in entry}
    places["tricks"] = text.at(*cell.places[2])
    places |= {name: text.at(*place) for name, (_, place) in fixed.items()}
    places |= {d.name: text.at("search", "space", d.name) for d in space}
    settings = {name: value for name, (value, _) in fixed.items()}

    def compose(chosen: Params) -> RunSpec:
        try:
            return bench.compose(cell, settings | chosen, places, search.seed, False)
        except bench.refusal:
            raise
        except ValueError as error:
            message = str(error)
            if text.file not in message.split("\n")[0]:
                message = f"{places['architecture']}: {cell.name}: {message}"
            raise SweepError(message) from error

    asked = {
        "task": cell.task,
        "architecture": cell.architecture,
        "tricks": list(cell.tricks),
        "settings": settings,
    }
    name = f"{cell.name[:80]}.{_digest(canonical_json(asked))}"  # where it is refused
    plan = CellPlan(cell, name, asked, settings, space, _trials(sweep, space), places)
    lowest = {d.name: d.ends()[0] for d in space}
    try:
        smallest = compose(lowest)
        bench.check(smallest)
    except bench.refusal as error:
        return dataclasses.replace(plan, refused=str(error))
    for d in space:  # every end of every range must be a value that its field takes
        for end in d.ends()[1:]:
            # A single refused configuration is a failed trial, and does not refuse the cell.
            with contextlib.suppress(bench.refusal):
                compose(lowest | {d.name: end})
    definition = {
        "run": smallest.as_dict(),
        "space": {d.name: d.as_dict() for d in space},
        "sampler": search.sampler.as_dict(),
        "pruner": search.pruner.as_dict(),
    }
    return dataclasses.replace(
        plan,
        study=f"{cell.name[:80]}.{_digest(canonical_json(definition))}",
        definition=definition,
        higher_is_better=bench.higher_is_better(smallest),
    )


def extended(plan: CellPlan, sweep: Sweep, trials: int) -> CellPlan:
    """The cell with more trials, as far as its space has any."""
    if plan.refused or not plan.space or not plan.trials:
        return plan
    search = dataclasses.replace(sweep.search, trials=trials)
    wanted = _trials(dataclasses.replace(sweep, search=search), plan.space)
    return dataclasses.replace(plan, trials=max(plan.trials, wanted))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _space(
    sweep: Sweep,
    cell: Cell,
    fields: Mapping[str, FieldSchema],
    fixed: Mapping[str, Any],
) -> tuple[Dimension, ...]:
    """The dimensions of a cell, in the order of the file."""
    own = {section: entry for section, entry, _ in cell.parts()}
    found = []
    for name, entry in sweep.search.space.items():
        if name not in fields:
            continue
        place = ("search", "space", name)
        section, _, field = name.rpartition(".")
        if name in fixed or field in own.get(section, {}):
            where = sweep.text.at(*fixed[name][1]) if name in fixed else f"the entry of {cell.name}"
            raise sweep.error(
                place, f"{name} is searched here, and fixed by {where}; remove one of the two"
            )
        try:
            found.append(dimension(name, entry, fields[name].type, fields[name].search))
        except ValueError as error:
            raise sweep.error(place, str(error)) from error
    return tuple(found)


def _trials(sweep: Sweep, space: Sequence[Dimension]) -> int:
    search = sweep.search
    if search.trials == 0:
        return 0
    if not space:
        return 1  # one configuration; another trial would only repeat it
    if search.sampler.name != "grid":
        return search.trials or 0
    try:
        size = grid_size(space)
    except ValueError as error:
        raise sweep.error(("search", "sampler"), str(error)) from error
    return size if search.trials is None else min(search.trials, size)
