"""The sweep file: what to compare, what to search, and on which fresh seeds to report it.

    name: quickstart              # names the sweep in results; [A-Za-z0-9._-], at most 64
    tasks: [char-lm, {name: co2, horizon: 26, label: co2 half a year ahead}]
    architectures: [lstm, gru, {name: transformer, layers: 2}]
    tricks:                       # each entry is one set of tricks, in folding order
      - []
      - [clip, {name: zoneout, rate: 0.1}]
    settings:                     # fixed values by dotted name: for all, then for one task
      all: {budget.steps: 200, budget.validate_every: 50}
      char-lm: {optimizer.batch: 32}
    search:
      trials: 4                   # of each cell; a failed or pruned trial counts
      seed: 0                     # of every search run, and of the sampler
      sampler: tpe                # a name, or {name: tpe, startup_trials: 5}; see below
      pruner: {name: median, startup_trials: 2, warmup_steps: 50}  # steps are optimiser steps
      space:                      # an entry is used in the cells that have its field
        optimizer.lr: {low: 1e-3, high: 3e-2, log: true}
        architecture.hidden: {low: 32, high: 96, step: 16}
        tricks.zoneout.rate: auto # the range that the plugin recommends
        architecture.activation: {choices: [tanh, relu]}
    final: {seeds: [1, 2, 3]}     # the best configuration of each cell again, on test; see
                                  # `sweep.file.final`, also for seeds by results
    workers: 2                    # trials that run at once
    trainer: {threads: 1}
    resources: {cpus: 1, gpus: 0.5, memory: 4GB}  # of one trial, see `sweep.file.resources`
    retries: 1                    # of a trial that killed its worker
    budget: {hours: 12, money: 90} # of the whole sweep, see `sweep.file.budget`
    prices: {gpu_hour: 2.5, cpu_hour: 0.04, currency: EUR}
    notify: {webhook: $TEAM_WEBHOOK} # at its end, see `sweep.file.notify`

A cell is a (task, architecture, set of tricks). Every cell is searched by itself; adding an
entry to a list only adds cells. `search` or `final` may be left out. A fixed setting, like an
entry of the space, is used in the cells that have its field, and one that no cell has is an
error.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnbench.errors import SweepError
from rnnbench.files.yaml_with_lines import Place, YamlError, YamlText, parse_yaml, read_yaml
from rnnbench.spec.data_set import LABEL, file_that_is_read
from rnnbench.spec.run_spec import Trainer
from rnnbench.stats.adaptive_seeds import SeedPlan
from rnnbench.sweep.file.budget import Prices, SweepLimits, read_limits, read_prices
from rnnbench.sweep.file.final import FinalRuns, read_final, seeds_of
from rnnbench.sweep.file.notify import Notify, read_notify
from rnnbench.sweep.file.read_search import read_search
from rnnbench.sweep.file.reader import Reader
from rnnbench.sweep.file.resources import Resources, read_resources
from rnnbench.sweep.file.search_options import Search

__all__ = ["GridCell", "Search", "Sweep", "SweepError", "parse_sweep", "read_sweep"]

OF_FINAL = ("seeds", "front", "seed_plan", "text")  # no keys of their own
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class GridCell:
    """One comparison: a task, an architecture and a set of tricks, each with its own settings.

    Attributes:
        places: where its task, architecture and tricks stand in the file, for error messages.
    """

    task: dict[str, Any]
    architecture: dict[str, Any]
    tricks: tuple[dict[str, Any], ...]
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)

    def parts(self) -> list[tuple[str, dict[str, Any], Place]]:
        """Return each plugin as (section of dotted names, entry, place in the file)."""
        task, architecture, tricks = self.places
        return [
            ("task", self.task, task),
            ("architecture", self.architecture, architecture),
            *((f"tricks.{t['name']}", t, (*tricks, i)) for i, t in enumerate(self.tricks)),
        ]

    @property
    def name(self) -> str:
        """Return a readable name, such as "char-lm.lstm+clip+zoneout".

        Two cells that differ only in settings share it; their studies have names of their own.
        """
        return f"{self.task['name']}.{self._what_learns}"

    @property
    def title(self) -> str:
        """Return a name for a reader, in which the data set's stands for that of the task."""
        return f"{title_of_entry(self.task)}.{self._what_learns}"

    @property
    def _what_learns(self) -> str:
        return self.architecture["name"] + "".join(f"+{t['name']}" for t in self.tricks)


@dataclass(frozen=True)
class Sweep:
    """The content of a sweep file; the module's docstring shows one.

    Attributes:
        settings: fixed settings by dotted name, in groups: "all", and each task's name.
        seeds: seeds of the final runs; where results decide, those of the first round.
        front: number of compromises that get final runs, where there are several objectives.
        workers: number of trials that run at once.
        retries: how many of its workers a trial may kill and still be run again.
        budget: the most that the whole sweep may take.
        notify: whom to tell of its end.
        text: tells where each part stands in the file.
        seed_plan: how results decide on further seeds; None: the file lists them.
    """

    name: str
    tasks: tuple[dict[str, Any], ...]
    architectures: tuple[dict[str, Any], ...]
    tricks: tuple[tuple[dict[str, Any], ...], ...]
    settings: dict[str, dict[str, Any]]
    search: Search
    seeds: tuple[int, ...]
    front: int
    workers: int
    trainer: Trainer
    resources: Resources
    retries: int
    budget: SweepLimits
    prices: Prices
    notify: Notify
    text: YamlText = field(compare=False, repr=False)
    seed_plan: SeedPlan | None = None

    def first_seeds(self, count: int) -> tuple[int, ...]:
        """Return the first seeds that results may ask for."""
        return seeds_of(self.search, count)

    def error(self, place: Place, message: str) -> SweepError:
        """Return an error about a place of the file."""
        return SweepError(f"{self.text.at(*place)}: {message}")

    def cells(self) -> list[GridCell]:
        """Return every combination in the order of the file, tasks outermost."""
        return [
            GridCell(
                task, architecture, tricks, (("tasks", i), ("architectures", j), ("tricks", k))
            )
            for i, task in enumerate(self.tasks)
            for j, architecture in enumerate(self.architectures)
            for k, tricks in enumerate(self.tricks)
        ]

    def fixed(self, cell: GridCell) -> dict[str, tuple[Any, Place]]:
        """Return (value, place in the file) of a cell's fixed settings, by dotted name.

        Settings for the cell's task replace those for all.
        """
        return {
            name: (value, ("settings", group, name))
            for group in ("all", cell.task["name"])
            for name, value in self.settings.get(group, {}).items()
        }


def title_of_entry(task: Mapping[str, Any]) -> str:
    """Return what an entry of `tasks` is called: its label, the file that it reads, or the task."""
    return str(task.get(LABEL) or file_that_is_read(task) or task["name"])


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        SweepError: the file cannot be as it is; the message names file and line.
    """
    try:
        return _parse(read_yaml(Path(path)))
    except YamlError as error:
        raise SweepError(str(error)) from error


def parse_sweep(text: str, file: str = "sweep") -> Sweep:
    """Read a sweep from text; errors call it `file`.

    Raises:
        SweepError: the text cannot be as it is; the message names file and line.
    """
    try:
        return _parse(parse_yaml(text, file))
    except YamlError as error:
        raise SweepError(str(error)) from error


def _parse(text: YamlText) -> Sweep:
    reader = Reader(text)
    known = [f.name for f in dataclasses.fields(Sweep) if f.name not in OF_FINAL]
    top = reader.mapping((), text.value, [*known, "final"], ["name", "tasks", "architectures"])
    if not isinstance(top["name"], str) or not NAME.fullmatch(top["name"]):
        raise reader.error(
            ("name",),
            f"name: {top['name']!r} is no name: letters, digits, '.', '_', '-', at most 64",
        )
    tasks = reader.plugins(("tasks",), top["tasks"])
    search = read_search(reader, ("search",), top["search"]) if "search" in top else Search()
    final = read_final(reader, top["final"], search) if "final" in top else FinalRuns()
    if "search" not in top and "final" not in top:
        raise reader.error((), "nothing to run: give search, final, or both")
    prices = read_prices(reader, ("prices",), top.get("prices", {}))
    return Sweep(
        name=top["name"],
        tasks=tasks,
        architectures=reader.plugins(("architectures",), top["architectures"]),
        tricks=reader.trick_sets(("tricks",), top.get("tricks", [[]])),
        settings=reader.settings(("settings",), top.get("settings", {}), tasks),
        search=search,
        seeds=final.seeds,
        front=final.front,
        workers=reader.integer(("workers",), top.get("workers", 1), low=1),
        trainer=reader.trainer(("trainer",), top.get("trainer", {})),
        resources=read_resources(reader, ("resources",), top.get("resources", {})),
        retries=reader.integer(("retries",), top.get("retries", 1), low=0),
        budget=read_limits(reader, ("budget",), top.get("budget", {}), prices),
        prices=prices,
        notify=read_notify(reader, ("notify",), top.get("notify", {})),
        text=text,
        seed_plan=final.plan,
    )
