"""The state of the whole process that a run sets: threads, determinism and random numbers."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from rnnbench.contract import State
from rnnbench.nn import scan
from rnnbench.spec.run_spec import Budget, Trainer

TRY_SECONDS = 120.0  # for a process to start, and to put a number on the GPU
# From here on a run earns back the seconds that inductor takes to compile a cell.
LONG = {"steps": 1_000, "tokens": 1_000_000, "seconds": 120.0}
# And from here on the tenths of a second of C, in place of a kernel of torch that is at hand.
NOT_SHORT = {"steps": 100, "tokens": 100_000, "seconds": 10.0}


def configure(trainer: Trainer) -> None:
    """Set threads, determinism and the tier of the scan in this process."""
    torch.set_num_threads(trainer.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(trainer.deterministic)
    # Else every new tensor is filled with NaN, to show who reads what nobody wrote: up to a tenth
    # of a step, and no part of determinism.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    scan.use(trainer.scan)


def require_gpu(trainer: Trainer) -> None:
    """Raise a RuntimeError where this process was given a GPU and has none.

    `accelerator=auto` would train on the CPU, for days and beside the others' figures.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    given_one = bool(given) and not given.startswith("-") and "NoDevFiles" not in given
    built_for_it = torch.version.cuda is not None and trainer.accelerator != "cpu"
    if given_one and built_for_it and not torch.cuda.is_available():
        raise RuntimeError(
            f"No CUDA GPUs are available, and this process was given CUDA_VISIBLE_DEVICES={given}: "
            "to train on the CPU, set trainer.accelerator=cpu or CUDA_VISIBLE_DEVICES="
        )


def gpu_is_gone() -> bool:
    """Tell, after an error of the GPU that this process uses, whether another one cannot use it."""
    if not torch.cuda.is_initialized():
        return False
    code = f"import torch; torch.zeros(1, device='cuda:{torch.cuda.current_device()}').item()"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=TRY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return tried.returncode != 0 and b"out of memory" not in tried.stderr


def choose_scan(trainer: Trainer, budget: Budget, steps: int | None) -> None:
    """Choose how this process scans the cells of a run.

    It follows from the spec alone, so that a resumed run takes the same tier as one that was not
    interrupted.

    Args:
        steps: optimiser steps of the budget, where it says so in steps or epochs.
    """
    plain = reaches(budget, steps, NOT_SHORT)
    scan.use(trainer.scan, reaches(budget, steps, LONG), plain=plain)


def reaches(budget: Budget, steps: int | None, least: Mapping[str, float]) -> bool:
    """Tell whether a run has at least so many steps, tokens or seconds."""
    limits = {"steps": steps, "tokens": budget.tokens, "seconds": budget.seconds}
    return any(value is not None and value >= least[name] for name, value in limits.items())


def seed_torch(seed: int) -> None:
    """Seed torch as `torch.manual_seed` does, every GPU too; cheap where there is none.

    There torch keeps each seed, and a text of the whole stack, for devices that never come: a
    millisecond a call or more, and memory that grows.
    """
    if torch.cuda.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Seed torch, numpy and Python."""
    seed_torch(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of every library's generator, as tensors, numbers and text."""
    kind, keys, *position = np.random.get_state()
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        # Of the device at hand: others belong to other runs, and may be others at the resume.
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *position],
        "python": [version, list(words), gauss],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put every generator where `random_state` found it."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])
    kind, keys, *position = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *position))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


def to_device(state: State, device: torch.device) -> State:
    """Return a nested state with its tensors on a device, its lists as tuples."""
    if isinstance(state, torch.Tensor):
        return state.to(device)
    if isinstance(state, (tuple, list)):
        make = getattr(state, "_make", tuple)  # of a NamedTuple
        return make(to_device(s, device) for s in state)
    if isinstance(state, dict):
        return {name: to_device(s, device) for name, s in state.items()}
    return state


def as_plain(state: State) -> State:
    """Return a nested state with its NamedTuples as tuples, which any checkpoint can hold."""
    if isinstance(state, (tuple, list)):
        kind = tuple if hasattr(state, "_make") else type(state)
        return kind(as_plain(s) for s in state)
    if isinstance(state, dict):
        return {name: as_plain(s) for name, s in state.items()}
    return state


def on_gpu(trainer: Trainer) -> bool:
    """Tell whether a run of these settings trains on a GPU here."""
    return trainer.accelerator != "cpu" and torch.cuda.is_available()


def device_name(trainer: Trainer) -> str:
    """Return what a record calls the hardware that trains."""
    return torch.cuda.get_device_name() if on_gpu(trainer) else "cpu"


@contextlib.contextmanager
def kernels_for(precision: str) -> Iterator[None]:
    """Within it, torch uses only kernels that this CPU has.

    oneDNN's LSTM in bf16 needs instructions of its own, and torch asks for it without looking.
    `torch.backends.mkldnn.flags` would warn of Intel's GPUs.
    """
    if precision == "32" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        yield
        return
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Within it, Lightning is silent about what this runner decides by itself."""
    loggers = [logging.getLogger(n) for n in ("pytorch_lightning", "lightning_fabric")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message="The `srun` command is available.*")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
