"""Proposing trials: the space, samplers and pruners. The only place that knows Optuna."""
