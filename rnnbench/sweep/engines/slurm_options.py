"""Turns a sweep's resources and `--slurm NAME=VALUE` into what `sbatch` is asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from rnnbench.errors import SweepError
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.engines.slurm_seat import WARNED_SECONDS
from rnnbench.sweep.file.resources import Resources

TIME = "8:00:00"  # of a job, where `--slurm time` does not say
SEAT_MEGABYTES = 512  # that a seat takes beside its worker
OURS = {
    "array": "--workers says how many jobs there are",
    "output": "logs lie in the folder of the sweep",
    "error": "logs lie in the folder of the sweep",
    "open-mode": "logs lie in the folder of the sweep",
    "signal": "the engine needs it for checkpoints",
    "nodes": "a trial runs on one node",
    "ntasks": "a trial is one task",
    "ntasks-per-node": "a trial is one task",
    "requeue": "the engine needs it for checkpoints",
    "no-requeue": "the engine needs it for checkpoints",
    "cpus-per-task": "write resources: {cpus: N} in the sweep file",
    "gpus-per-node": "write resources: {gpus: N} in the sweep file",
    "mem": "write resources: {memory: 4GB} in the sweep file",
}


def read_options(options: Sequence[str]) -> dict[str, Any]:
    """Return the options for `sbatch` by their long names; one without a value is True.

    Args:
        options: "partition=gpu", "account=me", "exclusive", as `--slurm` takes them.

    Raises:
        SweepError: one of them is the engine's own, or is given twice.
    """
    values: dict[str, Any] = {}
    for option in options:
        name, sign, value = option.partition("=")
        name = name.strip().lstrip("-").replace("_", "-")
        if not re.fullmatch(r"[a-z][a-z0-9-]+", name) or (sign and not value):
            raise SweepError(
                f"--slurm takes a long option of sbatch, got {option!r}\n"
                "  Write --slurm partition=NAME, or --slurm exclusive for one without a value."
            )
        if name in OURS:
            raise SweepError(f"--slurm {name} is set by the engine: {OURS[name]}")
        if name in values:
            raise SweepError(f"--slurm {name} is given twice\n  Leave one of them out.")
        values[name] = value if sign else True
    values.setdefault("time", TIME)
    minutes_of(values["time"])
    return values


def minutes_of(time: Any) -> int:
    """Return the minutes that a time limit of Slurm means, rounded up.

    Raises:
        SweepError: it is none, or too short for a checkpoint at its end.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", str(time))
    if match is None:
        raise SweepError(
            f"--slurm time={time} is no time limit\n"
            "  Write minutes (time=90), time=12:00:00 or time=2-00:00:00 (two days)."
        )
    first, second, third = (int(g or 0) for g in match.groups()[1:])
    if match[1] is not None:  # days-hours, with minutes and seconds behind
        seconds = int(match[1]) * 86400 + first * 3600 + second * 60 + third
    elif match[4] is not None:
        seconds = first * 3600 + second * 60 + third
    else:
        seconds = first * 60 + second
    if seconds < 2 * WARNED_SECONDS:
        raise SweepError(
            f"--slurm time={time}: a job needs {2 * WARNED_SECONDS} s or more, of which the last "
            f"{WARNED_SECONDS} are for a checkpoint\n  Write --slurm time=10, or more minutes."
        )
    return math.ceil(seconds / 60)


def parameters(
    options: dict[str, Any], resources: Resources, trainer: Trainer, name: str
) -> dict[str, Any]:
    """Return the parameters of submitit's executor for the jobs of a sweep.

    Args:
        options: as `read_options` returns them.
        name: name of the sweep.

    Raises:
        SweepError: Slurm cannot give what the sweep file asks for.
    """
    if resources.labels:
        raise SweepError(
            "resources.labels are labels of Ray, and Slurm has none\n"
            "  Leave them out, and write --slurm constraint=FEATURE, or --slurm partition=NAME."
        )
    if resources.placement == "spread":
        raise SweepError(
            "resources.placement: spread is Ray's, and Slurm places each trial by itself\n"
            "  Leave it out, and write --slurm spread-job."
        )
    gpus = resources.gpus
    if gpus is None:
        gpus = trainer.devices if trainer.accelerator == "gpu" else 0
    if gpus != int(gpus):
        raise SweepError(
            f"resources.gpus: {gpus} shares a GPU, and Slurm gives whole ones\n"
            "  Write gpus: 1, or share GPUs by --engine ray (cluster/slurm/sweep.sbatch)."
        )
    cpus = max(1, math.ceil(resources.cpus))
    further = {key: value for key, value in options.items() if key != "time"}
    chosen: dict[str, Any] = {
        "job_name": f"rnnbench-{name}",
        "time": minutes_of(options["time"]),
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": cpus,
        "signal_delay_s": WARNED_SECONDS,
        "wckey": None,  # submitit's own is refused where keys are checked
        "stderr_to_stdout": True,
        # A step does not inherit it since Slurm 22.05.
        "srun_args": [f"--cpus-per-task={cpus}"],
        "array_parallelism": 1_000_000,  # Slurm's own limits hold
        "additional_parameters": {**further, "requeue": True},
    }
    if gpus:
        chosen["gpus_per_node"] = int(gpus)
    if resources.memory is not None:
        chosen["mem"] = f"{math.ceil(resources.memory / 1e6) + SEAT_MEGABYTES}M"
    return chosen
