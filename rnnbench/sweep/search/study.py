"""The study of a cell, in which Optuna proposes and prunes. It keeps nothing that matters.

The ledger is the truth. A study lives in memory, and is rebuilt from the ledger when a driver
starts, so that none of its trials can be lost, run twice or left RUNNING for ever, wherever a
driver dies. The sampler of a proposal is seeded by (seed, study, trial number) and has no memory of
its own: a driver that died before it noted a proposal makes the same one again. All that a sampler
or a pruner has to remember of a trial (its generation, its rung) are the trial's notes, which are
in the ledger.

The time of a proposal does not grow with the number of trials, see `search.bounded_storage`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from rnnbench.sweep.file.search_options import ChosenMethod
from rnnbench.sweep.search.bounded_storage import PARENTS, BoundedStorage
from rnnbench.sweep.search.dimensions import Dimension, Params, grid_point, is_active, sobol_point
from rnnbench.sweep.search.optuna_export import StudyCopies
from rnnbench.sweep.search.pruners import make_pruner
from rnnbench.sweep.search.samplers import (
    CmaEs,
    distribution,
    make_sampler,
    remembered,
    suggest,
)

Curve = Sequence[tuple[int, float]]  # (optimiser step, value on validation)

STATES = {
    "planned": TrialState.RUNNING,
    "running": TrialState.RUNNING,
    "done": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "infeasible": TrialState.PRUNED,  # told by its constraints; Optuna does not learn from FAIL
}
FROM, POINT = "parents", "cmaes"  # names of notes
FOR_RUNNING = "relative_params"  # what Optuna notes of a trial for as long as it runs


@dataclass(frozen=True)
class KnownTrial:
    """A trial as the ledger knows it.

    Attributes:
        state: planned, running, done, pruned, failed, or infeasible (and so not run).
        values: values of the objectives, where it is done; else empty.
        curve: (optimiser step, value on validation); with several seeds (index of the seed, value).
        notes: what samplers and pruners have to remember of it.
        violations: by how much each constraint is broken, by name; above 0: it is infeasible.
    """

    number: int
    params: Params
    state: str
    values: tuple[float, ...] = ()
    curve: Curve = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    violations: Mapping[str, float] = field(default_factory=dict)


class CellStudy:
    """The study of one cell.

    Args:
        name: name of the study; with the seed and a trial's number it decides the proposal.
        space: the searched settings, each after those on which it depends.
        higher_is_better: for each objective, whether it is to be large.
        known: its trials so far; their numbers count from 0 without a gap.
        start: parameters of the first trials.
        history: ended trials of an earlier study, which are known but not trials of this one.
        copies: the storage to which finished trials are copied; None: they are not.

    Attributes:
        prunes: whether a pruner may stop a run at its validations.

    Raises:
        ValueError: the numbers of `known` have a gap.
    """

    def __init__(
        self,
        name: str,
        space: Sequence[Dimension],
        *,
        sampler: ChosenMethod,
        pruner: ChosenMethod,
        seed: int,
        higher_is_better: Sequence[bool],
        known: Sequence[KnownTrial] = (),
        start: Sequence[Params] = (),
        history: Sequence[KnownTrial] = (),
        copies: StudyCopies | None = None,
    ) -> None:
        self.name, self.space, self.sampler, self.seed = name, tuple(space), sampler, seed
        self.prunes = pruner.name not in ("none", "wilcoxon")
        self._start, self._copies = tuple(start), copies
        self._distributions = {d.name: distribution(d) for d in space}
        self._conditional = any(d.when for d in space)
        directions = [
            StudyDirection.MAXIMIZE if higher else StudyDirection.MINIMIZE
            for higher in higher_is_better
        ]
        self._several = len(directions) > 1
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._memory = BoundedStorage(*remembered(sampler))
        self._study = optuna.create_study(
            storage=self._memory,
            study_name=name,
            directions=directions,
            pruner=make_pruner(pruner),
            sampler=optuna.samplers.RandomSampler(),
        )
        self._evolution: CmaEs | None = None
        if sampler.name == "cmaes":
            sign = -1 if higher_is_better[0] else 1
            self._evolution = CmaEs(self.space, sampler, self._seed(-1), sign)
        self._running: dict[int, optuna.Trial] = {}
        self._count = 0
        if copies is not None:
            copies.open(name, directions)
        for number, trial in enumerate(history, start=-len(history)):
            self._remember(trial, number)
        for trial in sorted(known, key=lambda t: t.number):
            if trial.number != self._count:
                raise ValueError(f"study {name}: trial {self._count} is missing in the ledger")
            self._add(trial)

    def propose(self) -> tuple[int, Params]:
        """Return the number and the parameters of the next trial."""
        number = self._count
        seed, index = self._seed(number), number - len(self._start)
        if index < 0:
            self._add(KnownTrial(number, self._start[number], "planned"))
            return number, dict(self._start[number])
        if not self.space:
            self._add(KnownTrial(number, {}, "planned"))
            return number, {}
        if self.sampler.name in ("grid", "qmc"):
            point = grid_point if self.sampler.name == "grid" else sobol_point
            params = point(self.space, index, self._seed(0))
            self._add(KnownTrial(number, params, "planned"))
            return number, params
        if self._evolution is not None:
            params, notes = self._evolution.propose(seed)
            self._add(KnownTrial(number, params, "planned", notes={POINT: notes}))
            return number, params
        space = None if self._conditional else self._distributions
        self._study.sampler = make_sampler(self.sampler, seed, space, several=self._several)
        parents = set(self._memory.get_study_system_attrs(0))
        trial = self._study.ask()
        params = {}
        for d in self.space:
            if is_active(d, params):
                drawn = suggest(trial, d)
                params[d.name] = d.nearest(drawn)
                if params[d.name] != drawn:  # a restart takes from the ledger what was run
                    self._memory.set_trial_param(
                        number, d.name, params[d.name], self._distributions[d.name]
                    )
        attributes = self._memory.get_study_system_attrs(0)
        new_parents = {k: v for k, v in attributes.items() if PARENTS in k and k not in parents}
        if new_parents:
            self._memory.set_trial_system_attr(number, FROM, new_parents)
        self._running[number] = trial
        self._count += 1
        return number, params

    def report(self, number: int, step: int, value: float) -> bool:
        """Note a value on validation, and return whether the trial is to be stopped.

        A value that is not finite is not noted: the run itself ends on it.

        Args:
            step: optimiser steps so far, or, for a pruner over seeds, the index of the seed.
        """
        if not math.isfinite(value):
            return False
        trial = self._running[number]
        # A run that was interrupted or killed reports the same again.
        if step not in self._memory.get_trial(number).intermediate_values:
            trial.report(value, step)
        with self._memory.pruning():
            return trial.should_prune()

    def notes(self, number: int) -> dict[str, Any]:
        """Return what has to be remembered of a trial, to be given back in `KnownTrial.notes`."""
        attributes = self._memory.get_trial(number).system_attrs
        return {k: v for k, v in attributes.items() if FOR_RUNNING not in k}

    def tell(
        self,
        number: int,
        state: str,
        values: Sequence[float] = (),
        curve: Curve = (),
        run_id: str = "",
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """Note how a trial ended: done, pruned, failed, or infeasible (and so not run).

        Args:
            values: values of the objectives, where it is done.
            curve: (step, value), some of which `report` may have noted already.
            violations: by how much each constraint is broken.

        Raises:
            ValueError: the trial is done, and a value is missing or not finite.
        """
        trial = self._running[number]
        if state == "done" and (
            len(values) != len(self._study.directions)
            or any(v is None or not math.isfinite(v) for v in values)
        ):
            raise ValueError(
                f"study {self.name}: trial {number} is done with the values {list(values)}"
            )
        if not self._several:
            reported = self._memory.get_trial(number).intermediate_values
            for step, value in curve:
                if math.isfinite(value) and step not in reported:
                    trial.report(value, step)
        for name, violation in (violations or {}).items():
            trial.set_constraint(name, violation)
        self._study.tell(trial, list(values) if state == "done" else None, STATES[state])
        del self._running[number]
        if self._copies is not None:
            self._copies.add(self.name, self._memory.get_trial(number), run_id)
        if self._evolution is not None and state == "done":
            self._evolution.end(number, values[0])
        self._memory.settle(number)

    def _seed(self, number: int) -> int:
        """Return the seed of a trial's proposal."""
        text = f"{self.seed}/{self.name}/{number}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def _add(self, known: KnownTrial) -> None:
        """Add a trial of this study, and what its notes tell of generations."""
        number = known.number
        self._count += 1
        self._remember(known, number)
        if self._evolution is not None:
            self._evolution.note(number, known.notes.get(POINT, {}))
            if known.state == "done":
                self._evolution.end(number, known.values[0])
        for key, value in known.notes.get(FROM, {}).items():
            self._memory.set_study_system_attr(0, key, value)

    def _remember(self, known: KnownTrial, number: int) -> None:
        """Enter a trial into Optuna's storage; one of an earlier study has a number below 0."""
        curve = {step: value for step, value in known.curve if math.isfinite(value)}
        values = list(known.values) if known.state == "done" else None
        if known.state == "pruned" and curve and not self._several:
            values = [curve[max(curve)]]  # as Optuna's own `tell` does
        by_name = {d.name: d for d in self.space}
        params = {name: by_name[name].nearest(value) for name, value in known.params.items()}
        trial = create_trial(
            state=STATES[known.state],
            values=values,
            params=params,
            distributions={name: self._distributions[name] for name in params},
            intermediate_values={} if self._several else curve,
            system_attrs=dict(known.notes),
            constraints=dict(known.violations),
        )
        ended = trial.state.is_finished()
        if ended and number >= 0 and self._copies is not None:
            trial.number = number
            self._copies.add(self.name, trial, known.run_id)
        self._memory.enter(trial, number)
        if not ended:
            self._running[number] = optuna.Trial(self._study, number)
