"""Measures which searched setting of a cell mattered, by Optuna on the ledger's trials."""

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
from rnnbench.results.sql_index import result
from rnnbench.sweep.ledger.tables import create_sweep_tables, sweep_cell, trial
from rnnbench.sweep.search.dimensions import Dimension
from rnnbench.sweep.search.samplers import distribution

Evaluator = Literal["ped-anova", "fanova"]
SEED = 0  # seed of the random forest


def importances(
    engine: sa.Engine,
    task: str | None = None,
    sweep: str | None = None,
    evaluator: Evaluator = "ped-anova",
) -> tuple[CellImportance, ...]:
    """Return for each cell how much each searched setting mattered to the value on validation.

    Trials that failed or were pruned are left out. Which values are good is read from the record
    of a trial.

    Args:
        task, sweep: restrict to the cells of this task, of this sweep; None: all.
        evaluator: "ped-anova" asks what tells the best tenth of the trials from the others
            (Watanabe et al. 2023, arXiv:2304.10255); "fanova" how much of the variance over the
            whole space each setting explains, by a random forest (Hutter et al. 2014).
    """
    create_sweep_tables(engine)
    c, t = sweep_cell.c, trial.c
    cells = sa.select(c.sweep, c.study, c.definition).where(c.refused.is_(None))
    cells = cells.order_by(c.sweep, c.position)
    rows = sa.select(t.sweep, t.study, t.number, t.params, t.value, t.run_id).where(
        t.stage == "search", t.state == "done", t.value.is_not(None)
    )
    if sweep is not None:
        cells, rows = cells.where(c.sweep == sweep), rows.where(t.sweep == sweep)
    finished: dict[tuple[str, str], dict[int, list[Any]]] = {}
    a_run: dict[tuple[str, str], str] = {}  # one that ended, of each cell
    with reader(engine).begin() as connection:
        definitions = [
            (row.sweep, row.study, json.loads(row.definition)) for row in connection.execute(cells)
        ]
        for row in connection.execute(rows):
            trials = finished.setdefault((row.sweep, row.study), {})
            trials.setdefault(row.number, []).append((json.loads(row.params), row.value))
            a_run.setdefault((row.sweep, row.study), row.run_id)
    higher = _where_higher_is_better(engine, set(a_run.values()))
    return tuple(
        _cell_importance(
            name,
            study,
            definition,
            finished.get((name, study), {}),
            evaluator,
            higher_is_better=higher.get(a_run.get((name, study), "")),
        )
        for name, study, definition in definitions
        if task is None or definition["run"]["task"]["name"] == task
    )


def _where_higher_is_better(engine: sa.Engine, run_ids: set[str]) -> dict[str, bool]:
    """Return for each run whether a large value on validation is a good one, by its record."""
    query = sa.select(result.c.run_id, result.c.record).where(
        result.c.run_id.in_(sa.bindparam("ids", expanding=True))
    )
    higher = {}
    with reader(engine).begin() as connection:
        names = sorted(run_ids)
        for start in range(0, len(names), 500):  # databases limit the parameters of a query
            for run_id, text in connection.execute(query, {"ids": names[start : start + 500]}):
                selection = json.loads(text).get("selection") or {}
                if "higher_is_better" in selection:
                    higher[run_id] = bool(selection["higher_is_better"])
    return higher


def _cell_importance(
    sweep: str,
    study: str,
    definition: dict[str, Any],
    trials: dict[int, list[Any]],
    evaluator: Evaluator,
    *,
    higher_is_better: bool | None,
) -> CellImportance:
    run = definition["run"]
    shares, note = _shares(
        definition["space"], trials, evaluator, higher_is_better=higher_is_better
    )
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
    space: dict[str, Any],
    trials: dict[int, list[Any]],
    evaluator: Evaluator,
    *,
    higher_is_better: bool | None,
) -> tuple[tuple[tuple[str, float], ...], str]:
    """Return the share of each setting, the largest first, and a note.

    Args:
        space: the dimensions by name, as `Dimension.as_dict`.
        trials: (parameters, value) of each seed of a trial, by its number.
        higher_is_better: whether the best values are the largest; None: no record is here to say.

    Returns:
        () and the reason where there are no shares.
    """
    if not space:
        return (), "nothing was searched"
    if len(trials) < LEAST_TRIALS:
        many = "1 finished trial is" if len(trials) == 1 else f"{len(trials)} finished trials are"
        return (), f"{many} too few to tell: search {LEAST_TRIALS} or more"
    if higher_is_better is None and evaluator == "ped-anova":
        return (), "no record of its trials is here to say which values are the best"
    dimensions = {n: Dimension.from_dict(n, entry) for n, entry in space.items()}
    distributions = {n: distribution(d) for n, d in dimensions.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if higher_is_better else "minimize",
        sampler=optuna.samplers.RandomSampler(seed=SEED),
    )
    values = {n: math.fsum(v for _, v in rows) / len(rows) for n, rows in trials.items()}
    # Trials that the loss tells apart differ by millionths, which a forest takes for nothing.
    least, most = min(values.values()), max(values.values())
    if 0 < most - least <= 1e-5 * max(abs(least), abs(most), 1.0):
        values = {n: (v - least) / (most - least) for n, v in values.items()}
    for number, rows in trials.items():
        params = {n: dimensions[n].nearest(value) for n, value in rows[0][0].items()}
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                params=params,
                distributions={n: distributions[n] for n in params},
                value=values[number],
            )
        )
    conditional = [n for n, entry in space.items() if "when" in entry]
    unconditional = [n for n in space if n not in conditional]
    if len({t.value for t in study.trials}) < 2:
        return (), "all trials ended alike"
    evaluators: dict[str, BaseImportanceEvaluator] = {
        "ped-anova": optuna.importance.PedAnovaImportanceEvaluator(),
        "fanova": optuna.importance.FanovaImportanceEvaluator(seed=SEED),
    }
    shares = optuna.importance.get_param_importances(
        study, evaluator=evaluators[evaluator], params=unconditional, normalize=True
    )
    note = ""
    if conditional:
        note = f"not asked of settings with a condition: {', '.join(conditional)}"
    pairs = [(name, float(share)) for name, share in shares.items()]
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0]))), note
