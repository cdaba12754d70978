"""Measure the seconds of a task's leaderboard where the store holds very many other runs.

Made-up records are written and indexed once; then the command is run as a user runs it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rnnbench.results.record import Record, Status
from rnnbench.results.run_folder import RECORD
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import Budget, Optimizer, PluginSpec, RunSpec

METRIC = {"name": "error", "unit": "", "higher_is_better": False, "help": ""}
ARCHITECTURES = ("elman", "gru", "lstm", "transformer")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--runs", type=int, default=100_000, help="in the store")
    parser.add_argument("--tasks", type=int, default=100, help="which share the runs")
    parser.add_argument("--rounds", type=int, default=5)


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fill(root, arguments.runs, arguments.tasks)
        began = time.perf_counter()
        store = Store(root)
        count = store.reindex()
        store.close()
        print(f"{count:,} records indexed in {time.perf_counter() - began:.1f} s")
        task = f"task{arguments.tasks // 2}"
        board = f"from rnnbench.cli import main; main(['leaderboard', '{task}', '--out', '{root}'])"
        for name, code in (("rnnbench leaderboard", board), ("import torch", "import torch")):
            seconds = []
            for _ in range(arguments.rounds):
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
                seconds.append(time.perf_counter() - began)
            print(f"{name:<24}{statistics.median(seconds):8.2f} s  (median of {arguments.rounds})")


def fill(root: Path, runs: int, tasks: int) -> None:
    """Write the records of `runs` runs, by four architectures, several settings and seeds."""
    rng = random.Random(0)
    for i in range(runs):
        setting, which = divmod(i // tasks, len(ARCHITECTURES) * 10)
        seed, architecture = divmod(which, len(ARCHITECTURES))
        spec = RunSpec(
            task=PluginSpec(f"task{i % tasks}", 1, (("length", 100),)),
            architecture=PluginSpec(ARCHITECTURES[architecture], 1, (("hidden", 64),)),
            optimizer=Optimizer(lr=1e-3 * (1 + setting)),
            budget=Budget(steps=1000),
            seed=seed,
            test=setting == 0,
        )
        value = rng.uniform(1, 2)
        figures: dict[str, float | None] = {"error": value, "loss": value}
        record = Record(
            spec=spec, status=Status.DONE, metric_info=[METRIC],
            metrics={"valid": figures, **({"test": figures} if spec.test else {})},
            selection={"metric": "error", "higher_is_better": False, "value": value, "step": 900},
            cost={"steps": 1000, "parameters": 10_000, "train_seconds": 10.0},
            curve=[[100 * k, float(k), {"error": value + 1 / k}] for k in range(1, 11)],
        )  # fmt: skip
        folder = root / "runs" / record.run_id
        folder.mkdir(parents=True)
        (folder / RECORD).write_text(record.as_json())
