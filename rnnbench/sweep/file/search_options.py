"""The samplers, pruners and rules that a sweep file can name, with their options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rnnbench.results.record import COSTS, TESTED

REQUIRED = object()
AUTO_TRIALS = 30  # of each cell, where the file says `search: auto`


@dataclass(frozen=True)
class Option:
    """One option of a sampler, a pruner or a rule.

    Attributes:
        default: its default; REQUIRED where it has none.
        low, high: its bounds, both included; None: unbounded.
        words: the values that it can have, where its type is str.
    """

    type: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChosenMethod:
    """A sampler, a pruner or a rule for stopping, with the value of each of its options."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, option: str) -> Any:
        return dict(self.options)[option]

    def as_dict(self) -> dict[str, Any]:
        """Return the name and the options in one dict."""
        return {"name": self.name, **dict(self.options)}


@dataclass(frozen=True)
class Bound:
    """A constraint on a cost of a configuration.

    Attributes:
        cost: name in `rnnbench.results.record.COSTS`.
        at_most: whether the cost must be at most the limit; otherwise at least.
    """

    cost: str
    limit: float
    at_most: bool

    def violation(self, value: float) -> float:
        """Return how far a cost is beyond the limit, as a share of it; 0 or less: it holds."""
        beyond = value - self.limit if self.at_most else self.limit - value
        return beyond / self.limit

    def complaint(self, value: float) -> str:
        """Return a message for a cost beyond the limit."""
        kind = "at most" if self.at_most else "at least"
        return f"{self.cost} is {value:.6g}, and must be {kind} {self.limit:.6g}"


@dataclass(frozen=True)
class Search:
    """The part `search` of a sweep file: how the configurations of a cell are sought.

    Attributes:
        trials: number of trials of each cell; 0: nothing is sought; None: as many as the grid has
            points.
        seed: seed of the sampler, and of every run of the search unless `seeds` is given.
        space: by dotted name, a dict with some of low, high, log, step, choices, when, optional,
            or "auto".
        auto: whether the space is every field of the cell that recommends a range.
        objectives: "validation" first, by which the best is chosen, then names in `COSTS`.
        start: configurations to try first: "published", or settings by dotted name.
        history: an earlier sweep whose ended trials are known from the beginning.
        seeds: seeds on all of which each trial runs; empty: it runs on `seed`.
        stop: the rule by which the search of a cell ends before its trials are used up.
        timeout: seconds after which no new trial of the search is started.
    """

    trials: int | None = 0
    seed: int = 0
    sampler: ChosenMethod = ChosenMethod("random")
    pruner: ChosenMethod = ChosenMethod("none")
    space: dict[str, dict[str, Any] | str] = field(default_factory=dict)
    auto: bool = False
    objectives: tuple[str, ...] = ("validation",)
    constraints: tuple[Bound, ...] = ()
    start: tuple[str | dict[str, Any], ...] = ()
    history: str | None = None
    seeds: tuple[int, ...] = ()
    stop: ChosenMethod = ChosenMethod("none")
    timeout: float | None = None


_STARTUP = Option(int, 5, "finished trials of the cell before any is pruned", low=0)
_WARMUP = Option(int, 0, "optimiser steps of a trial before it may be pruned", low=0)
_FIRST = Option(int, REQUIRED, "optimiser steps that every trial may run", low=1)
_FACTOR = Option(int, 4, "one in so many trials goes on at each rung", low=2)
_RANDOM = Option(int, 10, "random trials before the model is used", low=1)


def _history(default: int, low: int = 20) -> Option:
    """Return the option of how many ended trials the model of a sampler is given."""
    help_text = "ended trials that the model is given: the best quarter, and the latest"
    return Option(int, default, help_text, low=low)


_POPULATION = Option(int, 50, "trials of a generation", low=4, high=200)
_CROSSOVER = Option(float, 0.9, "probability that a child has two parents", low=0, high=1)
_MUTATION = Option(float, None, "probability that a setting is drawn anew; none: 1 in all", 0, 1)

SAMPLERS: dict[str, dict[str, Option]] = {
    "random": {},
    "tpe": {
        "startup_trials": _RANDOM,
        "candidates": Option(int, 24, "points drawn, of which the most promising is run", low=1),
        "history": _history(300),
    },
    "gp": {"startup_trials": _RANDOM, "history": _history(100)},
    "cmaes": {
        "population": Option(int, None, "trials of a generation; none: by dimensions", 4, 200),
        "sigma": Option(float, 1 / 6, "first spread, as a share of each range", low=1e-3, high=1),
    },
    "nsga2": {"population": _POPULATION, "crossover": _CROSSOVER, "mutation": _MUTATION},
    "nsga3": {
        "population": _POPULATION,
        "crossover": _CROSSOVER,
        "mutation": _MUTATION,
        "divisions": Option(int, 3, "of each objective between the reference points", low=1),
    },
    "grid": {},  # every point once, in an order shuffled by the seed
    "qmc": {},  # a scrambled Sobol sequence: fills the space more evenly than random points
}

ABOUT: dict[str, str] = {
    "random": "points drawn independently",
    "tpe": "prefers where good trials are denser than the others; takes conditions, choices, "
    "several objectives and constraints",
    "gp": "a Gaussian process and expected improvement: for few and costly trials; no conditions",
    "cmaes": "CMA-ES: numbers only, two or more; one objective, no conditions nor constraints",
    "nsga2": "a genetic search for several objectives; no conditions",
    "nsga3": "the same, spread along reference directions: for three objectives and more",
    "grid": "every point once, in an order shuffled by the seed; ranges need a step",
    "qmc": "a scrambled Sobol sequence: fills the space more evenly than random points",
    "none": "every trial runs its whole budget",
    "gain": "ends the search of a cell where its best value no longer gets better",
    "median": "stops what is worse than the median of the others at the same step",
    "percentile": "stops what is not among the best share of the others at the same step",
    "asha": "asynchronous successive halving",
    "hyperband": "successive halving with several first rungs",
    "patient": "stops what has not become better for a while, or delays the pruner that it wraps",
    "threshold": "stops what leaves the bounds",
    "wilcoxon": "with `search.seeds`: stops a configuration that is worse on the seeds so far",
}

PRUNERS: dict[str, dict[str, Option]] = {
    "none": {},
    "median": {"startup_trials": _STARTUP, "warmup_steps": _WARMUP},
    "percentile": {
        "percentile": Option(float, 25.0, "the share of trials, in %, that goes on", 0, 100),
        "startup_trials": _STARTUP,
        "warmup_steps": _WARMUP,
    },
    "asha": {"min_steps": _FIRST, "factor": _FACTOR},
    "hyperband": {
        "min_steps": _FIRST,
        "max_steps": Option(int, REQUIRED, "optimiser steps of a whole trial", low=1),
        "factor": Option(int, 3, "one in so many trials goes on at each rung", low=2),
    },
    "patient": {
        "patience": Option(int, REQUIRED, "validations without a better value", low=1),
        "min_delta": Option(float, 0.0, "how much better counts as better", low=0),
        "wraps": Option(
            str, None, "stop only where this pruner would too, with its default options",
            words=("median", "percentile"),
        ),
    },
    "threshold": {
        "lower": Option(float, None, "prune a trial whose value falls below"),
        "upper": Option(float, None, "prune a trial whose value rises above"),
        "warmup_steps": _WARMUP,
    },
    "wilcoxon": {
        "p": Option(float, 0.1, "prune where a configuration is worse with this p", 0, 1),
        "min_seeds": Option(int, 2, "seeds that every trial may run", low=2),
    },
}  # fmt: skip

STOPS: dict[str, dict[str, Option]] = {
    "none": {},
    "gain": {
        "trials": Option(int, 20, "trials, in the order of their numbers, that are looked at", 1),
        "least": Option(
            float, 0.01, "stop where the best value became better by less, as a share of it", 0
        ),
        "first": Option(int, 20, "trials that are run in any case", low=1),
    },
}

OBJECTIVES: dict[str, str] = {
    "validation": "validation",
    **{cost: cost for cost in COSTS if cost not in TESTED},
    "seconds": "train_seconds",
    "memory": "peak_memory_bytes",
}
"""What a search can aim for, by each of its names; a cost is to be small."""
