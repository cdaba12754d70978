"""Says why a pruner will never stop a trial, from what is known before any is run."""

from __future__ import annotations

from collections.abc import Sequence

from rnnbench.spec.run_spec import Budget
from rnnbench.sweep.file.search_options import PRUNERS, Search

FIRST_STEPS = ("min_steps", "warmup_steps")  # options: optimiser steps before a pruner acts


def why_never(search: Search, trials: int, budgets: Sequence[Budget]) -> str | None:
    """Return why the pruner of a search can stop no trial of a cell; None: it may stop some.

    A pruner is asked at each validation but the last, with which a run ends anyway. Budgets in
    epochs, tokens or seconds do not tell how many steps that is, so of them nothing is said.

    Args:
        trials: of the cell.
        budgets: those that its trials can have.
    """
    pruner, options = search.pruner.name, dict(search.pruner.options)
    if pruner == "none" or not trials:
        return None
    if pruner == "wilcoxon":
        if options["min_seeds"] < len(search.seeds):
            return None
        return (
            f"min_seeds: {options['min_seeds']} are all of the {len(search.seeds)} seeds of a "
            f"trial; write {len(search.seeds) - 1} or less, or give more seeds"
        )
    if options.get("wraps"):  # which has its default options
        options |= {k: o.default for k, o in PRUNERS[options["wraps"]].items()}
    needed = options.get("startup_trials", 0) if pruner != "threshold" else 0
    if trials <= needed:
        return (
            f"startup_trials: {needed} are to end before any is pruned, and there are {trials}: "
            f"write startup_trials: {max(trials // 2, 1)} or less, or search more trials"
        )
    asked: list[range] = []
    for budget in budgets:
        if budget.steps is None:
            return None
        asked.append(range(budget.validate_every, budget.steps, budget.validate_every))
    most = max(map(len, asked), default=0)
    last = max((steps[-1] for steps in asked if steps), default=0)
    if not most:
        every = min(b.validate_every for b in budgets)
        return (
            f"a run is validated at its end alone (budget.validate_every: {every}), where there is "
            "nothing left to stop; validate more often"
        )
    for name in FIRST_STEPS:
        if options.get(name, 0) > last:
            return (
                f"{name}: {options[name]} is beyond step {last}, the last validation before the "
                f"end of a run; write {name}: {last} or less, or give a larger budget"
            )
    if pruner == "patient" and most <= options["patience"] + 1:
        return (
            f"patience: {options['patience']} needs {options['patience'] + 2} validations before "
            f"the end of a run, which has {most}; validate more often"
        )
    return None
