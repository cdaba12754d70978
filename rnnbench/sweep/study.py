"""Optuna proposes and prunes here, and nowhere else. It keeps nothing that matters.

The ledger is the truth. A study lives in memory, rebuilt from the ledger when a driver starts, so
that none of its trials can be lost, run twice or left RUNNING for ever, wherever a driver dies.
The sampler of a proposal is seeded by (seed, study, trial number): a driver that died before it
noted a proposal makes the same one again.

Finished trials are copied to an Optuna storage beside the results, in the order of their numbers,
for Optuna's own tools (optuna-dashboard, importances). It can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from filelock import FileLock
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from rnnbench.database import WAIT_SECONDS
from rnnbench.sweep.options import Chosen
from rnnbench.sweep.space import Dimension, Params, grid_point, sobol_point

Curve = list[tuple[int, float]]  # (optimiser step, value on validation)

STATES = {
    "planned": TrialState.RUNNING,
    "running": TrialState.RUNNING,
    "done": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True)
class Known:
    """A trial as the ledger knows it.

    Attributes:
        state: planned, running, done, pruned or failed.
        notes: what the pruner wrote down about it.
    """

    number: int
    params: Params
    state: str
    value: float | None = None
    curve: Curve = field(default_factory=list)
    notes: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""


class CellStudy:
    """The study of one cell.

    Args:
        name: of the study; with the seed and a trial's number it decides the trial's proposal.
        known: its trials so far, their numbers counting from 0 without a gap.
        copies: where finished trials are copied to; None: nowhere.

    Raises:
        ValueError: numbers with a gap.
    """

    def __init__(
        self,
        name: str,
        space: Sequence[Dimension],
        *,
        sampler: Chosen,
        pruner: Chosen,
        seed: int,
        higher_is_better: bool,
        known: Sequence[Known] = (),
        copies: Copies | None = None,
    ) -> None:
        self.name, self.space, self.sampler, self.seed = name, tuple(space), sampler, seed
        self.prunes = pruner.name != "none"
        self._distributions = {d.name: distribution(d) for d in space}
        self._direction = StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            study_name=name,
            direction=self._direction,
            pruner=make_pruner(pruner),
            sampler=optuna.samplers.RandomSampler(),
        )
        self._trials: list[optuna.Trial] = []  # by number
        self._run_ids: dict[int, str] = {}
        for trial in sorted(known, key=lambda t: t.number):
            if trial.number != len(self._trials):
                raise ValueError(
                    f"study {name}: trial {len(self._trials)} is missing in the ledger"
                )
            self._add(trial)
        self._copies = copies
        if copies is not None:
            self._copy()

    def propose(self) -> tuple[int, Params]:
        """The number and the parameters of the next trial."""
        number = len(self._trials)
        if self.sampler.name in ("grid", "qmc"):
            point = grid_point if self.sampler.name == "grid" else sobol_point
            params = point(self.space, number, self._seed(0)) if self.space else {}
            self._add(Known(number, params, "planned"))
            return number, params
        self._study.sampler = make_sampler(self.sampler, self._seed(number))
        trial = self._study.ask(self._distributions)
        self._trials.append(trial)
        return trial.number, dict(trial.params)

    def report(self, number: int, step: int, value: float) -> bool:
        """Note a value on validation; True: the trial is to be stopped.

        A value that is not finite is not noted: the run itself ends on it.
        """
        if not math.isfinite(value):
            return False
        trial = self._trials[number]
        if step not in self._frozen(number).intermediate_values:  # a retry reports them again
            trial.report(value, step)
        return trial.should_prune()

    def notes(self, number: int) -> dict[str, Any]:
        """What the pruner remembers of a trial; hand it back in `Known.notes`."""
        return dict(self._frozen(number).system_attrs)

    def tell(
        self, number: int, state: str, value: float | None, curve: Curve, run_id: str = ""
    ) -> None:
        """Note how a trial ended: done, pruned or failed.

        Raises:
            ValueError: done, and its value is not finite.
        """
        trial = self._trials[number]
        if state == "done" and (value is None or not math.isfinite(value)):
            raise ValueError(f"study {self.name}: trial {number} is done with the value {value}")
        for step, reported in curve:
            if math.isfinite(reported) and step not in self._frozen(number).intermediate_values:
                trial.report(reported, step)
        self._run_ids[number] = run_id
        self._study.tell(trial, value if state == "done" else None, STATES[state])
        self._copy()

    def _seed(self, number: int) -> int:
        text = f"{self.seed}/{self.name}/{number}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _add(self, known: Known) -> None:
        curve = {step: value for step, value in known.curve if math.isfinite(value)}
        value = known.value if known.state == "done" else None
        if known.state == "pruned" and curve:
            value = curve[max(curve)]  # as Optuna's own `tell` does
        self._study.add_trial(
            create_trial(
                state=STATES[known.state],
                value=value,
                params=known.params,
                distributions=self._distributions,
                intermediate_values=curve,
                system_attrs=dict(known.notes),
            )
        )
        added = self._study.get_trials(deepcopy=False)[-1]
        self._trials.append(optuna.Trial(self._study, added._trial_id))
        self._run_ids[added.number] = known.run_id

    def _copy(self) -> None:
        """Copy the finished trials that have no unfinished one before them."""
        if self._copies is not None:
            trials = self._study.get_trials(deepcopy=False)
            self._copies.extend(self.name, self._direction, trials, self._run_ids)


class Copies:
    """Copies of the studies in one SQLite file, for Optuna's own tools."""

    def __init__(self, path: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with FileLock(f"{path}.lock"):  # two drivers under one root may come at the same time
            with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")  # stays with the file
            self._storage = optuna.storages.RDBStorage(
                f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": WAIT_SECONDS}}
            )
        engine = self._storage.engine
        sa.event.listen(engine, "connect", _careful)
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        engine.dispose()  # connections made before the settings
        self._studies: dict[str, tuple[optuna.Study, int]] = {}

    def extend(
        self,
        name: str,
        direction: StudyDirection,
        trials: Sequence[FrozenTrial],
        run_ids: Mapping[int, str],
    ) -> None:
        """Add what is not there yet, so that trial numbers are the same in both places."""
        if name not in self._studies:
            study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                direction=direction,
                load_if_exists=True,
            )
            self._studies[name] = (study, len(study.get_trials(deepcopy=False)))
        study, count = self._studies[name]
        while count < len(trials) and trials[count].state.is_finished():
            trial = trials[count]
            study.add_trial(
                create_trial(
                    state=trial.state,
                    value=trial.value,
                    params=trial.params,
                    distributions=trial.distributions,
                    intermediate_values=trial.intermediate_values,
                    user_attrs={"run_id": run_ids.get(count, "")},
                )
            )
            count += 1
        self._studies[name] = (study, count)

    def close(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()


def _careful(connection: Any, _: Any) -> None:
    """SQLite that neither loses a commit nor gives up where it could wait."""
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def distribution(d: Dimension) -> BaseDistribution:
    """Optuna's word for a dimension."""
    if d.kind == "choice":
        return CategoricalDistribution(d.choices)
    if d.kind == "int":
        return IntDistribution(int(d.low), int(d.high), log=d.log, step=int(d.step) or 1)
    return FloatDistribution(d.low, d.high, log=d.log, step=d.step or None)


def make_sampler(chosen: Chosen, seed: int) -> optuna.samplers.BaseSampler:
    """An Optuna sampler for one proposal."""
    if chosen.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    options = dict(chosen.options)
    return optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=options["startup_trials"],
        n_ei_candidates=options["candidates"],
    )


def make_pruner(chosen: Chosen) -> optuna.pruners.BasePruner:
    """The pruner that a sweep file names; steps are optimiser steps."""
    o = dict(chosen.options)
    if chosen.name == "none":
        return optuna.pruners.NopPruner()
    if chosen.name == "median":
        return optuna.pruners.MedianPruner(o["startup_trials"], o["warmup_steps"])
    if chosen.name == "percentile":
        return optuna.pruners.PercentilePruner(
            o["percentile"], o["startup_trials"], o["warmup_steps"]
        )
    if chosen.name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(o["min_steps"], o["factor"])
    if chosen.name == "hyperband":
        return optuna.pruners.HyperbandPruner(o["min_steps"], o["max_steps"], o["factor"])
    if chosen.name == "patient":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.pruners.PatientPruner(None, o["patience"], o["min_delta"])
    if chosen.name == "threshold":
        return optuna.pruners.ThresholdPruner(o["lower"], o["upper"], o["warmup_steps"])
    raise ValueError(f"no such pruner: {chosen.name}")
