"""From a configuration to the rows of its runs, and from the rows back to a trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.leaderboard.grouping import FRONT
from rnnbench.spec.run_spec import PluginSpec, RunSpec
from rnnbench.sweep.file.search_options import Search
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.plan import CellPlan, PluginAccess
from rnnbench.sweep.search.dimensions import Params
from rnnbench.sweep.search.objectives import objective_values, violations
from rnnbench.sweep.search.study import Known

INFEASIBLE = "infeasible"  # status of a trial that breaks a constraint before it is run
TELLS = ("done", "pruned", INFEASIBLE)  # states of an earlier sweep's trials that teach
JUDGED = ("done", INFEASIBLE)  # states in which constraints are weighed


def cell_of(study: str) -> str:
    """The study of the cell, from that of one of its runs."""
    return study.partition(FRONT)[0]


class TrialRows:
    """Makes the rows of one cell."""

    def __init__(self, plan: CellPlan, sweep: Sweep, bench: PluginAccess) -> None:
        self.plan, self.sweep, self._bench = plan, sweep, bench
        self._seeds = sweep.search.seeds or (sweep.search.seed,)
        self._parameters: dict[tuple[PluginSpec, ...], float | None] = {}

    def spec(self, params: Params, seed: int, *, test: bool) -> RunSpec:
        return self.plan.composed(self._bench, params, seed, test=test)

    def costs_beforehand(self, spec: RunSpec) -> dict[str, float]:
        """What a configuration costs, as far as its constraints ask and a dry run tells."""
        if all(b.cost != "parameters" for b in self.sweep.search.constraints):
            return {}
        plugins = (spec.task, spec.architecture, *spec.tricks)
        if plugins not in self._parameters:  # a dry run takes half a second
            self._parameters[plugins] = getattr(self._bench.check(spec), "parameters", None)
        parameters = self._parameters[plugins]
        return {} if parameters is None else {"parameters": float(parameters)}

    def last(self, number: int, seed: int) -> str:
        """The end of the key of a trial's run."""
        return f"{number}/{seed}" if len(self._seeds) > 1 else f"{number}"

    def place(self, row: TrialRow) -> int:
        """Of the seed of a row, among those of the search."""
        if row.stage != "search" or len(self._seeds) == 1:
            return 0
        return self._seeds.index(int(row.key.rpartition("/")[2]))

    def row(
        self,
        last: str,
        number: int,
        params: Params,
        spec: RunSpec | None,
        *,
        stage: str = "search",
        study: str | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> TrialRow:
        return TrialRow(
            key=f"{self.sweep.name}/{self.plan.study}/{last}",
            sweep=self.sweep.name,
            study=study or self.plan.study,
            stage=stage,
            number=number,
            spec="null" if spec is None else spec.canonical(),
            run_id="" if spec is None else spec.run_id,
            params=params,
            notes=dict(notes or {}),
        )

    def finals(self, chosen: Sequence[TrialRow | None]) -> list[TrialRow]:
        """The runs on fresh seeds of the chosen trials, the best first; None: of the only
        configuration."""
        rows = []
        for i, best in enumerate(chosen):
            study, params = self.plan.study, {} if best is None else best.params
            if i and best is not None:
                study += f"{FRONT}{best.number}"
            for seed in self.sweep.seeds:
                spec = self.spec(params, seed, test=True)
                last = f"final/{best.number}/{seed}" if i and best else f"final/{seed}"
                rows.append(self.row(last, seed, params, spec, stage="final", study=study))
        return rows


def known_trial(rows: Sequence[TrialRow], search: Search) -> Known:
    """A trial from its rows, one for each seed that was begun, in the order of the seeds."""
    first, count = rows[0], len(search.seeds or (search.seed,))
    states = [r.state for r in rows]
    state = next((s for s in ("failed", "pruned") if s in states), "running")
    if states == ["done"] * count:
        state = "done"
    if any(r.status == INFEASIBLE for r in rows):
        state = INFEASIBLE
    costs = _means([r.costs for r in rows])
    values: tuple[float, ...] = ()
    curve: list[tuple[int, float]] = list(first.curve)
    if count > 1:
        curve = [(i, r.value) for i, r in enumerate(rows) if r.value is not None]
    if state == "done":
        value = math.fsum(r.value or 0.0 for r in rows) / len(rows)
        values = objective_values(search.objectives, value, costs)
    broken = violations(search.constraints, costs) if state in JUDGED else {}
    return Known(
        first.number, first.params, state, values, curve, rows[-1].notes, first.run_id, broken
    )


def _means(costs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each cost that all seeds know."""
    names = set.intersection(*(set(c) for c in costs)) if costs else set()
    return {n: math.fsum(c[n] for c in costs) / len(costs) for n in sorted(names)}
