"""How a cell is searched: samplers and pruners that a sweep file can name, with their options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

REQUIRED = object()


@dataclass(frozen=True)
class Option:
    """One option: its type, its default (REQUIRED where it has none), its bounds and its help."""

    type: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Chosen:
    """A sampler or pruner with the value of each of its options."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, **dict(self.options)}


@dataclass(frozen=True)
class Search:
    """How the configurations of a cell are sought.

    Attributes:
        trials: of each cell; 0: nothing is sought; None: as many as the grid has points.
        space: by dotted name, a dict with some of low, high, log, step, choices, or "auto".
    """

    trials: int | None = 0
    seed: int = 0
    sampler: Chosen = Chosen("random")
    pruner: Chosen = Chosen("none")
    space: dict[str, dict[str, Any] | str] = field(default_factory=dict)


_STARTUP = Option(int, 5, "finished trials of the cell before any is pruned", low=0)
_WARMUP = Option(int, 0, "optimiser steps of a trial before it may be pruned", low=0)
_FIRST = Option(int, REQUIRED, "optimiser steps that every trial may run", low=1)
_FACTOR = Option(int, 4, "one in so many trials goes on at each rung", low=2)

SAMPLERS: dict[str, dict[str, Option]] = {
    "random": {},
    "tpe": {
        "startup_trials": Option(int, 10, "random trials before the model is used", low=1),
        "candidates": Option(int, 24, "points drawn, of which the most promising is run", low=1),
    },
    "grid": {},  # every point once, in an order shuffled by the seed
    "qmc": {},  # a scrambled Sobol sequence: fills the space more evenly than random points
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
    },
    "threshold": {
        "lower": Option(float, None, "prune a trial whose value falls below"),
        "upper": Option(float, None, "prune a trial whose value rises above"),
        "warmup_steps": _WARMUP,
    },
}
