"""Measurements, started by `python -m rnnbench.benchmarks NAME`; ratios are paired in one run."""
