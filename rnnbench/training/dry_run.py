"""Refuse senseless combinations: one real training step on the meta device, which costs nothing.

What the meta device cannot see (control flow that depends on data, memory, NaN) shows on a tiny
batch on the CPU, if asked for.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

import rnnbench
from rnnbench.contract import Architecture, Batch, Data, Moment, Refusal, Task, Trick
from rnnbench.registry.given_classes import is_given
from rnnbench.spec.instantiate import instantiate
from rnnbench.spec.run_spec import Optimizer, RunSpec
from rnnbench.training.checks.foresight import refuse_foresight
from rnnbench.training.checks.no_compiler import without_compiler
from rnnbench.training.checks.plugin_faults import find_own_frame
from rnnbench.training.checks.remembered_shapes import RememberedShapes
from rnnbench.training.checks.splits import refuse_short_splits
from rnnbench.training.checks.undeclared_files import refuse_undeclared
from rnnbench.training.loader import split_of
from rnnbench.training.resolve import ResolvedRun
from rnnbench.training.train_step import (
    TrainStep,
    TrickFold,
    assemble,
    constrain,
    make_optimizer,
)

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
    """A combination that passed its dry run.

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
    data: Data | None = None,
) -> Checked:
    """Take one training step without memory or compute.

    Args:
        data: the training split, where it is at hand.
        batch: two rows or so of the task; by default the first of its training split.
        device: "cpu" computes the step, which is quicker where all is tiny.

    Raises:
        Refusal: the combination makes no sense; the message says why and what to do.
    """
    data = task.data("train", 0) if data is None else data
    batch = first_rows(data) if batch is None else batch
    optimizer = optimizer or Optimizer()

    def dry_run(on: str) -> tuple[TrickFold, int]:
        folded = TrickFold(tricks)
        return folded, _dry_run(architecture, task, folded, optimizer, batch, data.carried, on)

    try:
        try:
            folded, parameters = dry_run(device)
        except (NotImplementedError, RuntimeError) as error:
            if device != "meta" or "meta" not in str(error).lower():
                raise
            # An operator that has no meta kernel, or control flow that reads a value.
            device = "cpu"
            folded, parameters = dry_run(device)
    except Refusal as refusal:
        if not _lacks_names(refusal, tricks):
            raise
        raise _with_names(architecture, task, tricks, refusal) from refusal
    except Exception as error:  # whatever a plugin's code raises is said to be its fault
        raise _as_fault_of_plugin(architecture, task, tricks, error) from error
    for trick, site in folded.unreached():
        what, lacks = ACTS_ON[site]
        raise Refusal(
            f"{trick.name} on {architecture.name} / {task.name}.\n"
            f"  {trick.name} acts on {what}; {architecture.name} on {task.name} {lacks}.\n"
            f"  Drop {trick.name}, or see: rnnbench describe {trick.name}"
        )
    if not parameters:
        _refuse_idle(architecture, task, tricks)
    try:
        refuse_foresight(architecture, task, tricks, batch, parameters)
    except Refusal:
        raise
    except Exception as error:
        raise _as_fault_of_plugin(architecture, task, tricks, error) from error
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
    """Run `check` on a spec, whose data are fetched where they are missing."""
    return check_resolved(ResolvedRun(spec, instantiate(spec)))


def check_resolved(run: ResolvedRun) -> Checked:
    """Run `check` on a run with its plugins, after a look at its splits.

    Training then reads the same data, read once.

    Raises:
        SplitRefusal: a split of the task has nothing to train or to measure on.
        Refusal: the combination makes no sense, or the task reads files that it does not declare.
    """
    task, architecture, tricks = run.plugins
    refuse_short_splits(run.spec, run.plugins)
    refuse_undeclared(task)
    data = split_of(task, "train", run.spec.seed)
    return check(architecture, task, tricks, run.spec.optimizer, data=data)


def sample(task: Task, rows: int = 2) -> Batch:
    """Return the first training batch of a task, of few rows."""
    return first_rows(task.data("train", 0), rows)


def first_rows(data: Data, rows: int = 2) -> Batch:
    """Return the first training batch of a split, of few rows."""
    rng = torch.Generator().manual_seed(0)
    return data.batch(data.order(rows, rng)[0], rng)


def _dry_run(
    architecture: Architecture, task: Task, tricks: TrickFold, optimizer: Optimizer,
    batch: Batch, carried: bool, device: str,
) -> int:  # fmt: skip
    """Take a step and evaluate as a run does; return the number of trainable numbers."""
    quick = RememberedShapes() if device == "meta" else contextlib.nullcontext()
    with torch.random.fork_rng(devices=[]), torch.device(device), quick, without_compiler():
        model = assemble(architecture, task, tricks)
        stepped = make_optimizer(optimizer, model.parameters(), tricks)
        step = TrainStep(model, tricks, carried, stepped)
        step.take(batch.to(device), None, Moment(1, 0.5))
        stepped.step()
        constrain(model)
        list(tricks.evaluated_apart(model, task))
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _lacks_names(refusal: Refusal, tricks: Sequence[Trick]) -> bool:
    """Tell whether a building block refused, which could not know which trick it was used by.

    Building blocks are core's modules, and the modules of plugin packages that begin with "_".
    """
    origin = Path(traceback.extract_tb(refusal.__traceback__)[-1].filename)
    in_core = Path(rnnbench.__file__).parent in origin.parents
    shared = origin.name.startswith("_") and not origin.name.startswith("__")
    names_a_trick = any(t.name in str(refusal) for t in tricks)
    return (in_core or shared) and bool(tricks) and not names_a_trick


def _with_names(
    architecture: Architecture, task: Task, tricks: Sequence[Trick], refusal: Refusal
) -> Refusal:
    """Return the refusal under the names of its combination."""
    names = " + ".join(t.name for t in tricks)
    return Refusal(f"{names} on {architecture.name} / {task.name}.\n  {refusal}")


def _as_fault_of_plugin(
    architecture: Architecture, task: Task, tricks: Sequence[Trick], error: Exception
) -> Refusal:
    """Return a refusal that names the plugin's line in which the error arose."""
    names = "".join(f" + {t.name}" for t in tricks)
    frame = find_own_frame(error, (architecture, task, *tricks))
    return Refusal(
        f"{architecture.name}{names} on {task.name} fails its dry run.\n"
        f"  {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''} "
        f"({frame.filename}:{frame.lineno})\n"
        + (
            "  This is a fault in code of this Python session: mend it, and ask again."
            if any(is_given(type(p)) for p in (architecture, task, *tricks))
            else "  This is a fault in a plugin, not a choice of yours: report it to its author."
        )
    )
