"""Refuses a run whose model sees what it may not, before anything is computed: see `leaks`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Batch, Refusal, Task, Trick
from rnnbench.contract.rehearsal import as_dry_run
from rnnbench.nn import Model
from rnnbench.nn.scan.choice import eagerly
from rnnbench.training.checks.leaks import find_leak
from rnnbench.training.train_step import TrickFold, assemble

LARGEST = 100_000_000  # numbers of a model that are laid out on the CPU for this
TABLE = 1_000_000  # numbers of a parameter that is a table of words, and no gate
STIR = 0.01


def refuse_foresight(
    architecture: Architecture, task: Task, tricks: Sequence[Trick], batch: Batch, parameters: int
) -> None:
    """Refuse a model that sees what comes later, its own target, or other rows of its batch.

    It is tried as it is evaluated, in float64, on one row of the batch. A model without parameters
    is counted from the training text, which costs too much here; its laws try it.

    Raises:
        Refusal: what was seen, and what to do.
    """
    if not parameters:
        return
    if parameters > LARGEST:
        _say_untried(architecture, task, f"it has {parameters:,} numbers")
        return
    leak = _try(architecture, task, tricks, batch)
    if leak is None:
        return
    guilty = [architecture.name]
    if tricks and _try(architecture, task, (), batch) is None:
        guilty = [t.name for t in tricks]
    names = " + ".join([architecture.name, *(t.name for t in tricks)])
    raise Refusal(
        f"{names} on {task.name} {leak}.\n"
        "  What is reached so is no prediction. It was tried at evaluation, on a tiny batch.\n"
        f"  Mend {' or '.join(guilty)}, whose laws say more: rnnbench check-plugin {guilty[0]}"
    )


def _try(
    architecture: Architecture, task: Task, tricks: Sequence[Trick], batch: Batch
) -> str | None:
    """Return what a fresh model of the combination sees and may not, in words, or None."""
    with torch.random.fork_rng(devices=[]), eagerly(), as_dry_run():
        torch.default_generator.manual_seed(0)
        model = assemble(architecture, task, TrickFold(tricks)).eval()
        stir(model)
        try:
            return find_leak(copy.deepcopy(model).double(), task, in_double(batch))
        except Exception:  # it computes in one precision only
            with torch.no_grad():
                model(batch)  # where this fails as well, the fault is the plugin's
        try:
            return find_leak(model, task, batch)
        except Exception as error:  # it takes no other inputs than such as the data have
            _say_untried(architecture, task, f"{type(error).__name__}: {error}")
            return None


def _say_untried(architecture: Architecture, task: Task, why: str) -> None:
    """Warn that nothing is known of what a model sees."""
    warnings.warn(
        f"{architecture.name} on {task.name}: whether it looks ahead is not tried here: {why}. "
        f"Hold its laws: rnnbench check-plugin {architecture.name}",
        RuntimeWarning,
        stacklevel=2,
    )


@torch.no_grad()
def stir(model: Model) -> None:
    """Move a model's parameters a little, so that no gate that begins at 0 hides what it lets by.

    Tables of words are left as they are, since they are large and no gates.
    """
    for p in model.parameters():
        if p.requires_grad and p.is_floating_point() and p.numel() <= TABLE:
            p.add_(torch.randn_like(p), alpha=STIR)


def in_double(batch: Batch) -> Batch:
    """Return the batch with its real values in float64."""
    values = (v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in batch)
    return Batch._make(values)
