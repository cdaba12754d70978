"""A pass through a split: the loss and the task's metrics over the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from rnnbench.contract import Data, Meter, Prediction, Task
from rnnbench.nn import Model
from rnnbench.nn.models.output_lengths import OutputLengths
from rnnbench.training.examples import drawings
from rnnbench.training.modes import evaluating


class Evaluation(NamedTuple):
    """A model's figures on a split.

    Attributes:
        metrics: by name, "loss" among them: means over all target elements, never over batches.
        examples: what the task shows of the first items, as many as were asked for.
    """

    metrics: dict[str, float]
    examples: list[dict[str, str]]


def evaluate(
    model: Model,
    task: Task,
    data: Data,
    meter: Meter | None,
    device: torch.device,
    examples: int = 0,
    look: Callable[[], None] = lambda: None,
    drawn: list[dict[str, Any]] | None = None,
    lengths: OutputLengths | None = None,
) -> Evaluation:
    """Return the metrics of a split, and examples of it.

    Args:
        meter: of the task, or None for the loss alone, which needs no decoding.
        examples: how many examples to show at most.
        look: called after each batch; what it raises ends the evaluation.
        drawn: gets what can be drawn of the first items, see `rnnbench.training.examples`.
        lengths: counts the outputs that are decoded.

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
            prediction = Prediction(nll, mask, result.out)
            if meter.decodes:
                decoded = model.decoded(batch)
                prediction = prediction._replace(
                    decoded=decoded.y, attention=decoded.attention, decoded_out=decoded.out
                )
                if lengths is not None:
                    lengths.add(batch, decoded.y)
            meter.update(batch, prediction)
            if drawn is not None:
                drawn += drawings(task, batch, prediction)
                drawn = None
            if len(shown) < examples:
                shown += task.show(batch, prediction)[: examples - len(shown)]
    metrics = {"loss": nll_sum / count if count else float("nan")}
    if meter is not None:
        measured, declared = meter.compute(), {m.name for m in task.metrics}
        if set(measured) != declared:
            raise ValueError(
                f"{task.name} declares the metrics {sorted(declared)} and measured "
                f"{sorted(measured)}: mend the task's `metrics` or its meter"
            )
        metrics |= {name: float(value) for name, value in measured.items()}
    return Evaluation(metrics, shown)
