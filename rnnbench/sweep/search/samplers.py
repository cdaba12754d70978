"""Makes the sampler of each proposal, and the distributions from which it draws."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rnnbench.sweep.file.search_options import ChosenMethod
from rnnbench.sweep.search.dimensions import Dimension, Params

PLAIN_HISTORY = 1000  # ended trials remembered for pruners, and by genetic samplers


def distribution(d: Dimension) -> BaseDistribution:
    """Return a dimension as an Optuna distribution."""
    if d.kind == "choice":
        return CategoricalDistribution(d.choices)
    if d.kind == "int":
        return IntDistribution(int(d.low), int(d.high), log=d.log, step=int(d.step) or 1)
    return FloatDistribution(d.low, d.high, log=d.log, step=_float_step(d))


def _float_step(d: Dimension) -> float | None:
    """Return the step that Optuna is told of; None: it draws any value, and the nearest is taken.

    It divides by the step, and refuses a quotient that is 1e-8 off a whole number, as those of
    fine steps are for rounding alone.
    """
    rounding = max(abs(d.low), abs(d.high)) * sys.float_info.epsilon
    return d.step if d.step and rounding < 1e-9 * d.step else None


def suggest(trial: optuna.Trial, d: Dimension) -> Any:
    """Let a trial draw the value of a dimension, and return it."""
    if d.kind == "choice":
        return trial.suggest_categorical(d.name, d.choices)
    if d.kind == "int":
        step = int(d.step) or 1
        return trial.suggest_int(d.name, int(d.low), int(d.high), log=d.log, step=step)
    return trial.suggest_float(d.name, d.low, d.high, log=d.log, step=_float_step(d))


def remembered(chosen: ChosenMethod) -> tuple[int, int]:
    """Return how many of the latest and of the best ended trials a sampler is to see."""
    options = dict(chosen.options)
    if "history" in options:
        best = options["history"] // 4
        return options["history"] - best, best
    return PLAIN_HISTORY, 1


def make_sampler(
    chosen: ChosenMethod, seed: int, space: Mapping[str, BaseDistribution] | None, *, several: bool
) -> optuna.samplers.BaseSampler:
    """Return an Optuna sampler for one proposal; it has no memory of its own.

    Args:
        space: the settings, where every trial has the same ones; None: Optuna looks them up.
        several: whether there are several objectives.
    """
    options = dict(chosen.options)
    if chosen.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    genetic = {}
    if chosen.name in ("nsga2", "nsga3"):
        genetic = {
            "population_size": options["population"],
            "crossover_prob": options["crossover"],
            "mutation_prob": options["mutation"],
        }
    sampler: optuna.samplers.BaseSampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if chosen.name == "tpe":
            sampler = optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=options["startup_trials"],
                n_ei_candidates=options["candidates"],
                # One model for each set of settings that occur together. With several objectives
                # every setting has a model of its own.
                group=space is None and not several,
            )
        elif chosen.name == "gp":
            startup_trials = options["startup_trials"]
            sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup_trials)
        elif chosen.name == "nsga2":
            sampler = optuna.samplers.NSGAIISampler(seed=seed, **genetic)
        elif chosen.name == "nsga3":
            sampler = optuna.samplers.NSGAIIISampler(
                seed=seed, dividing_parameter=options["divisions"], **genetic
            )
        else:
            raise ValueError(f"no such sampler: {chosen.name}")
    if space is not None and not (chosen.name == "tpe" and several):
        # Otherwise it compares the settings of all trials at each proposal, a third of its time.
        known = {name: d for name, d in sorted(space.items()) if not d.single()}
        sampler.infer_relative_search_space = lambda study, trial: known  # type: ignore[method-assign]
    return sampler


class CmaEs:
    """CMA-ES (Hansen 2016, arXiv:1604.00772, by the library `cmaes`) over the unit cube.

    A proposal notes its generation and its point; the one that begins a generation also notes the
    trials from which it came. The state is rebuilt from these notes, and never from a pickle.

    Args:
        sign: 1 where the objective is to be small, -1 where it is to be large.
    """

    def __init__(
        self, space: Sequence[Dimension], chosen: ChosenMethod, seed: int, sign: int
    ) -> None:
        import cmaes

        self._space, self._sign = tuple(space), sign
        count = len(space)
        self._strategy = cmaes.CMA(
            mean=np.full(count, 0.5),
            sigma=chosen["sigma"],
            bounds=np.tile([0.0, 1.0], (count, 1)),
            n_max_resampling=10 * count,
            seed=seed,
            population_size=chosen["population"],
        )
        self._points: dict[int, list[float]] = {}  # of this generation, by number
        self._values: dict[int, float] = {}  # of those that are done

    def propose(self, seed: int) -> tuple[Params, dict[str, Any]]:
        """Return the parameters of a trial, and what to note of them."""
        notes: dict[str, Any] = {}
        done = sorted(self._values)[: self._strategy.population_size]
        if len(done) == self._strategy.population_size:
            self._tell(done)
            notes["from"] = done
        self._strategy.reseed_rng(seed)
        point = [float(u) for u in self._strategy.ask()]
        notes |= {"generation": self._strategy.generation, "point": point}
        return self.params(point), notes

    def params(self, point: Sequence[float]) -> Params:
        """Return the parameters at a point of the unit cube."""
        pairs = zip(self._space, point, strict=True)
        return {d.name: d.at(min(u, 1 - 1e-12)) for d, u in pairs}

    def note(self, number: int, notes: Mapping[str, Any]) -> None:
        """Take in the notes of a proposed trial, perhaps of an earlier driver."""
        if "from" in notes and notes["generation"] > self._strategy.generation:
            self._tell(notes["from"])
        if notes.get("generation") == self._strategy.generation:
            self._points[number] = notes["point"]

    def end(self, number: int, value: float) -> None:
        """Take in the value of a trial that is done, unless it is of an earlier generation."""
        if number in self._points:
            self._values[number] = self._sign * value

    def _tell(self, numbers: Sequence[int]) -> None:
        """Begin the next generation from these trials."""
        solutions = [(np.array(self._points[n]), self._values[n]) for n in numbers]
        self._strategy.tell(solutions)
        self._points.clear()
        self._values.clear()
