"""Measurements: `python -m rnnbench.benchmarks NAME`. Ratios, paired in one run."""
