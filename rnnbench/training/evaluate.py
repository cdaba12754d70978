"""One pass through a split: the loss and the task's metrics over the whole of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from rnnbench.contract import Data, Meter, Prediction, Task
from rnnbench.nn import Model
from rnnbench.training.examples import drawings


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode without gradients; training mode is put back."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was)


def evaluate(
    model: Model,
    task: Task,
    data: Data,
    meter: Meter | None,
    device: torch.device,
    examples: int = 0,
    look: Callable[[], None] = lambda: None,
    drawn: list[dict[str, Any]] | None = None,
) -> tuple[dict[str, float], list[dict[str, str]]]:
    """Metrics by name, "loss" among them: the mean over all target elements, never of batches.

    Args:
        meter: of the task, or None for the loss alone, which needs no decoding.
        examples: how many examples to show at most.
        look: called after each batch; what it raises ends the evaluation.
        drawn: gets what can be drawn of the first items, see `rnnbench.training.examples`.

    Raises:
        ValueError: the meter gave other metrics than the task declares.
    """
    nll_sum, count, state = 0.0, 0, None
    shown: list[dict[str, str]] = []
    with evaluating(model):
        for key in data.order(task.eval_batch, None):
            batch = data.batch(key, None).to(device)
            result = model(batch, state)
            state = model.carry(result.state) if data.carried else None
            nll, mask = model.nll(result.out, batch)
            nll_sum += float(nll.double().sum())
            count += int(mask.sum())
            look()
            if meter is None:
                continue
            found = model.decoded(batch) if meter.decodes else None
            seen = Prediction(nll, mask, result.out)
            if found is not None:
                seen = seen._replace(
                    decoded=found.y, attention=found.attention, decoded_out=found.out
                )
            meter.update(batch, seen)
            if drawn is not None:
                drawn += drawings(task, batch, seen)
                drawn = None
            if len(shown) < examples:
                shown += task.show(batch, seen)[: examples - len(shown)]
    metrics = {"loss": nll_sum / count if count else float("nan")}
    if meter is not None:
        measured, declared = meter.compute(), {m.name for m in task.metrics}
        if set(measured) != declared:
            raise ValueError(
                f"{task.name} declares the metrics {sorted(declared)} and measured "
                f"{sorted(measured)}: mend the task's `metrics` or its meter"
            )
        metrics |= {name: float(value) for name, value in measured.items()}
    return metrics, shown
