"""One run from spec to record, whatever happens on the way."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

import torch

from rnnbench import checkpoint
from rnnbench.atomic import replace_file
from rnnbench.contract import Task
from rnnbench.nn import scan
from rnnbench.process import configure, device_name, is_long, on_gpu
from rnnbench.record import Figures, Record, Status, provenance
from rnnbench.spec import RunSpec, Trainer
from rnnbench.stopping import signals
from rnnbench.store import Store
from rnnbench.telemetry import Telemetry
from rnnbench.training import Ended, OnStep, OnValidation, Training, fit


def execute(
    spec: RunSpec,
    *,
    store: Store,
    trainer: Trainer | None = None,
    attempt: int = 1,
    sweep: str | None = None,
    study: str | None = None,
    on_validation: OnValidation | None = None,
    on_step: OnStep | None = None,
    quiet: bool = True,
) -> Record:
    """Train, evaluate, and leave a record, whatever happens.

    An earlier attempt's checkpoint is taken up where it stood, bitwise as if never interrupted.

    Args:
        on_validation: told (step, selection value); True ends the run as pruned.
        on_step: told (position, mean training loss, progress) after every pack.
        quiet: leave the signals of the process alone (a worker's driver handles them).

    Returns:
        The record, which has been written to the store.
    """
    trainer = trainer or Trainer()
    started, began = datetime.now(UTC), time.perf_counter()
    folder = store.run_dir(spec.run_id)
    record = Record(
        spec=spec, status=Status.CRASHED, reason="the process ended", attempt=attempt,
        sweep=sweep, study=study, started=started.isoformat(timespec="seconds"),
        provenance=provenance(device=device_name(trainer)),
    )  # fmt: skip
    run: Training | None = None
    telemetry = Telemetry(spec, trainer, folder, sweep)
    try:
        configure(trainer)
        run = Training(spec, trainer, folder, telemetry, on_validation, on_step)
        scan.use(trainer.scan, is_long(spec.budget, run.loader.steps))
        with contextlib.nullcontext() if quiet else signals(run.ask_to_stop):
            fit(run)
        _finish(run, record)
        record.status, record.reason = Status.DONE, None
    except Ended as end:
        record.status, record.reason = end.status, end.reason
    except torch.cuda.OutOfMemoryError as error:
        record.status, record.reason = Status.OOM, str(error).splitlines()[0]
    except MemoryError as error:
        record.status, record.reason = Status.OOM, str(error) or "out of memory"
    except KeyboardInterrupt:
        record.status, record.reason = Status.INTERRUPTED, "Ctrl-C"
    except Exception as error:
        record.status, record.reason = Status.CRASHED, f"{type(error).__name__}: {error}"
        telemetry.failure(error)
    record.ended = datetime.now(UTC).isoformat(timespec="seconds")
    record.cost["wall_seconds"] = time.perf_counter() - began
    if run is not None:
        _account(run, record)
    telemetry.close(record)
    record.provenance["telemetry"] = telemetry.problems
    # A fresh object, so that what a done record must hold is checked.
    record = Record(**{k: getattr(record, k) for k in record.__dataclass_fields__})
    if store.write(record) and record.status in (Status.DONE, Status.PRUNED, Status.NAN):
        checkpoint.clear(folder)
    return record


def _finish(run: Training, record: Record) -> None:
    """Evaluate the best weights: validation, and test once."""
    task = run.task
    assert run.best_weights is not None
    run.model.load_state_dict(run.best_weights)
    if on_gpu(run.settings):
        run.to("cuda")  # Lightning takes the model back to the CPU when it ends
    splits = ("valid", "test") if run.spec.test else ("valid",)
    for split in splits:
        examples = 5 if split == splits[-1] and run.spec.test else 0
        result = run.validate(split, full=True, examples=examples)
        record.metrics[split], shown = result if examples else (result, [])
        record.examples += shown
        if run.spec.test:
            record.baselines[split] = baselines_of(task, split)
        for trick, model in run.tricks.evaluated_apart(run.model, task):
            apart = run.validate(split, full=True, model=model)
            record.metrics[f"{split} with {trick.name}"] = apart
    replace_file(run.folder / "weights.safetensors", weights_bytes(run.best_weights))


def weights_bytes(weights: dict[str, torch.Tensor]) -> bytes:
    """Tied tensors are stored once each, under every name."""
    from safetensors.torch import save

    return save({k: v.contiguous().clone() for k, v in weights.items()})


_BASELINES: dict[tuple[Task, str], dict[str, dict[str, float]]] = {}


def baselines_of(task: Task, split: str) -> dict[str, Figures]:
    """Computed once a process."""
    if (task, split) not in _BASELINES:
        _BASELINES[task, split] = task.baselines(split)
    return {name: {**values} for name, values in _BASELINES[task, split].items()}


def _account(run: Training, record: Record) -> None:
    at, task = run.loader.position, run.task
    batches = len(run.loader.order(0))
    record.cost |= {
        "steps": at.step,
        "tokens": at.tokens,
        "epochs": at.epoch + at.batch / batches,
        "parameters": run.parameters_count,
        "train_seconds": run.train_seconds,
        "device_seconds": run.train_seconds,  # a run has one device
    }
    if on_gpu(run.settings):
        record.cost["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
    record.curve = run.curve
    record.provenance["metric_signature"] = run.signature
    record.provenance["threads"] = run.settings.threads
    record.provenance["scan"] = {"setting": run.settings.scan, "cells": scan.report()}
    record.metric_info = [
        {"name": m.name, "unit": m.unit, "higher_is_better": m.higher_is_better, "help": m.help}
        for m in task.metrics
    ]
    record.selection = {
        "metric": task.selection,
        "higher_is_better": run.selection is not None and run.selection.higher_is_better,
        "value": run.best["value"],
        "step": run.best["step"],
    }
