"""Refuse senseless combinations: one real training step on the meta device, which costs nothing.

What the meta device cannot see (control flow that depends on data, memory, NaN) shows on a tiny
batch on the CPU, if asked for.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

import rnnbench
from rnnbench.contract import Architecture, Batch, Moment, Refusal, Task, Trick
from rnnbench.spec.instantiate import instantiate
from rnnbench.spec.run_spec import Optimizer, RunSpec
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step

ACTS_ON = {
    "cell": ("a recurrent cell", "has none"),
    "feed": ("what a decoder reads next", "decodes nothing"),
    "loss": ("the loss", "never reached it"),
    "model": ("the model", "never built one"),
    "batch": ("the training batch", "never reached it"),
    "gradient": ("the gradient", "never computed one"),
    "estimator": ("how the gradient is estimated", "never estimated one"),
    "optimizer": ("the optimiser", "never built one"),
    "evaluation": ("the model at evaluation", "never evaluated one"),
}


class Checked(NamedTuple):
    """What a dry run found.

    Attributes:
        parameters: number of trainable numbers.
        device: where the step was run: "meta" (shapes only) or "cpu" (a tiny real batch).
    """

    parameters: int
    device: str


def check(
    architecture: Architecture,
    task: Task,
    tricks: Sequence[Trick] = (),
    optimizer: Optimizer | None = None,
    batch: Batch | None = None,
    device: str = "meta",
) -> Checked:
    """Run one training step without memory or compute.

    Args:
        batch: two rows or so of the task; by default the first of its training split.
        device: "cpu" computes the step, which is quicker where all is tiny.

    Raises:
        Refusal: the combination makes no sense; the message says why and what to do.
    """
    folded = TrickFold(tricks)
    batch = sample(task) if batch is None else batch
    try:
        parameters = _dry_run(architecture, task, folded, optimizer or Optimizer(), batch, device)
    except Refusal as refusal:
        if not _lacks_names(refusal, tricks):
            raise
        raise _placed(architecture, task, tricks, refusal) from refusal
    except (NotImplementedError, RuntimeError) as error:
        if device != "meta" or "meta" not in str(error).lower():
            raise _failed(architecture, task, tricks, error) from error
        # An operator that has no meta kernel, or control flow that reads a value.
        folded, device = TrickFold(tricks), "cpu"
        try:
            parameters = _dry_run(
                architecture, task, folded, optimizer or Optimizer(), batch, device
            )
        except Refusal as refusal:
            if not _lacks_names(refusal, tricks):
                raise
            raise _placed(architecture, task, tricks, refusal) from refusal
        except Exception as second:  # as below
            raise _failed(architecture, task, tricks, second) from second
    except Exception as error:  # whatever a plugin's code raises is said to be its fault
        raise _failed(architecture, task, tricks, error) from error
    for trick, site in folded.unreached():
        what, lacks = ACTS_ON[site]
        raise Refusal(
            f"{trick.name} on {architecture.name} / {task.name}.\n"
            f"  {trick.name} acts on {what}; {architecture.name} on {task.name} {lacks}.\n"
            f"  Drop {trick.name}, or see: rnnbench describe {trick.name}"
        )
    if not parameters:
        _refuse_idle(architecture, task, tricks)
    return Checked(parameters, device)


def _refuse_idle(architecture: Architecture, task: Task, tricks: Sequence[Trick]) -> None:
    """Refuse what changes training where nothing is learnt."""
    for trick in tricks:
        if type(trick).evaluation is Trick.evaluation:
            raise Refusal(
                f"{trick.name} on {architecture.name} / {task.name}.\n"
                f"  {trick.name} changes how a model learns, and {architecture.name} has no "
                "parameters.\n"
                f"  Drop {trick.name}, or choose an architecture that is trained."
            )


def check_spec(spec: RunSpec) -> Checked:
    """`check` on a spec, whose data are fetched where they are missing."""
    task, architecture, tricks = instantiate(spec)
    return check(architecture, task, tricks, spec.optimizer)


def sample(task: Task, rows: int = 2) -> Batch:
    """The first training batch, of few rows."""
    data = task.data("train", 0)
    rng = torch.Generator().manual_seed(0)
    return data.batch(data.order(rows, rng)[0], rng)


def _dry_run(
    architecture: Architecture,
    task: Task,
    tricks: TrickFold,
    optimizer: Optimizer,
    batch: Batch,
    device: str,
) -> int:
    carried = task.data("train", 0).carried
    with torch.random.fork_rng(devices=[]), torch.device(device):
        model = assemble(architecture, task, tricks)
        step = make_optimizer(optimizer, model.parameters(), tricks)
        at = Moment(1, 0.5)
        training_step(model, tricks, batch.to(device), None, at, carried, optimizer=step, memory={})
        step.step()
        list(tricks.evaluated_apart(model, task))
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _lacks_names(refusal: Refusal, tricks: Sequence[Trick]) -> bool:
    """A building block of core refused, and could not know which trick asked."""
    origin = Path(traceback.extract_tb(refusal.__traceback__)[-1].filename)
    by_core = Path(rnnbench.__file__).parent in origin.parents or origin.name.startswith("_")
    return by_core and bool(tricks) and not any(t.name in str(refusal) for t in tricks)


def _placed(
    architecture: Architecture, task: Task, tricks: Sequence[Trick], refusal: Refusal
) -> Refusal:
    """The refusal with its combination."""
    names = " + ".join(t.name for t in tricks)
    return Refusal(f"{names} on {architecture.name} / {task.name}.\n  {refusal}")


def _failed(
    architecture: Architecture, task: Task, tricks: Sequence[Trick], error: Exception
) -> Refusal:
    names = "".join(f" + {t.name}" for t in tricks)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Refusal(
        f"{architecture.name}{names} on {task.name} fails its dry run.\n"
        f"  {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''} "
        f"({frame.filename}:{frame.lineno})\n"
        "  This is a fault in a plugin, not a choice of yours: report it to its author."
    )
