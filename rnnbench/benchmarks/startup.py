"""Measure the time of `rnnbench --help` and `list`, beside Python's own `import argparse`.

Each is a process of its own, and rounds alternate between them; the figures are medians of
wall-clock milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c 'import argparse'": [sys.executable, "-c", "import argparse"],
    "rnnbench --help": [str(Path(sys.executable).with_name("rnnbench")), "--help"],
    "rnnbench list": [str(Path(sys.executable).with_name("rnnbench")), "list"],
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=15)


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(arguments.rounds):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(1000 * (time.perf_counter() - began))
    medians = {name: statistics.median(t) for name, t in times.items()}
    for name, median in medians.items():
        print(f"{name:<30}{median:8.0f} ms")
    limit = 2 * medians["python -c 'import argparse'"] + 100
    print(f"aim for --help: at most 2 x argparse + 100 ms = {limit:.0f} ms")
