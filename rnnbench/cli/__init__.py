"""The command line. Imports little: `rnnbench --help` and `list` start without torch."""

from rnnbench.cli import clusters, completion, plugins, results, runs, sharing, site, sweeps
from rnnbench.cli.root import main

__all__ = [
    "clusters",
    "completion",
    "main",
    "plugins",
    "results",
    "runs",
    "sharing",
    "site",
    "sweeps",
]
