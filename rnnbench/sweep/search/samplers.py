"""Samplers, made for one proposal, and the distributions from which they draw."""

from __future__ import annotations

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
    """Optuna's word for a dimension."""
    if d.kind == "choice":
        return CategoricalDistribution(d.choices)
    if d.kind == "int":
        return IntDistribution(int(d.low), int(d.high), log=d.log, step=int(d.step) or 1)
    return FloatDistribution(d.low, d.high, log=d.log, step=d.step or None)


def suggest(trial: optuna.Trial, d: Dimension) -> Any:
    """Ask a trial for the value of a dimension."""
    if d.kind == "choice":
        return trial.suggest_categorical(d.name, d.choices)
    if d.kind == "int":
        step = int(d.step) or 1
        return trial.suggest_int(d.name, int(d.low), int(d.high), log=d.log, step=step)
    return trial.suggest_float(d.name, d.low, d.high, log=d.log, step=d.step or None)


def remembered(chosen: ChosenMethod) -> tuple[int, int]:
    """How many of the latest and of the best ended trials a sampler is to be shown."""
    options = dict(chosen.options)
    if "history" in options:
        best = options["history"] // 4
        return options["history"] - best, best
    return PLAIN_HISTORY, 1


def make_sampler(
    chosen: ChosenMethod, seed: int, space: Mapping[str, BaseDistribution] | None, *, several: bool
) -> optuna.samplers.BaseSampler:
    """An Optuna sampler for one proposal: it has no memory of its own.

    Args:
        space: where every trial has the same settings; None: Optuna looks them up.
        several: objectives.
    """
    o = dict(chosen.options)
    if chosen.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    genetic = {}
    if chosen.name in ("nsga2", "nsga3"):
        genetic = {
            "population_size": o["population"],
            "crossover_prob": o["crossover"],
            "mutation_prob": o["mutation"],
        }
    sampler: optuna.samplers.BaseSampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if chosen.name == "tpe":
            sampler = optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=o["startup_trials"],
                n_ei_candidates=o["candidates"],
                # One model for each set of settings that occur together. With several objectives
                # every setting has a model of its own.
                group=space is None and not several,
            )
        elif chosen.name == "gp":
            sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=o["startup_trials"])
        elif chosen.name == "nsga2":
            sampler = optuna.samplers.NSGAIISampler(seed=seed, **genetic)
        elif chosen.name == "nsga3":
            sampler = optuna.samplers.NSGAIIISampler(
                seed=seed, dividing_parameter=o["divisions"], **genetic
            )
        else:
            raise ValueError(f"no such sampler: {chosen.name}")
    if space is not None and not (chosen.name == "tpe" and several):
        # Else it compares the settings of all trials at each proposal, a third of its time.
        known = {name: d for name, d in sorted(space.items()) if not d.single()}
        sampler.infer_relative_search_space = lambda study, trial: known  # type: ignore[method-assign]
    return sampler


class CmaEs:
    """CMA-ES (Hansen 2016, arXiv:1604.00772, by the library `cmaes`) over the unit cube.

    A proposal notes its generation and its point, and the one that begins a generation the trials
    from which it came. From these notes the state is made again, and never from a pickle.
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
        """Parameters, and what to note of them."""
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
        pairs = zip(self._space, point, strict=True)
        return {d.name: d.at(min(u, 1 - 1e-12)) for d, u in pairs}

    def note(self, number: int, notes: Mapping[str, Any]) -> None:
        """A trial was proposed, perhaps by an earlier driver, and these were its notes."""
        if "from" in notes and notes["generation"] > self._strategy.generation:
            self._tell(notes["from"])
        if notes.get("generation") == self._strategy.generation:
            self._points[number] = notes["point"]

    def end(self, number: int, value: float) -> None:
        """A trial is done; one of an earlier generation comes too late to be learnt from."""
        if number in self._points:
            self._values[number] = self._sign * value

    def _tell(self, numbers: Sequence[int]) -> None:
        told = [(np.array(self._points[n]), self._values[n]) for n in numbers]
        self._strategy.tell(told)
        self._points.clear()
        self._values.clear()
