"""Measure a training step under the runner, over a plain PyTorch loop's on the same batches.

Rounds of the two alternate in one process, on one thread; the ratio is the median over rounds. The
runner's share counts everything between its first and its last pack: data, steps, logs, Lightning.
The plain loop reads the same batches from the same loader and does nothing but train.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.training.determinism import choose_scan, configure
from rnnbench.training.lightning_module import train
from rnnbench.training.loader import PACK, Position
from rnnbench.training.logs import Telemetry
from rnnbench.training.resolve import resolve
from rnnbench.training.run import Training
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer

SIZES = {"small": 32, "medium": 96, "large": 192}  # hidden units


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--task", default="char-lm")
    parser.add_argument("--architecture", default="lstm")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--accelerator", default="cpu", choices=["cpu", "gpu"])


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    trainer = Trainer(accelerator=arguments.accelerator)
    configure(trainer)
    print(f"{'hidden':>8}{'plain ms':>10}{'runner ms':>11}{'ratio':>8}   (ratio per round)")
    for hidden in SIZES.values():
        steps = arguments.steps
        spec = resolve(
            compose(
                arguments.task,
                arguments.architecture,
                settings={
                    "architecture.hidden": hidden,
                    "budget.steps": steps,
                    "budget.validate_every": 10 * steps,  # validation is not measured
                },
                test=False,
            )
        )
        pairs = []
        for i in range(arguments.rounds + 1):
            pair = plain(spec, trainer), under_runner(spec, trainer)
            if i:  # the first round warms up
                pairs.append(pair)
        plain_ms, runner_ms = (statistics.median(1000 * p[i] for p in pairs) for i in (0, 1))
        ratios = sorted(p[1] / p[0] for p in pairs)
        listed, median = " ".join(f"{r:.3f}" for r in ratios), statistics.median(ratios)
        print(f"{hidden:>8}{plain_ms:>10.2f}{runner_ms:>11.2f}{median:>8.3f}   ({listed})")


def under_runner(spec: RunSpec, trainer: Trainer) -> float:
    """Return the seconds a step under the runner, from the end of the first pack to the last."""
    ends: list[tuple[int, float]] = []

    def on_step(at: Position, loss: float, progress: float) -> None:
        ends.append((at.step, time.perf_counter()))

    with tempfile.TemporaryDirectory() as folder:
        telemetry = Telemetry(spec, trainer, Path(folder), None)
        run = Training(spec, trainer, Path(folder), telemetry, on_step=on_step)
        choose_scan(trainer, spec.budget, spec.budget.steps)
        train(run)
    (first, began), (last, ended) = ends[0], ends[-1]
    return (ended - began) / (last - first)


def plain(spec: RunSpec, trainer: Trainer) -> float:
    """Return the seconds a step of the same model, batches and optimiser in a bare loop."""
    with tempfile.TemporaryDirectory() as folder:
        source = Training(spec, trainer, Path(folder), Telemetry(spec, trainer, Path(folder), None))
    choose_scan(trainer, spec.budget, spec.budget.steps)
    device = torch.device("cuda" if trainer.accelerator == "gpu" else "cpu")
    model = assemble(source.architecture, source.task, TrickFold()).to(device)
    optimizer = make_optimizer(spec.optimizer, model.parameters(), TrickFold())
    at, state, began = Position(), None, 0.0
    assert spec.budget.steps is not None
    for step in range(spec.budget.steps):
        if step == PACK:
            _wait(device)
            began = time.perf_counter()
        batch, at = source.loader.next(at)
        batch = batch.to(device)
        optimizer.zero_grad(set_to_none=True)
        result = model(batch, state)
        loss = model.loss(result.out, batch)
        loss.backward()
        optimizer.step()
        state = model.carry(result.state) if source.data.carried else None
    _wait(device)
    return (time.perf_counter() - began) / (spec.budget.steps - PACK)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
