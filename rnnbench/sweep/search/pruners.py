"""Makes pruners. Their steps are optimiser steps, or, over seeds, indices in the list of seeds."""

from __future__ import annotations

import warnings

import optuna

from rnnbench.sweep.file.search_options import PRUNERS, ChosenMethod


def make_pruner(chosen: ChosenMethod) -> optuna.pruners.BasePruner:
    """Return the Optuna pruner that a sweep file names."""
    options = dict(chosen.options)
    if chosen.name == "none":
        return optuna.pruners.NopPruner()
    if chosen.name == "median":
        return optuna.pruners.MedianPruner(options["startup_trials"], options["warmup_steps"])
    if chosen.name == "percentile":
        return optuna.pruners.PercentilePruner(
            options["percentile"], options["startup_trials"], options["warmup_steps"]
        )
    if chosen.name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(options["min_steps"], options["factor"])
    if chosen.name == "hyperband":
        return optuna.pruners.HyperbandPruner(
            options["min_steps"], options["max_steps"], options["factor"]
        )
    if chosen.name == "threshold":
        return optuna.pruners.ThresholdPruner(
            options["lower"], options["upper"], options["warmup_steps"]
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if chosen.name == "wilcoxon":
            return optuna.pruners.WilcoxonPruner(
                p_threshold=options["p"], n_startup_steps=options["min_seeds"]
            )
        if chosen.name == "patient":
            wrapped = None
            if options["wraps"] is not None:
                defaults = {k: option.default for k, option in PRUNERS[options["wraps"]].items()}
                wrapped = make_pruner(ChosenMethod(options["wraps"], tuple(defaults.items())))
            return optuna.pruners.PatientPruner(wrapped, options["patience"], options["min_delta"])
    raise ValueError(f"no such pruner: {chosen.name}")
