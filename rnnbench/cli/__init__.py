"""The command line. Imports little: `rnnbench --help` and `list` start without torch."""

from rnnbench.cli import clusters, plugins, results, runs, sharing, site, sweeps
from rnnbench.cli.root import main

__all__ = ["clusters", "main", "plugins", "results", "runs", "sharing", "site", "sweeps"]
