"""Plans a sweep: composes, checks and names the cells that will run. Nothing is trained here."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.errors import PluginError, Refusal, SplitRefusal, SweepError, UserError
from rnnbench.files.yaml_with_lines import Place
from rnnbench.registry.registry import did_you_mean
from rnnbench.registry.schema import FieldSchema
from rnnbench.spec.data_set import LABEL
from rnnbench.spec.run_spec import Budget, Optimizer, RunSpec, canonical_json
from rnnbench.sweep.file.compatibility import unsuitable_space
from rnnbench.sweep.file.sweep import GridCell, Search, Sweep
from rnnbench.sweep.search.cell_space import ELEMENT, cell_space, is_switch
from rnnbench.sweep.search.dimensions import Dimension, Params, corners, grid_size
from rnnbench.sweep.search.first_points import check_names, first_points
from rnnbench.sweep.search.idle_pruner import why_never

Places = Mapping[str, str]  # dotted name -> "file:line"


@dataclass(frozen=True)
class PluginAccess:
    """The ways in which a sweep reaches the plugins, so that tests can put others in their place.

    Attributes:
        fields: (kind, plugin name) -> its fields by name; raises PluginError where there is no
            such plugin.
        compose: (cell, settings by dotted name, places, seed, test) -> the run; raises SpecError
            where a setting cannot be, and Refusal where the configuration makes no sense.
        check: tries the run without training it; raises Refusal where the combination makes no
            sense; returns an object that has the number of `parameters`.
        higher_is_better: run -> whether the value by which its task selects is to be large.
        recommended: task -> the settings that it recommends, by dotted name.
    """

    fields: Callable[[str, str], Mapping[str, FieldSchema]]
    compose: Callable[[GridCell, Params, Places, int, bool], RunSpec]
    check: Callable[[RunSpec], object]
    higher_is_better: Callable[[RunSpec], bool]
    recommended: Callable[[str], Params] = lambda task: {}


def installed_plugins() -> PluginAccess:
    """Reach the installed plugins, composed and checked as single runs are; this imports torch."""
    from rnnbench.registry.registry import schema
    from rnnbench.spec.compose import compose
    from rnnbench.spec.instantiate import instantiate
    from rnnbench.training.checks.splits import refuse_short_splits
    from rnnbench.training.dry_run import check_spec
    from rnnbench.training.resolve import resolve_with_plugins

    def fields(kind: str, name: str) -> Mapping[str, FieldSchema]:
        return schema(kind, name).fields

    def compose_run(
        cell: GridCell, settings: Params, places: Places, seed: int, test: bool
    ) -> RunSpec:
        parts = cell.task, cell.architecture, cell.tricks
        run = resolve_with_plugins(compose(*parts, settings, seed=seed, test=test, places=places))
        refuse_short_splits(*run, test=True)  # final runs meet it
        return run.spec

    def higher_is_better(spec: RunSpec) -> bool:
        task, _, _ = instantiate(spec)
        metrics = {m.name: m.higher_is_better for m in task.metrics}
        return task.selection != "loss" and metrics[task.selection]

    def recommended(task: str) -> Params:
        return dict(schema("tasks", task).recommended)

    return PluginAccess(fields, compose_run, check_spec, higher_is_better, recommended)


@dataclass(frozen=True)
class CellPlan:
    """A cell with all that its study depends on.

    Attributes:
        study: name of the study: the cell's name and a hash of `definition`.
        definition: all that makes its trials comparable: the run (fixed settings, budget,
            versions, data, seed; searched settings at their lowest), the space, the sampler, the
            pruner. A change of any makes a new study and leaves the old one as it is. For a
            refused cell it is what the file asks for.
        fixed: fixed settings by dotted name.
        space: the searched settings.
        trials: number of trials wanted; for a grid at most as many as the space has points.
        places: where each setting stands, as "file:line" by dotted name.
        higher_is_better: whether the value by which the task selects is to be large.
        refused: why the combination cannot run; None: it can.
        lists: settings that are lists and have searched elements, by dotted name.
        start: the parameters of the first trials.
        never_pruned: why the pruner can stop no trial; None: it may, or there is none.
    """

    cell: GridCell
    study: str
    definition: dict[str, Any]
    fixed: Params
    space: tuple[Dimension, ...]
    trials: int
    places: dict[str, str]
    higher_is_better: bool = False
    refused: str | None = None
    lists: Params = dataclasses.field(default_factory=dict)
    start: tuple[Params, ...] = ()
    never_pruned: str | None = None

    def composed(self, plugins: PluginAccess, params: Params, seed: int, *, test: bool) -> RunSpec:
        """Return the run of a configuration.

        Args:
            params: values of the searched settings, by dotted name.
            test: whether the run is evaluated on test.

        Raises:
            SpecError: a setting cannot be.
            Refusal: the configuration makes no sense.
        """
        cell, settings = arrange(self.cell, self.fixed, self.lists, params)
        return plugins.compose(cell, settings, self.places, seed, test)


def arrange(
    cell: GridCell, fixed: Params, lists: Params, params: Params
) -> tuple[GridCell, Params]:
    """Return the cell and all settings of a configuration.

    Tricks that the search switched off are left out with their settings, and searched elements
    are put into their lists.
    """
    off = {name for name, value in params.items() if is_switch(name) and not value}
    tricks = tuple(t for t in cell.tricks if f"tricks.{t['name']}" not in off)
    settings: Params = {}
    elements: dict[str, dict[int, Any]] = {}
    for name, value in (fixed | params).items():
        if is_switch(name) or name.rpartition(".")[0] in off:
            continue
        if element := ELEMENT.fullmatch(name):
            elements.setdefault(element[1], {})[int(element[2])] = value
        else:
            settings[name] = value
    for name, values in elements.items():
        settings[name] = [values.get(i, old) for i, old in enumerate(lists[name])]
    return dataclasses.replace(cell, tricks=tricks), settings


def plan_cells(sweep: Sweep, plugins: PluginAccess) -> list[CellPlan]:
    """Compose and check every cell.

    Raises:
        SweepError: the sweep asks for something that does not exist; the message names file and
            line.
    """
    cells = sweep.cells()
    fields = [_fields(sweep, cell, plugins) for cell in cells]
    _check_names(sweep, cells, fields)
    plans = [_plan(sweep, cell, f, plugins) for cell, f in zip(cells, fields, strict=True)]
    check_names(sweep, [p.space for p in plans])
    studies: dict[str, CellPlan] = {}
    for plan in plans:
        twin = studies.setdefault(plan.study, plan)
        if twin is not plan:
            raise SweepError(
                f"{sweep.text.at(*plan.cell.places[1])}: the cell {plan.cell.name} is in the sweep "
                "twice (the same settings, written in two ways); remove one"
            )
    return plans


def _fields(sweep: Sweep, cell: GridCell, plugins: PluginAccess) -> dict[str, FieldSchema]:
    """Return every setting of a cell by its dotted name."""
    schemas: dict[str, FieldSchema] = {}
    for section, cls in (("optimizer", Optimizer), ("budget", Budget)):
        hints = typing.get_type_hints(cls)
        for f in dataclasses.fields(cls):
            schemas[f"{section}.{f.name}"] = FieldSchema(
                f.name, hints[f.name], f.default, search=f.metadata.get("search")
            )
    for section, entry, place in cell.parts():
        kind = {"task": "tasks", "architecture": "architectures"}.get(section, "tricks")
        try:
            fields = plugins.fields(kind, entry["name"])
        except PluginError as error:
            raise sweep.error(place, str(error)) from error
        schemas |= {f"{section}.{field}": schema for field, schema in fields.items()}
    return schemas


def _check_names(
    sweep: Sweep, cells: Sequence[GridCell], fields: Sequence[Mapping[str, FieldSchema]]
) -> None:
    """Raise SweepError for settings and entries of the space that no cell has."""
    # (place in the file, dotted name, task for whose cells alone it stands)
    mentioned: list[tuple[Place, str, str | None]] = [
        (("settings", group, name), name, None if group == "all" else group)
        for group, names in sweep.settings.items()
        for name in names
    ]
    for name, entry in sweep.search.space.items():
        place: Place = ("search", "space", name)
        mentioned.append((place, name, None))
        when = entry.get("when", {}) if isinstance(entry, dict) else {}
        mentioned += [((*place, "when", parent), parent, None) for parent in when]
    for where, name, task in mentioned:
        known: dict[str, None] = {}
        for cell, cell_fields in zip(cells, fields, strict=True):
            if task in (None, cell.task["name"]):
                known |= dict.fromkeys(cell_fields)
                known |= dict.fromkeys(f"tricks.{t['name']}" for t in cell.tricks)
        if (ELEMENT.sub(r"\1", name)) not in known:
            section = name.rpartition(".")[0]
            siblings = [k for k in known if k.rpartition(".")[0] == section]
            raise sweep.error(
                where,
                f"no cell{f' of {task}' if task else ''} has a setting {name!r}"
                f"{did_you_mean(name, known)}\n"
                + (f"  {section} has: {', '.join(k.rpartition('.')[2] for k in siblings)}"
                   if siblings else f"  no cell has {section!r}"),
            )  # fmt: skip


def _plan(
    sweep: Sweep, cell: GridCell, fields: Mapping[str, FieldSchema], plugins: PluginAccess
) -> CellPlan:
    text, search = sweep.text, sweep.search
    fixed = {n: (v, place) for n, (v, place) in sweep.fixed(cell).items() if n in fields}
    space, lists = cell_space(sweep, cell, fields, fixed)
    if reason := unsuitable_space(search, space):
        raise sweep.error(("search", "sampler"), f"{cell.name}: {reason}")
    places = {}
    for section, entry, place in cell.parts():
        places[section] = text.at(*place)
        places |= {f"{section}.{name}": text.at(*place, name) for name in entry}
    places["tricks"] = text.at(*cell.places[2])
    places |= {name: text.at(*place) for name, (_, place) in fixed.items()}
    for d in space:
        element = ELEMENT.fullmatch(d.name)
        places[element[1] if element else d.name] = text.at("search", "space", d.name)
    settings = {name: value for name, (value, _) in fixed.items()}
    cell_as_written = {
        "task": {k: v for k, v in cell.task.items() if k != LABEL or f"task.{LABEL}" in fields},
        "architecture": cell.architecture,
        "tricks": list(cell.tricks),
        "settings": settings,
    }
    name = f"{cell.name[:80]}.{_digest(canonical_json(cell_as_written))}"  # where it is refused
    start = first_points(sweep, cell, space, fields, lists, plugins.recommended(cell.task["name"]))
    trials = count_trials(search, space)
    plan = CellPlan(
        cell, name, cell_as_written, settings, space, trials, places, lists=lists, start=start
    )  # fmt: skip

    def compose(params: Params) -> RunSpec:
        try:
            return plan.composed(plugins, params, search.seed, test=False)
        except SplitRefusal as error:  # no trial of any architecture could be run on these data
            raise SweepError(f"{_place_of(str(error), places)}: {error}") from error
        except Refusal:
            raise
        except UserError as error:
            message = str(error)
            if text.file not in message.split("\n")[0]:
                message = f"{places['architecture']}: {cell.name}: {message}"
            raise SweepError(message) from error

    first, *others = corners(space)
    try:
        smallest = compose(first)
        plugins.check(smallest)
    except Refusal as error:
        return dataclasses.replace(plan, refused=str(error))
    budgets = [smallest.budget]
    for point in (*others, *start):  # every end of every range must be a value of its field
        # A single refused configuration is a failed trial, and does not refuse the cell.
        with contextlib.suppress(Refusal):
            budgets.append(compose(point).budget)
    definition: dict[str, Any] = {
        "run": smallest.as_dict(),
        "space": {d.name: d.as_dict() for d in space},
        "sampler": search.sampler.as_dict(),
        "pruner": search.pruner.as_dict(),
    }
    if search.objectives != ("validation",):
        definition["objectives"] = list(search.objectives)
    if search.constraints:
        definition["constraints"] = [dataclasses.asdict(b) for b in search.constraints]
    if search.start or search.history:
        definition["start"] = [list(start), search.history]
    if len(search.seeds) > 1:
        definition["seeds"] = list(search.seeds)
    return dataclasses.replace(
        plan,
        study=f"{cell.name[:80]}.{_digest(canonical_json(definition))}",
        definition=definition,
        higher_is_better=plugins.higher_is_better(smallest),
        never_pruned=why_never(search, trials, budgets),
    )


def _place_of(message: str, places: Places) -> str:
    """Return where a setting of the task that a message names stands, else where the task does."""
    named = (name for name in re.findall(r"task\.\w+", message) if name in places)
    return places[next(named, "task")]


def extended(plan: CellPlan, sweep: Sweep, trials: int) -> CellPlan:
    """Return the plan with more trials, as far as the space of the cell has any."""
    if plan.refused or not plan.space or not plan.trials:
        return plan
    search = dataclasses.replace(sweep.search, trials=trials)
    return dataclasses.replace(plan, trials=max(plan.trials, count_trials(search, plan.space)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def count_trials(search: Search, space: Sequence[Dimension]) -> int:
    """Return the number of trials wanted of a cell with this space."""
    if search.trials == 0:
        return 0
    if not space:
        return 1  # one configuration; another trial would only repeat it
    if search.sampler.name != "grid":
        return search.trials or 0
    size = grid_size(space)
    return size if search.trials is None else min(search.trials, size)
