"""Pruners; steps are optimiser steps, or, for pruners over seeds, places in the list of seeds."""

from __future__ import annotations

import warnings

import optuna

from rnnbench.sweep.file.search_options import PRUNERS, ChosenMethod


def make_pruner(chosen: ChosenMethod) -> optuna.pruners.BasePruner:
    """The pruner that a sweep file names."""
    o = dict(chosen.options)
    if chosen.name == "none":
        return optuna.pruners.NopPruner()
    if chosen.name == "median":
        return optuna.pruners.MedianPruner(o["startup_trials"], o["warmup_steps"])
    if chosen.name == "percentile":
        return optuna.pruners.PercentilePruner(
            o["percentile"], o["startup_trials"], o["warmup_steps"]
        )
    if chosen.name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(o["min_steps"], o["factor"])
    if chosen.name == "hyperband":
        return optuna.pruners.HyperbandPruner(o["min_steps"], o["max_steps"], o["factor"])
    if chosen.name == "threshold":
        return optuna.pruners.ThresholdPruner(o["lower"], o["upper"], o["warmup_steps"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if chosen.name == "wilcoxon":
            return optuna.pruners.WilcoxonPruner(p_threshold=o["p"], n_startup_steps=o["min_seeds"])
        if chosen.name == "patient":
            wrapped = None
            if o["wraps"] is not None:
                defaults = {k: option.default for k, option in PRUNERS[o["wraps"]].items()}
                wrapped = make_pruner(ChosenMethod(o["wraps"], tuple(defaults.items())))
            return optuna.pruners.PatientPruner(wrapped, o["patience"], o["min_delta"])
    raise ValueError(f"no such pruner: {chosen.name}")
