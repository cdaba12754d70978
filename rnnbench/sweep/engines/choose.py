"""Chooses the engine of a sweep, and the GPUs that each of its workers gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rnnbench.errors import SweepError
from rnnbench.results.store import folder_of
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.engines.protocol import Engine, EngineFactory
from rnnbench.sweep.engines.usage import visible_gpus
from rnnbench.sweep.engines.worker import WORK
from rnnbench.sweep.file.resources import Resources
from rnnbench.sweep.file.sweep import Sweep


@dataclass(frozen=True)
class EngineChoice:
    """The engine that `rnnbench sweep --engine` asks for.

    Attributes:
        address: address of a Ray cluster; "auto": the one that is at hand, or a new one here.
        slurm: options of `sbatch`, such as "partition=gpu".
    """

    name: Literal["local", "ray", "slurm"] = "local"
    address: str = "auto"
    slurm: tuple[str, ...] = ()


def engine_factory_for(
    choice: EngineChoice,
    sweep: Sweep,
    root: Path | str,
    beat: float,
    say: Callable[[str], None],
    work: str = WORK,
) -> EngineFactory:
    """Return a function that starts the engine once there is a first trial to run.

    Args:
        root: folder or URL of the store.
        beat: seconds between signs of life of a busy worker.
        say: prints a line for the user.
        work: "module:function" that runs a job.

    Raises:
        SweepError: the sweep asks for GPUs that this machine does not have.
    """
    logs = folder_of(root) / "sweeps" / sweep.name
    if choice.name == "local":
        shares = gpu_shares(sweep.resources, sweep.trainer, sweep.workers, visible_gpus())
        room = sweep.workers if shares is None else len(shares)
        if room < sweep.workers:
            say(f"{room} workers instead of {sweep.workers}: that is what the GPUs have room for")

        def local(workers: int) -> Engine:
            from rnnbench.sweep.engines.local import LocalEngine

            return LocalEngine(
                workers=min(workers, room), root=root, logs=logs, trainer=sweep.trainer,
                work=work, beat=beat, gpus=shares, memory=sweep.resources.memory,
            )  # fmt: skip

        return local
    if choice.name == "slurm":
        from rnnbench.sweep.engines.slurm_options import parameters, read_options

        # Before the first trial, and before data are fetched, what cannot be asked of Slurm.
        parameters(read_options(choice.slurm), sweep.resources, sweep.trainer, sweep.name)

        def slurm(workers: int) -> Engine:
            from rnnbench.sweep.engines.slurm import SlurmEngine

            return SlurmEngine(
                workers=workers, root=root, logs=logs, trainer=sweep.trainer, work=work,
                beat=beat, options=choice.slurm, resources=sweep.resources, say=say,
            )  # fmt: skip

        return slurm

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
    """Return for each worker the GPUs that it sees, as CUDA_VISIBLE_DEVICES names them.

    Without `resources.gpus` every worker gets as many as a trial has devices, and GPUs are shared
    evenly where there are more workers than that. With it there are as many workers as fit.

    Args:
        here: the GPUs of this machine, as CUDA_VISIBLE_DEVICES names them.

    Returns:
        None where every worker may see all GPUs, or runs on the CPU.

    Raises:
        SweepError: there are fewer GPUs than one trial takes.
    """
    per_trial = resources.gpus
    if trainer.accelerator == "cpu" or (not here and not per_trial):
        if per_trial and trainer.accelerator == "cpu":
            raise SweepError("resources.gpus asks for GPUs, and trainer.accelerator is cpu")
        return None
    if per_trial == 0:
        return [""] * workers
    whole = max(1, round(per_trial)) if per_trial is not None else trainer.devices
    if len(here) < whole:
        raise SweepError(
            f"a trial takes {whole} GPUs, and this machine has {len(here)} to offer"
            "\n  Lower resources.gpus or trainer.devices, or use a machine that has them: "
            "--engine ray or slurm"
        )
    groups = [",".join(here[i : i + whole]) for i in range(0, len(here) - whole + 1, whole)]
    if per_trial is None:
        return [groups[i % len(groups)] for i in range(workers)]
    sharers = int(1 / per_trial + 1e-9) if per_trial < 1 else 1  # trials on one GPU
    return [groups[i % len(groups)] for i in range(min(workers, sharers * len(groups)))]
