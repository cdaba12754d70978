"""From a configuration to the rows of its runs, and from the rows back to a trial."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.errors import Refusal
from rnnbench.leaderboard.grouping import FRONT
from rnnbench.spec.run_spec import PluginSpec, RunSpec, canonical_json
from rnnbench.sweep.engines.protocol import Job
from rnnbench.sweep.file.search_options import Search
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.plan import CellPlan, PluginAccess
from rnnbench.sweep.search.dimensions import Params
from rnnbench.sweep.search.objectives import complaints, objective_values, violations
from rnnbench.sweep.search.study import KnownTrial

INFEASIBLE = "infeasible"  # status of a trial that breaks a constraint before it is run
TELLS = ("done", "pruned", INFEASIBLE)  # states of an earlier sweep's trials that teach
JUDGED = ("done", INFEASIBLE)  # states in which constraints are weighed


def cell_of(study: str) -> str:
    """Return the study of the cell, from the study of one of its runs."""
    return study.partition(FRONT)[0]


class TrialRows:
    """Makes the rows of one cell: of proposed trials, of their further seeds, of final runs."""

    def __init__(self, plan: CellPlan, sweep: Sweep, plugins: PluginAccess) -> None:
        self.plan, self.sweep, self._plugins = plan, sweep, plugins
        self._seeds = sweep.search.seeds or (sweep.search.seed,)
        self._parameters: dict[tuple[PluginSpec, ...], float | None] = {}

    def seed_index(self, row: TrialRow) -> int:
        """Return the index of this row's seed in `search.seeds`."""
        if row.stage != "search" or len(self._seeds) == 1:
            return 0
        return self._seeds.index(int(row.key.rpartition("/")[2]))

    def proposed(self, number: int, params: Params, notes: Mapping[str, Any]) -> TrialRow:
        """Return the row of a new trial on its first seed.

        It has failed already where the configuration is refused, or breaks a constraint that a
        dry run can tell.
        """
        key_end = self._key_end(number, self._seeds[0])
        try:
            spec = self._compose(params, self._seeds[0], test=False)
            row = self._row(key_end, number, params, spec, notes=notes)
            row.costs = self._costs_beforehand(spec)
            if broken := complaints(self.sweep.search.constraints, row.costs):
                row.state, row.status, row.reason = "failed", INFEASIBLE, broken
        except Refusal as error:  # this configuration, not the cell
            row = self._row(key_end, number, params, None, notes=notes)
            row.state, row.status, row.reason = "failed", "refused", str(error)
        return row

    def next_seed(self, before: TrialRow, count: int) -> TrialRow:
        """Return the row of a trial's next seed.

        Args:
            before: the row of its last seed.
            count: number of its seeds so far.
        """
        seed = self._seeds[count]
        spec = self._compose(before.params, seed, test=False)
        key_end = self._key_end(before.number, seed)
        return self._row(key_end, before.number, before.params, spec, notes=before.notes)

    def finals(self, chosen: Sequence[TrialRow | None], seeds: Sequence[int]) -> list[TrialRow]:
        """Return the rows of the final runs on fresh seeds.

        Args:
            chosen: the chosen trials, the best first; None: the cell's only configuration.
        """
        rows = []
        for i, best in enumerate(chosen):
            study, params = self.plan.study, {} if best is None else best.params
            if i and best is not None:
                study += f"{FRONT}{best.number}"
            for seed in seeds:
                spec = self._compose(params, seed, test=True)
                key_end = f"final/{best.number}/{seed}" if i and best else f"final/{seed}"
                rows.append(self._row(key_end, seed, params, spec, stage="final", study=study))
        return rows

    def _compose(self, params: Params, seed: int, *, test: bool) -> RunSpec:
        return self.plan.composed(self._plugins, params, seed, test=test)

    def _costs_beforehand(self, spec: RunSpec) -> dict[str, float]:
        """Return the constrained costs of a configuration that a dry run can tell."""
        if all(b.cost != "parameters" for b in self.sweep.search.constraints):
            return {}
        specs = (spec.task, spec.architecture, *spec.tricks)
        if specs not in self._parameters:  # a dry run takes half a second
            self._parameters[specs] = getattr(self._plugins.check(spec), "parameters", None)
        parameters = self._parameters[specs]
        return {} if parameters is None else {"parameters": float(parameters)}

    def _key_end(self, number: int, seed: int) -> str:
        """Return the last part of the key of a trial's run on a seed."""
        return f"{number}/{seed}" if len(self._seeds) > 1 else f"{number}"

    def _row(
        self,
        key_end: str,
        number: int,
        params: Params,
        spec: RunSpec | None,
        *,
        stage: str = "search",
        study: str | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> TrialRow:
        return TrialRow(
            key=f"{self.sweep.name}/{self.plan.study}/{key_end}",
            sweep=self.sweep.name,
            study=study or self.plan.study,
            stage=stage,
            number=number,
            spec="null" if spec is None else canonical_json(spec.as_message()),
            run_id="" if spec is None else spec.run_id,
            params=params,
            notes=dict(notes or {}),
        )


def job_of(row: TrialRow, sweep: Sweep, *, prunes: bool) -> Job:
    """Return what a worker needs to know of a run.

    Args:
        prunes: whether the search of its cell may stop trials.
    """
    plan = sweep.seed_plan.as_dict() if sweep.seed_plan and row.stage == "final" else None
    asks = row.stage == "search" and prunes
    return Job(
        row.key, row.attempt, json.loads(row.spec), row.sweep, row.study, asks, seed_plan=plan
    )


def trial_from_rows(rows: Sequence[TrialRow], search: Search) -> KnownTrial:
    """Return the trial whose rows these are.

    Args:
        rows: one for each seed that was begun, in the order of the seeds.
    """
    first, count = rows[0], len(search.seeds or (search.seed,))
    states = [r.state for r in rows]
    state = next((s for s in ("failed", "pruned") if s in states), "running")
    if states == ["done"] * count:
        state = "done"
    if any(r.status == INFEASIBLE for r in rows):
        state = INFEASIBLE
    costs = _mean_costs([r.costs for r in rows])
    values: tuple[float, ...] = ()
    curve: list[tuple[int, float]] = list(first.curve)
    if count > 1:
        curve = [(i, r.value) for i, r in enumerate(rows) if r.value is not None]
    if state == "done":
        value = math.fsum(r.value or 0.0 for r in rows) / len(rows)
        values = objective_values(search.objectives, value, costs)
    broken = violations(search.constraints, costs) if state in JUDGED else {}
    return KnownTrial(
        first.number, first.params, state, values, curve, rows[-1].notes, first.run_id, broken
    )


def _mean_costs(costs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each cost that all seeds know."""
    names = set.intersection(*(set(c) for c in costs)) if costs else set()
    return {n: math.fsum(c[n] for c in costs) / len(costs) for n in sorted(names)}
