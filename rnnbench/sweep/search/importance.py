"""Which searched setting of a cell mattered, by Optuna's evaluators on the ledger's trials."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import optuna
import sqlalchemy as sa
from optuna.importance import BaseImportanceEvaluator
from optuna.trial import TrialState, create_trial

from rnnbench.leaderboard.types import LEAST_TRIALS, CellImportance
from rnnbench.results.database import reader
from rnnbench.sweep.ledger.tables import create_sweep_tables, sweep_cell, trial
from rnnbench.sweep.search.dimensions import Dimension
from rnnbench.sweep.search.samplers import distribution

Evaluator = Literal["ped-anova", "fanova"]
SEED = 0  # of the forest


def importances(
    engine: sa.Engine,
    task: str | None = None,
    sweep: str | None = None,
    evaluator: Evaluator = "ped-anova",
) -> tuple[CellImportance, ...]:
    """Of each cell of the sweeps how much each searched setting mattered to what validation said.

    Args:
        task, sweep: those cells only.
        evaluator: "ped-anova" asks what tells the best tenth of the trials from the others
            (Watanabe et al. 2023, arXiv:2304.10255); "fanova" how much of the variance over the
            whole space each setting explains, by a random forest (Hutter et al. 2014).

    Trials that failed or were pruned say nothing here.
    """
    create_sweep_tables(engine)
    c, t = sweep_cell.c, trial.c
    cells = sa.select(c.sweep, c.study, c.definition).where(c.refused.is_(None))
    cells = cells.order_by(c.sweep, c.position)
    rows = sa.select(t.sweep, t.study, t.number, t.params, t.value).where(
        t.stage == "search", t.state == "done", t.value.is_not(None)
    )
    if sweep is not None:
        cells, rows = cells.where(c.sweep == sweep), rows.where(t.sweep == sweep)
    finished: dict[tuple[str, str], dict[int, list[Any]]] = {}
    with reader(engine).begin() as connection:
        found = [(row.sweep, row.study, json.loads(row.definition)) for row in
                 connection.execute(cells)]  # fmt: skip
        for row in connection.execute(rows):
            of = finished.setdefault((row.sweep, row.study), {}).setdefault(row.number, [])
            of.append((json.loads(row.params), row.value))
    return tuple(
        _cell(name, study, definition, finished.get((name, study), {}), evaluator)
        for name, study, definition in found
        if task is None or definition["run"]["task"]["name"] == task
    )


def _cell(
    sweep: str,
    study: str,
    definition: dict[str, Any],
    trials: dict[int, list[Any]],
    evaluator: Evaluator,
) -> CellImportance:
    run = definition["run"]
    shares, note = _shares(definition["space"], trials, evaluator)
    return CellImportance(
        sweep=sweep,
        study=study,
        task=run["task"]["name"],
        architecture=run["architecture"]["name"],
        tricks=tuple(t["name"] for t in run["tricks"]),
        trials=len(trials),
        shares=shares,
        note=note,
    )


def _shares(
    space: dict[str, Any], trials: dict[int, list[Any]], evaluator: Evaluator
) -> tuple[tuple[tuple[str, float], ...], str]:
    """The shares, the largest first, or () and why there are none."""
    if not space:
        return (), "nothing was searched"
    if len(trials) < LEAST_TRIALS:
        many = "1 finished trial is" if len(trials) == 1 else f"{len(trials)} finished trials are"
        return (), f"{many} too few to tell: search {LEAST_TRIALS} or more"
    distributions = {n: distribution(Dimension.from_dict(n, entry)) for n, entry in space.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=SEED))
    for rows in trials.values():
        params = rows[0][0]
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                params=params,
                distributions={n: distributions[n] for n in params},
                value=math.fsum(value for _, value in rows) / len(rows),
            )
        )
    conditional = [n for n, entry in space.items() if "when" in entry]
    asked = [n for n in space if n not in conditional]
    if len({t.value for t in study.trials}) < 2:
        return (), "all trials ended alike"
    ways: dict[str, BaseImportanceEvaluator] = {
        "ped-anova": optuna.importance.PedAnovaImportanceEvaluator(),
        "fanova": optuna.importance.FanovaImportanceEvaluator(seed=SEED),
    }
    shares = optuna.importance.get_param_importances(
        study, evaluator=ways[evaluator], params=asked, normalize=True
    )
    note = ""
    if conditional:
        note = f"not asked of settings with a condition: {', '.join(conditional)}"
    told = [(name, float(share)) for name, share in shares.items()]
    return tuple(sorted(told, key=lambda s: (-s[1], s[0]))), note
