"""Which engine a sweep is given, and what of a machine each of its workers gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rnnbench.errors import SweepError
from rnnbench.results.store import folder_of
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.engines.protocol import Engine
from rnnbench.sweep.engines.usage import visible_gpus
from rnnbench.sweep.engines.worker import WORK
from rnnbench.sweep.file.resources import Resources
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.scheduler import EngineFactory


@dataclass(frozen=True)
class Choice:
    """What `rnnbench sweep --engine` asks for.

    Attributes:
        address: of a Ray cluster; "auto": the one that is at hand, or a new one here.
    """

    name: Literal["local", "ray"] = "local"
    address: str = "auto"


def engine_of(
    choice: Choice,
    sweep: Sweep,
    root: Path | str,
    beat: float,
    say: Callable[[str], None],
    work: str = WORK,
) -> EngineFactory:
    """What makes the engine when there is a first trial to run.

    Raises:
        SweepError: it asks for GPUs that this machine does not have.
    """
    logs = folder_of(root) / "sweeps" / sweep.name
    if choice.name == "local":
        shares = gpu_shares(sweep.resources, sweep.trainer, sweep.workers, visible_gpus())
        wanted = sweep.workers if shares is None else len(shares)
        if wanted < sweep.workers:
            say(f"{wanted} workers instead of {sweep.workers}: that is what the GPUs have room for")

        def local(workers: int) -> Engine:
            from rnnbench.sweep.engines.local import LocalEngine

            return LocalEngine(
                workers=min(workers, wanted), root=root, logs=logs, trainer=sweep.trainer,
                work=work, beat=beat, gpus=shares, memory=sweep.resources.memory,
            )  # fmt: skip

        return local

    def ray(workers: int) -> Engine:
        from rnnbench.sweep.engines.ray import RayEngine

        return RayEngine(
            workers=workers, root=root, logs=logs, trainer=sweep.trainer, work=work,
            beat=beat, address=choice.address, resources=sweep.resources, say=say,
        )  # fmt: skip

    return ray


def gpu_shares(
    resources: Resources, trainer: Trainer, workers: int, here: list[str]
) -> list[str] | None:
    """For each worker the GPUs that it sees, as CUDA_VISIBLE_DEVICES names them; None: any.

    Without `resources.gpus` every worker gets as many as a trial has devices, and GPUs are shared
    evenly where there are more workers than that. With it there are as many workers as fit.

    Raises:
        SweepError: there are fewer GPUs than one trial takes.
    """
    asked = resources.gpus
    if trainer.accelerator == "cpu" or (not here and not asked):
        if asked and trainer.accelerator == "cpu":
            raise SweepError("resources.gpus asks for GPUs, and trainer.accelerator is cpu")
        return None
    if asked == 0:
        return [""] * workers
    each = max(1, round(asked)) if asked is not None else trainer.devices
    if len(here) < each:
        raise SweepError(
            f"a trial takes {each} GPUs, and this machine has {len(here)} to offer"
            "\n  Lower resources.gpus or trainer.devices, or use a machine that has them: "
            "--engine ray"
        )
    groups = [",".join(here[i : i + each]) for i in range(0, len(here) - each + 1, each)]
    if asked is None:
        return [groups[i % len(groups)] for i in range(workers)]
    rooms = int(1 / asked + 1e-9) if asked < 1 else 1
    return [groups[i % len(groups)] for i in range(min(workers, rooms * len(groups)))]
