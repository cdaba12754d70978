"""What a run costs besides time and parameters: FLOPs, latency, memory."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from rnnbench.contract import Architecture, Data, Moment, Task, Trick
from rnnbench.nn import Model
from rnnbench.spec.run_spec import Optimizer
from rnnbench.training.dry_run import sample
from rnnbench.training.evaluate import evaluating
from rnnbench.training.train_step import (
    TrickFold,
    assemble,
    count_targets,
    make_optimizer,
    training_step,
)

LATENCY_SECONDS = 0.5  # of measuring, at most, once one sequence was measured
LATENCIES = 20  # sequences measured, at most
PROC = Path("/proc/self")


def flops_per_target(
    architecture: Architecture, task: Task, tricks: Sequence[Trick], optimizer: Optimizer
) -> float:
    """Floating-point operations of a training step for each target element, tricks included.

    Counted by `torch.utils.flop_counter` in one step on the meta device, which computes nothing:
    two for each multiplication and addition of products, convolutions and attention, forwards and
    backwards; elementwise work is left out, as is usual. The first two rows of the training split
    stand for all.

    Raises:
        Whatever the meta device cannot do, such as control flow that reads a value.
    """
    folded = TrickFold(tricks)
    data, batch = task.data("train", 0), sample(task)
    targets = count_targets(batch)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = assemble(architecture, task, folded)
        step = make_optimizer(optimizer, model.parameters(), folded)
        with FlopCounterMode(display=False) as counter:
            training_step(
                model, folded, batch.to("meta"), None, Moment(1, 0.5), data.carried,
                optimizer=step, memory={},
            )  # fmt: skip
    return counter.get_total_flops() / targets


def latency(
    model: Model, task: Task, data: Data, device: torch.device, decodes: bool
) -> tuple[float, float]:
    """Seconds that one sequence takes at evaluation, alone in its batch, and one of its steps.

    The median over the first sequences of a split. A sequence of a task that decodes is decoded
    as it is measured, step by step; its steps are those that it produced.
    """
    whole, steps = [], []
    began = time.perf_counter()
    with evaluating(model):
        for key in data.order(1, None)[: LATENCIES + 1]:
            batch = data.batch(key, None).to(device)
            _wait(device)
            start = time.perf_counter()
            if decodes:
                count = model.decoded(batch).y.shape[1]
            else:
                model(batch, None)
                count = batch.x.shape[1] if batch.x.dim() > 1 else 1
            _wait(device)
            whole.append(time.perf_counter() - start)
            steps.append(whole[-1] / max(1, count))
            if len(whole) > 1 and time.perf_counter() - began > LATENCY_SECONDS:
                break
    # The first sequence pays for what is made once.
    return statistics.median(whole[1:] or whole), statistics.median(steps[1:] or steps)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak() -> bool:
    """Begin to watch this process's memory anew; False where the system cannot (not Linux)."""
    with contextlib.suppress(OSError):
        (PROC / "clear_refs").write_text("5")
        return True
    return False


def peak_bytes() -> int | None:
    """The most memory that this process held in RAM since `forget_peak`, libraries included."""
    with contextlib.suppress(OSError):
        for line in (PROC / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
