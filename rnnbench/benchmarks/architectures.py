"""Measure a training step of every architecture under the runner, over an LSTM's, at equal size.

On each task, all architectures that read it get about the same number of parameters, the same
batches and the same optimiser. They take turns in one process, on one thread; `ratio` is the median
over rounds of the time of a step over that of the lstm in the same round. `share` is the rate of
products (`torch.utils.flop_counter`) over that of a large float32 product in the same round, and
`runs in` the way in which its recurrence was run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from rnnbench.contract import Refusal
from rnnbench.errors import UserError
from rnnbench.nn import scan
from rnnbench.registry.registry import discover
from rnnbench.spec.compose import compose
from rnnbench.spec.instantiate import instantiate
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.training.costs import flops_per_target
from rnnbench.training.determinism import choose_scan, configure
from rnnbench.training.lightning_module import train
from rnnbench.training.loader import PACK, Position
from rnnbench.training.logs import Telemetry
from rnnbench.training.parameter_budget import parameters_of
from rnnbench.training.resolve import resolve
from rnnbench.training.run import Training
from rnnbench.training.train_step import count_targets

TASKS = ("char-lm", "adding", "co2", "digits")
SETTINGS = {"char-lm": {"task.length": 64}}  # beside the tasks' own defaults
RIVAL = "lstm"
STEPS = 4 * PACK  # of a round, of which the first pack warms up
PRODUCT = 512  # rows and columns of the large product


@dataclass
class Measured:
    """Holds what was measured of one architecture on one task.

    Attributes:
        flops: of products in a step; None: they could not be counted.
        seconds: of a step, for each round.
        shares: of the machine's own rate of products, for each round.
        path: the tiers of the scan that ran.
    """

    spec: RunSpec
    parameters: int
    flops: float | None
    seconds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    path: str = ""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--architectures", nargs="+", help="beside lstm; all by default")
    parser.add_argument("--parameters", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--accelerator", default="cpu", choices=["cpu", "gpu"])


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print a table for each task."""
    trainer = Trainer(accelerator=arguments.accelerator)
    configure(trainer)
    names = arguments.architectures or sorted(discover()[0]["architectures"])
    for task in arguments.tasks:
        cells, refused = {}, {}
        for name in dict.fromkeys([RIVAL, *names]):
            try:
                cells[name] = _prepared(task, name, arguments.parameters, arguments.batch)
            except (Refusal, UserError) as why:
                refused[name] = str(why).splitlines()[0]
        for i in range(arguments.rounds + 1):
            rate = product_rate(trainer)
            for cell in cells.values():
                seconds = _seconds_a_step(cell, trainer)
                if i:  # the first round builds kernels and fills caches
                    cell.seconds.append(seconds)
                    if cell.flops:
                        cell.shares.append(cell.flops / seconds / rate)
        _show(task, arguments, rate, cells, refused)


def _prepared(task: str, architecture: str, parameters: int, batch: int) -> Measured:
    settings = {
        **SETTINGS.get(task, {}),
        "optimizer.batch": batch,
        "budget.steps": STEPS,
        "budget.validate_every": 10 * STEPS,  # validation is not measured
        "budget.parameters": parameters,
    }
    spec = resolve(compose(task, architecture, settings=settings, test=False))
    plugins = instantiate(spec)
    try:
        per_target = flops_per_target(plugins.architecture, plugins.task, (), spec.optimizer)
    except (Refusal, NotImplementedError, RuntimeError) as error:  # no kernel on the meta device
        print(f"{architecture}: products not counted: {type(error).__name__}: {error}")
        return Measured(spec, parameters_of(spec), None)
    data = plugins.task.data("train", 0)
    rng = torch.Generator().manual_seed(0)
    keys = data.order(batch, rng)[:PACK]
    targets = sum(count_targets(data.batch(key, rng)) for key in keys) / len(keys)
    return Measured(spec, parameters_of(spec), per_target * targets)


def product_rate(trainer: Trainer) -> float:
    """Return the operations a second of a large float32 product: the best of several."""
    device = "cuda" if trainer.accelerator == "gpu" else "cpu"
    a, b = (torch.randn(PRODUCT, PRODUCT, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        _wait(device)
        began = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * PRODUCT**3 / best


def _seconds_a_step(cell: Measured, trainer: Trainer) -> float:
    """Train for a round, and return the seconds a step after the first pack."""
    ends: list[tuple[int, float]] = []

    def on_step(at: Position, loss: float, progress: float) -> None:
        ends.append((at.step, time.perf_counter()))

    with tempfile.TemporaryDirectory() as folder:
        telemetry = Telemetry(cell.spec, trainer, Path(folder), None)
        training = Training(cell.spec, trainer, Path(folder), telemetry, on_step=on_step)
        choose_scan(trainer, cell.spec.budget, STEPS)
        train(training)
        cell.path = "+".join(dict.fromkeys(row["tier"] for row in scan.report())) or "torch"
    (first, began), (last, ended) = ends[0], ends[-1]
    return (ended - began) / (last - first)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _show(
    task: str, arguments: argparse.Namespace, rate: float,
    cells: dict[str, Measured], refused: dict[str, str],
) -> None:  # fmt: skip
    print(
        f"\n{task}: batch {arguments.batch}, about {arguments.parameters:,} parameters; products "
        f"run at {rate / 1e9:.0f} GFLOP/s"
    )
    print(f"{'architecture':<20}{'parameters':>11}{'ms':>9}{'ratio':>8}{'share':>8}  runs in")
    rival = cells.get(RIVAL)
    for name, cell in sorted(cells.items(), key=lambda item: statistics.median(item[1].seconds)):
        ratio = "-"
        if rival is not None:
            pairs = zip(cell.seconds, rival.seconds, strict=True)
            ratio = f"{statistics.median(a / b for a, b in pairs):.2f}"
        share = f"{statistics.median(cell.shares):.0%}" if cell.shares else "-"
        milliseconds = 1000 * statistics.median(cell.seconds)
        print(
            f"{name:<20}{cell.parameters:>11,}{milliseconds:>9.2f}{ratio:>8}{share:>8}  {cell.path}"
        )
    for name, why in refused.items():
        print(f"{name:<20} {why}")
