"""Tries whether a run can be split over devices, before compute is spent; no plugin declares it.

All ranks take a training step on a few rows together, and each takes it once more on all of these
rows alone. Where the gradients differ, something in the run does not act row by row: batch
statistics, an estimator that is not linear in the rows, a mean that counts otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Batch, Data, Moment, Refusal, State, Task, Trick
from rnnbench.spec.run_spec import RunSpec
from rnnbench.training.determinism import seed_everything
from rnnbench.training.devices.data_parallel import DataParallel, KeyedNoise
from rnnbench.training.loader import keyed_generator
from rnnbench.training.train_step import TrainStep, TrickFold, assemble, make_optimizer

TOLERANCE = 1e-3  # of a gradient's norm; float32 rounds to about 1e-6, a wrong share is over 1e-2

CHECKED = "gradients of the ranks together equal those of one device"
DRAWN = "noise is drawn, so gradients equal those of one device in expectation"


class Learnt(NamedTuple):
    """The tensors that steps on a few rows leave, by name."""

    gradients: dict[str, Tensor]
    changed_buffers: dict[str, Tensor]


def try_split(
    spec: RunSpec, task: Task, architecture: Architecture, tricks: Sequence[Trick], data: Data,
    ranks: DataParallel,
) -> str:  # fmt: skip
    """Return what the comparison showed, for the record; it runs on the CPU.

    Raises:
        Refusal: the gradients of the ranks are not those of one device.
    """
    rows = min(spec.optimizer.batch, 2 * ranks.world + 1)
    order = data.order(rows, keyed_generator(spec.seed, 0))
    keys = order[: 2 if data.carried else 1]
    batches = [data.batch(k, keyed_generator(spec.seed, 0, i, 1)) for i, k in enumerate(keys)]
    if len(batches[0].x) < ranks.world:
        raise Refusal(
            f"trainer.devices={ranks.world}: a batch of {task.name} has {len(batches[0].x)} rows, "
            "and each device takes one at least.\n  Raise optimizer.batch, or lower "
            "trainer.devices."
        )

    def learn(by: DataParallel) -> Learnt:
        return _learn(spec, task, architecture, tricks, batches, data.carried, by)

    together, alone = learn(ranks), learn(KeyedNoise(spec.seed))
    with_other_noise = learn(KeyedNoise(spec.seed, salt=1))
    combination = " + ".join([architecture.name, *(t.name for t in tricks)])
    if find_difference(alone.gradients, with_other_noise.gradients) is None:
        wrong = find_difference(alone.gradients, together.gradients) or find_difference(
            alone.changed_buffers, together.changed_buffers
        )
        conclusion = CHECKED
    else:  # then a share of the rows meets other noise than all of them
        floating = (n for n, b in alone.changed_buffers.items() if b.is_floating_point())
        wrong, conclusion = next(floating, None), DRAWN
    if wrong is not None:
        raise Refusal(
            f"trainer.devices={ranks.world}: {combination} on {task.name} cannot be split over "
            f"devices.\n  A step on {len(batches[0].x)} rows leaves another {wrong} when the rows "
            "are shared out: something there does not act row by row (statistics of a batch, or an "
            "estimator that is not a mean over rows).\n  Use trainer.devices=1, or leave the "
            "trick out that does this."
        )
    return conclusion


def _learn(
    spec: RunSpec, task: Task, architecture: Architecture, tricks: Sequence[Trick],
    batches: Sequence[Batch], carried: bool, by: DataParallel,
) -> Learnt:  # fmt: skip
    """Return gradients summed over the batches, of a model made for this."""
    seed_everything(spec.seed)
    folded = TrickFold(tricks)
    model = assemble(architecture, task, folded).train()
    optimizer = make_optimizer(spec.optimizer, model.parameters(), folded)
    before = {n: b.detach().clone() for n, b in model.named_buffers()}
    gradients: dict[str, Tensor] = {}
    state: State = None
    step = TrainStep(model, folded, carried, optimizer, ranks=by)
    for i, batch in enumerate(batches):
        optimizer.zero_grad(set_to_none=True)
        state = step.take(batch, state, Moment(i, 0.5)).state
        for name, p in model.named_parameters():
            if p.grad is not None:
                gradients[name] = gradients.get(name, 0.0) + p.grad.detach().clone()
    changed = {
        n: b.detach().clone() for n, b in model.named_buffers() if not torch.equal(b, before[n])
    }
    return Learnt(gradients, changed)


def find_difference(these: dict[str, Tensor], those: dict[str, Tensor]) -> str | None:
    """Return the name of the tensor that differs most; None where all agree up to rounding."""
    if these.keys() != those.keys():
        return sorted(these.keys() ^ those.keys())[0]
    scale = max((float(t.abs().max()) for t in these.values() if t.numel()), default=0.0)
    worst, at = 0.0, None
    for name, value in these.items():
        near = TOLERANCE * (float(value.double().norm()) + 1e-2 * scale) or 1e-12
        off = float((value.double() - those[name].double()).norm()) / near
        if off > max(worst, 1.0):
            worst, at = off, name
    return at
