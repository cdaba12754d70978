"""The costs of a run for its record: steps, time, FLOPs, latency, memory."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from rnnbench.contract import Architecture, Data, Moment, Task, Trick, WrappedOptimizer
from rnnbench.nn import Model, scan
from rnnbench.results.record import Figures, Record, Status
from rnnbench.spec.run_spec import Optimizer
from rnnbench.training.checks.remembered_shapes import RememberedShapes
from rnnbench.training.determinism import on_gpu
from rnnbench.training.devices.product_speed import product_speed
from rnnbench.training.dry_run import sample
from rnnbench.training.loader import split_of
from rnnbench.training.modes import evaluating
from rnnbench.training.run import Training
from rnnbench.training.train_step import (
    TrainStep,
    TrickFold,
    assemble,
    count_targets,
    make_optimizer,
)

LATENCY_SECONDS = 0.5  # of measuring, at most, once one sequence was measured
LATENCIES = 20  # sequences measured, at most
PROC = Path("/proc/self")


def describe_training(run: Training, record: Record) -> None:
    """Record what training took and how it went, however it ended."""
    at, task, progress = run.loader.position, run.task, run.progress
    batches = len(run.loader.order(0))
    record.cost |= {
        "steps": at.step,
        "tokens": at.tokens,
        "epochs": at.epoch + at.batch / batches,
        "parameters": run.parameters_count,
        "train_seconds": run.train_seconds,
        "device_seconds": run.train_seconds * run.settings.devices,
    }
    if on_gpu(run.settings):
        record.cost["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
    if run.spec.test and record.status is Status.DONE:
        record_flops(run, record)
        record_product_speed(run, record)
    record.curve = progress.curve
    record.provenance["metric_signature"] = run.meter.signature if run.meter else ""
    if run.meter is not None and run.meter.notes:
        record.provenance["metric_notes"] = list(run.meter.notes)
    if idle := _idle_tricks(run.optimizer):
        record.provenance["idle"] = idle
    record.provenance["devices"] = run.settings.devices
    if run.split:
        record.provenance["split"] = run.split
    record.provenance["threads"] = run.settings.threads
    record.provenance["scan"] = {"setting": run.settings.scan, "cells": scan.report()}
    record.metric_info = [
        {
            "name": m.name, "unit": m.unit, "higher_is_better": m.higher_is_better, "help": m.help,
            **({} if m.margin is None else {"margin": m.margin}),
        }
        for m in task.metrics
    ]  # fmt: skip
    record.selection = {
        "metric": task.selection,
        "higher_is_better": run.higher_is_better,
        "value": progress.best["value"],
        "step": progress.best["step"],
    }
    fallback = progress.fallback(task.selection, higher_is_better=run.higher_is_better)
    if fallback is not None:
        record.selection["fallback"] = fallback


def _idle_tricks(optimizer: torch.optim.Optimizer) -> list[str]:
    """Return what the optimiser's wrappers say that changed nothing, the innermost first."""
    said: list[str] = []
    while isinstance(optimizer, WrappedOptimizer):
        said.insert(0, optimizer.idle())
        optimizer = optimizer.inner
    return [text for text in said if text]


def record_product_speed(run: Training, record: Record) -> None:
    """Record how fast the machine multiplies, or why that could not be measured."""
    try:
        record.provenance["product_speed"] = product_speed(run.device)
    except RuntimeError as error:  # the device has no memory left for it
        record.provenance["product_speed"] = f"not measured: {error}"[:300]


def record_flops(run: Training, record: Record) -> None:
    """Record the FLOPs of all training, or why they could not be counted."""
    try:
        per_target = flops_per_target(
            run.architecture, run.task, run.tricks.all, run.spec.optimizer
        )
    except Exception as error:  # whatever the meta device cannot do
        record.provenance["flops"] = f"not counted: {type(error).__name__}: {error}"[:300]
        return
    record.provenance["flops"] = (
        "torch.utils.flop_counter, one step on the meta device; products, convolutions, attention"
    )
    record.cost["flops"] = per_target * run.loader.position.tokens


def flops_per_target(
    architecture: Architecture, task: Task, tricks: Sequence[Trick], optimizer: Optimizer
) -> float:
    """Return the floating-point operations of a training step for each target element.

    Tricks are included. `torch.utils.flop_counter` counts in one step on the meta device, which
    computes nothing: two for each multiplication and addition of products, convolutions and
    attention, forwards and backwards; elementwise work is left out, as is usual. The first two rows
    of the training split stand for all.

    Raises:
        Whatever the meta device cannot do, such as control flow that reads a value.
    """
    folded = TrickFold(tricks)
    data, batch = task.data("train", 0), sample(task)
    targets = count_targets(batch)
    with torch.random.fork_rng(devices=[]), torch.device("meta"), RememberedShapes():
        model = assemble(architecture, task, folded)
        stepped = make_optimizer(optimizer, model.parameters(), folded)
        step = TrainStep(model, folded, data.carried, stepped)
        with FlopCounterMode(display=False) as counter:
            step.take(batch.to("meta"), None, Moment(1, 0.5))
    return counter.get_total_flops() / targets


def measure_latencies(run: Training) -> Figures:
    """Return the latencies of the run's model on the test split, by their names in the record."""
    data = split_of(run.task, "test", 0)
    decodes = run.task.meter("test").decodes
    sequence_seconds, step_seconds = latency(run.model, run.task, data, run.device, decodes)
    return {"latency_seconds": sequence_seconds, "step_latency_seconds": step_seconds}


def latency(
    model: Model, task: Task, data: Data, device: torch.device, decodes: bool
) -> tuple[float, float]:
    """Return the seconds of a sequence at evaluation, alone in its batch, and of one of its steps.

    They are medians over the first sequences of a split. A sequence of a task that decodes is
    decoded as it is measured, step by step; its steps are those that it produced.
    """
    sequence_seconds, step_seconds = [], []
    began = time.perf_counter()
    with evaluating(model):
        for key in data.order(1, None)[: LATENCIES + 1]:
            batch = data.batch(key, None).to(device)
            _synchronize(device)
            start = time.perf_counter()
            if decodes:
                count = model.decoded(batch).y.shape[1]
            else:
                model(batch, None)
                count = batch.x.shape[1] if batch.x.dim() > 1 else 1
            _synchronize(device)
            sequence_seconds.append(time.perf_counter() - start)
            step_seconds.append(sequence_seconds[-1] / max(1, count))
            if len(sequence_seconds) > 1 and time.perf_counter() - began > LATENCY_SECONDS:
                break
    # The first sequence pays for what is made once.
    return (
        statistics.median(sequence_seconds[1:] or sequence_seconds),
        statistics.median(step_seconds[1:] or step_seconds),
    )


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak() -> bool:
    """Watch this process's memory anew; return False where the system cannot (not Linux)."""
    with contextlib.suppress(OSError):
        (PROC / "clear_refs").write_text("5")
        return True
    return False


def peak_bytes() -> int | None:
    """Return the most RAM that this process held since `forget_peak`, libraries included."""
    with contextlib.suppress(OSError):
        for line in (PROC / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
