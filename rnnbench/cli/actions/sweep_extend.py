"""Does `rnnbench sweep extend`: more trials or final seeds, or a larger budget than the file's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnbench.cli.actions.sweep_control import open_sweep, resume_command
from rnnbench.errors import UserError
from rnnbench.sweep.file.sweep import Sweep, parse_sweep
from rnnbench.sweep.ledger.spending import Account, SpendingBook


class ExtendError(UserError, ValueError):
    """A sweep cannot be extended as asked; the message says why."""


def extend_sweep(
    name: str,
    trials: int | None,
    seeds: Sequence[int],
    limits: Mapping[str, float],
    root: Path | str,
    database: str | None,
) -> None:
    """Ask for more trials or final seeds than the file does, or for a larger budget.

    Args:
        limits: of the budget, in all, by the names of `rnnbench.sweep.file.budget.SweepLimits`.

    Raises:
        ExtendError: nothing is given, a seed is one of the search, or results decide
            on the seeds, or a limit is no larger than
            the one that holds.
    """
    if trials is None and not seeds and not limits:
        raise ExtendError(
            "extend by what? give --trials N, --seed S, or a larger budget: --hours, --gpu-hours, "
            "--cpu-hours, --money"
        )
    with open_sweep(name, root, database) as sweep:
        request = sweep.requests.read()
        file = parse_sweep(request.text, request.file)
        if seeds and file.seed_plan is not None:
            raise ExtendError(
                f"--seed: results decide on the seeds of {name} (final.seeds is auto in its file); "
                f"raise final.at_most there, now {file.seed_plan.at_most}, and start the file again"
            )
        _refuse_seeds_of_the_search(file, seeds)
        book = SpendingBook(sweep.store.engine, name)
        account = book.read(file.budget, file.prices)
        for limit, value in limits.items():
            _refuse_smaller(account, name, limit, value)
        parts = []
        if trials is not None or seeds:
            request = sweep.requests.extend(trials, seeds)
            if request.trials is not None:
                parts.append(f"{request.trials} trials of each cell")
            if request.seeds:
                parts.append(f"final seeds {', '.join(map(str, request.seeds))} beside the file's")
        if limits:
            book.extend(limits)
            amounts = ", ".join(account.amount(*limit) for limit in limits.items())
            parts.append(f"a budget of {amounts} in all")
        print(f"{name} is asked for {' and '.join(parts)}")
        if sweep.holder() is None:
            print(f"Nobody runs it now: {resume_command(name, root, database)}")


def _refuse_seeds_of_the_search(file: Sweep, seeds: Sequence[int]) -> None:
    """Refuse final seeds that chose the configuration."""
    search_seeds = {file.search.seed, *file.search.seeds}
    if file.search.trials != 0 and (shared := search_seeds & set(seeds)):
        raise ExtendError(
            f"seed {min(shared)} is a seed of the search: a configuration must be reported on "
            "seeds that did not choose it"
        )


def _refuse_smaller(account: Account, sweep: str, name: str, value: float) -> None:
    """Refuse a limit that gives a sweep no more than it has."""
    known = account.limits.given().get(name)
    option = f"--{name.replace('_', '-')}"
    if known is None:
        raise ExtendError(
            f"{option}: the file of {sweep} has no budget of {name}, so there is nothing to "
            "extend; a limit is set in the file, under `budget`"
        )
    if value <= known:
        raise ExtendError(
            f"{option} {value:g}: the budget is {account.amount(name, known)} in all already; give "
            "more, or lower it in the file"
        )
