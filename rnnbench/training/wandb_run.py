"""Opens runs of W&B, with nothing in them that was not put there. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rnnbench.results.record import FLOW
from rnnbench.spec.run_spec import RunSpec

INIT_SECONDS = float(os.environ.get("WANDB_INIT_TIMEOUT", 20))  # wandb's own 90 s hold up a sweep
NOT_LOGGED_IN = (
    "wandb is neither logged in by WANDB_API_KEY nor offline: set WANDB_MODE=offline (and "
    "`wandb sync` later), or the key"
)


def logged_in() -> bool:
    """Tell whether W&B can be used without asking anybody."""
    return bool(os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE"))


def labels(spec: RunSpec, sweep: str | None) -> dict[str, Any]:
    """Return the job type and the tags by which runs of a project are told apart at W&B."""
    kind = "run" if sweep is None else "final" if spec.test else "search"
    names = [spec.task.name, spec.architecture.name, *(t.name for t in spec.tricks)]
    return {"job_type": kind, "tags": list(dict.fromkeys(names))}


def chart_name(logged: str) -> str:
    """Return the name at TensorBoard and W&B of a figure of the CSV log; its split is a group."""
    for split in ("train", "valid"):
        if logged.startswith(f"{split}_"):
            return f"{split}/{logged.removeprefix(f'{split}_')}"
    return logged


def named_for_charts(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the figures of a validation in a record's curve under the names of `chart_name`."""
    return {
        "train/loss" if name == "train_loss"
        else f"gradient/{name.removeprefix(FLOW)}" if name.startswith(FLOW)
        else f"valid/{name}": value
        for name, value in figures.items()
    }  # fmt: skip


def open_wandb(**options: Any) -> Any:
    """Call `wandb.init` so that it neither prints nor keeps command line, machine or environment.

    Raises:
        RuntimeError: nobody is logged in, and it is not said to be offline.
    """
    import wandb

    if not logged_in():
        raise RuntimeError(NOT_LOGGED_IN)
    return wandb.init(
        reinit="create_new",
        settings=wandb.Settings(
            silent=True,
            console="off",
            init_timeout=INIT_SECONDS,
            # It would keep the command line as it is, logins and keys included.
            x_disable_meta=True,
            x_disable_machine_info=True,
            host="rnnbench",  # its default is the name of this machine
        ),
        **options,
    )
