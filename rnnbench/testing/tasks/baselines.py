"""The laws of baselines, and the best constant answers that they may not fall behind."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnbench.contract import Batch, Kind, Prediction, Task
from rnnbench.nn import Model
from rnnbench.testing.every_plugin import fresh
from rnnbench.testing.law import Broken, DoesNotApply, Laws
from rnnbench.testing.tasks.read_splits import batches
from rnnbench.training.determinism import seed_torch

LAWS = Laws()
CLOSE = 0.02  # how near a stated baseline has to come to the best constant answer
LAST = "the last value of the input"
READ = 200  # training batches, spread over the split


@LAWS.law(
    "Baselines speak of the declared metrics, are finite, and come out the same every time.",
    "Compute them from the data of the split, with the task's own meter.",
)
def baselines_are_reproducible(task: Task) -> None:
    declared = {m.name for m in task.metrics}
    stated = {name: task.baselines(name) for name in ("valid", "test")}
    if not any(stated.values()):
        raise DoesNotApply("it states no baseline")
    for name, baselines in stated.items():
        for who, figures in baselines.items():
            unknown = set(figures) - declared
            if unknown or not figures:
                raise Broken(f"{name}: {who!r} states {sorted(unknown) or 'nothing'}, declared "
                             f"are {sorted(declared)}")  # fmt: skip
            bad = [k for k, v in figures.items() if not math.isfinite(v)]
            if bad:
                raise Broken(f"{name}: {bad[0]} of {who!r} is {figures[bad[0]]}")
        seed_torch(1)
        if fresh(task).baselines(name) != baselines:
            raise Broken(f"{name}: baselines differ the second time")
        if baselines and not any(task.metrics[0].name in v for v in baselines.values()):
            raise Broken(f"{name}: no baseline states the headline, {task.metrics[0].name}")


@LAWS.law(
    "Baselines are honest: one is as good as the best constant answer, and as the last value.",
    "State the majority class, the unigram, the mean or the last value, measured by the meter.",
)
def baselines_are_honest(task: Task) -> None:
    if task.kind in (Kind.VEC_TO_SEQ, Kind.UNALIGNED) and task.target.classes:
        raise DoesNotApply("no constant answers a task of decoded tokens")
    all_stated = {name: task.baselines(name) for name in ("valid", "test")}
    if not any(all_stated.values()):
        raise DoesNotApply("it states no baseline")
    headline = task.metrics[0]
    sign = -1.0 if headline.higher_is_better else 1.0
    known = constants(task)
    for name, baselines in all_stated.items():
        stated = {who: v[headline.name] for who, v in baselines.items() if headline.name in v}
        reached = {who: v[headline.name] for who, v in scores(task, name, known).items()
                 if math.isfinite(v[headline.name])}  # fmt: skip
        if not stated or not reached:
            continue
        best = min(stated, key=lambda who: sign * stated[who])
        constant = min(reached, key=lambda who: sign * reached[who])
        if sign * (stated[best] - reached[constant]) > CLOSE * abs(reached[constant]) + 1e-9:
            answer = constant if constant == LAST else f"always answering {constant}"
            raise Broken(
                f"{name}: the best baseline, {best!r}, has {headline.name} {stated[best]:.4g}; "
                f"{answer} has {reached[constant]:.4g}"
            )


def constants(task: Task) -> dict[str, Tensor]:
    """Return constant outputs (V,), learnt from the training split, by what they stand for."""
    chosen = batches(task.data("train", 0), 256, most=READ)
    y = torch.cat([_targets(batch) for batch in chosen])
    if task.target.classes:
        counts = torch.bincount(y, minlength=task.target.classes).double() + 1.0
        return {"with the frequencies of the classes": (counts / counts.sum()).log()}
    return {
        "the mean": y.nanmean(0),
        "the median": y.nanmedian(0).values,
        "zero": torch.zeros(task.target.width, dtype=torch.float64),
    }


def scores(task: Task, name: str, known: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Return what these constant answers reach on a split, by the task's own meter.

    The last value of the input is an answer too, where it has as many columns as the target.
    """
    answers: list[str] = [*known]
    width = task.target.width
    columns = list(task.past) or list(range(width or 0))
    if width and len(columns) == width and task.source.width >= width:
        answers += [LAST] * (task.kind is not Kind.VEC_TO_SEQ)
    meters = {who: task.meter(name) for who in answers}
    model = Model(task.target)
    for batch in batches(task.data(name, 0), task.eval_batch):
        for who in answers:
            if task.target.classes:
                out, decoded = known[who].expand(*batch.y.shape, -1), None
            else:
                value = _last(batch, columns, task.kind) if who == LAST else known[who]
                out = decoded = value.to(batch.y.dtype).expand(batch.y.shape)
                if task.target.distribution is not None:
                    out = task.target.distribution.around(decoded)
            prediction = Prediction(*model.nll(out, batch), out, decoded, None, out)
            meters[who].update(batch, prediction)
    return {who: meter.compute() for who, meter in meters.items()}


def _last(batch: Batch, columns: list[int], kind: Kind) -> Tensor:
    """Return some columns of the input: of each step, or of the last before the target."""
    values = batch.x[..., columns].nan_to_num()
    if kind is Kind.ALIGNED:
        return values
    rows = torch.arange(len(values))
    at = values.shape[1] - 1 if batch.x_len is None else batch.x_len - 1
    return values[rows, at] if kind is Kind.SEQ_TO_VEC else values[rows, at][:, None]


def _targets(batch: Batch) -> Tensor:
    """Return the targets without padding: (N,) classes or (N, V) values."""
    y = batch.y
    if batch.y_len is not None:
        y = y[torch.arange(y.shape[1]) < batch.y_len[:, None]]
    return y.flatten(0, -2).double() if y.is_floating_point() else y.flatten()
