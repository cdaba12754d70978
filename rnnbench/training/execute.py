"""One run from spec to record, whatever happens on the way."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

from rnnbench.contract import Meter, Task
from rnnbench.files.atomic import replace_file, sweep_folder
from rnnbench.nn import scan
from rnnbench.results.record import FINAL, Figures, Record, Status, provenance
from rnnbench.results.run_folder import CHECKPOINTS, ITEM_SCORES, WEIGHTS
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.training import checkpoint, costs
from rnnbench.training.determinism import configure, device_name, is_long, on_gpu
from rnnbench.training.devices.data_parallel import Ranks
from rnnbench.training.devices.supervisor import refuse_devices, train_in_group
from rnnbench.training.ended import Ended
from rnnbench.training.examples import sample_text, write_examples
from rnnbench.training.lightning_module import OnStep, OnValidation, Training, fit
from rnnbench.training.loader import split_of
from rnnbench.training.logs import Telemetry
from rnnbench.training.stopping import signals

# What cuBLAS, cuDNN, the CPU's allocator and the system say where torch has no error of its own.
NO_MEMORY = (
    "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory", "not enough memory",
)  # fmt: skip


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
    Raises:
        Refusal: of `trainer.devices`, before compute is spent and without a record.
    """
    trainer = trainer or Trainer()
    refuse_devices(trainer)
    started, began = datetime.now(UTC), time.perf_counter()
    folder = store.begin(spec.run_id)
    sweep_folder(folder)  # of what a killed attempt had begun to write
    record = Record(
        spec=spec, status=Status.CRASHED, reason="the process ended", attempt=attempt,
        sweep=sweep, study=study, started=started.isoformat(timespec="seconds"),
        provenance=provenance(device=device_name(trainer)),
    )  # fmt: skip
    stop = _Stop(trainer.devices > 1)
    try:
        with contextlib.nullcontext() if quiet else signals(stop.ask):
            if trainer.devices > 1:
                record = train_in_group(
                    record, trainer, store, on_validation, on_step, lambda: stop.number
                )
            else:
                telemetry = Telemetry(spec, trainer, folder, sweep)
                record = train(
                    record, trainer, folder, telemetry,
                    on_validation=on_validation, on_step=on_step, begun=stop.begun, store=store,
                )  # fmt: skip
    except Ended as end:  # before there was a run, or a rank of it failed
        _end(record, end)
        _remember(record, trainer, folder)
    record.ended = datetime.now(UTC).isoformat(timespec="seconds")
    record.cost["wall_seconds"] = time.perf_counter() - began
    # A fresh object, so that what a done record must hold is checked.
    record = Record(**{k: getattr(record, k) for k in record.__dataclass_fields__})
    if store.write(record) and record.status in FINAL:
        checkpoint.clear(folder)
        store.forget(spec.run_id, CHECKPOINTS)
    return record


class _Stop:
    """Passes the first request on to the run; before there is one, it ends at once."""

    def __init__(self, polled: bool) -> None:
        self.number = 0
        self._polled = polled  # by who trains elsewhere
        self._run: Training | None = None

    def ask(self, number: int) -> None:
        self.number = number
        if self._run is not None:
            self._run.ask_to_stop(number)
        elif not self._polled:
            name = signal.Signals(number).name
            raise Ended(Status.INTERRUPTED, f"{name} before the first step", number)

    def begun(self, run: Training) -> None:
        self._run = run


def train(
    record: Record,
    trainer: Trainer,
    folder: Path,
    telemetry: Telemetry,
    *,
    on_validation: OnValidation | None,
    on_step: OnStep | None,
    begun: Callable[[Training], None],
    store: Store,
    ranks: Ranks | None = None,
) -> Record:
    """Train and evaluate; the record says how it ended, and is not written.

    Args:
        begun: given the run once it can be asked to stop.
        store: where checkpoints are sent, besides their folder.
        ranks: of a run on several devices. Only the first evaluates; failures are raised.
    """
    spec = record.spec
    run: Training | None = None
    watched = not on_gpu(trainer) and costs.forget_peak()
    try:
        configure(trainer)
        run = Training(spec, trainer, folder, telemetry, on_validation, on_step, ranks)
        run.kept = lambda: store.keep(spec.run_id)
        begun(run)
        scan.use(trainer.scan, is_long(spec.budget, run.loader.steps))
        fit(run)
        if ranks is None or ranks.rank == 0:
            _finish(run, record)
        record.status, record.reason = Status.DONE, None
    except Ended as end:
        _end(record, end)
    except KeyboardInterrupt:
        record.status, record.reason = Status.INTERRUPTED, "Ctrl-C"
    except Exception as error:
        telemetry.failure(error)
        if ranks is not None:
            raise
        record.status, record.reason = Status.OOM, out_of_memory(error)
        if record.reason is None:
            record.status, record.reason = Status.CRASHED, f"{type(error).__name__}: {error}"
    if run is not None:
        _account(run, record)
        if watched:
            record.cost["peak_memory_bytes"] = costs.peak_bytes()
    telemetry.close(record)
    record.provenance["telemetry"] = telemetry.problems
    if store.problems:
        record.provenance["storage"] = list(store.problems)
    return record


def out_of_memory(error: BaseException) -> str | None:
    """What to tell where memory ran out, None where something else is wrong."""
    known = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )
    if not known and not (
        isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY)
    ):
        return None
    first = (str(error) or "out of memory").splitlines()[0]
    if not torch.cuda.is_initialized():
        return first
    return f"{first} (at most {torch.cuda.max_memory_allocated():,} bytes of the GPU were in use)"


def _end(record: Record, end: Ended) -> None:
    record.status, record.reason = end.status, end.reason
    if end.signal:
        record.provenance["signal"] = signal.Signals(end.signal).name


def _remember(record: Record, trainer: Trainer, folder: Path) -> None:
    """Curve and cost up to the last checkpoint, of a run that could not tell them."""
    record.provenance["devices"] = trainer.devices
    saved = checkpoint.load(folder)
    if saved is None:
        return
    step, tokens, *_ = saved["position"]
    record.curve = saved["curve"]
    record.cost |= {"steps": step, "tokens": tokens, "train_seconds": saved["train_seconds"]}
    record.cost["device_seconds"] = saved["train_seconds"] * trainer.devices


def _finish(run: Training, record: Record) -> None:
    """Evaluate the best weights: validation, and test once."""
    task = run.task
    assert run.best_weights is not None
    run.model.load_state_dict(run.best_weights)
    if on_gpu(run.settings):
        # Lightning takes the model back to the CPU when it ends.
        run.to(torch.device("cuda", torch.cuda.current_device()))
    splits = ("valid", "test") if run.spec.test else ("valid",)
    for split in splits:
        examples = 5 if split == splits[-1] and run.spec.test else 0
        result = run.validate(split, full=True, examples=examples)
        record.metrics[split], shown = result if examples else (result, [])
        record.examples += shown
        if run.spec.test:
            record.baselines[split] = baselines_of(task, split)
        if split == "test" and run.meter is not None:
            _keep_items(run, run.meter)
        for trick, model in run.tricks.evaluated_apart(run.model, task):
            apart = run.validate(split, full=True, model=model)
            record.metrics[f"{split} with {trick.name}"] = apart
    if run.spec.test:
        record.cost |= _latencies(run)
        text = run.telemetry.guarded(
            "sampling a text",
            lambda: sample_text(task, run.model, run.spec.seed, run.loader.position.step),
            [],
        )
        write_examples(run.folder, [*run.drawn, *text])
    replace_file(run.folder / WEIGHTS, weights_bytes(run.best_weights))


def _keep_items(run: Training, meter: Meter) -> None:
    """What each item of the test split added to the headline, beside the record."""
    name = run.task.metrics[0].name
    items = meter.items(name)
    if items is not None:
        told = {"metric": name, "unit": items.unit, "form": items.form, "scale": items.scale}
        text = json.dumps({**told, "values": [list(v) for v in items.values]})
        replace_file(run.folder / ITEM_SCORES, text.encode())


def _latencies(run: Training) -> Figures:
    data = split_of(run.task, "test", 0)
    decodes = run.task.meter("test").decodes
    whole, step = costs.latency(run.model, run.task, data, run.device, decodes)
    return {"latency_seconds": whole, "step_latency_seconds": step}


def _flops(run: Training, record: Record) -> None:
    """Of all training; of what the meta device cannot run they are not known, and it says why."""
    try:
        each = costs.flops_per_target(
            run.architecture, run.task, run.tricks.all, run.spec.optimizer
        )
    except Exception as error:
        record.provenance["flops"] = f"not counted: {type(error).__name__}: {error}"[:300]
        return
    record.provenance["flops"] = (
        "torch.utils.flop_counter, one step on the meta device; products, convolutions, attention"
    )
    record.cost["flops"] = each * run.loader.position.tokens


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
        "device_seconds": run.train_seconds * run.settings.devices,
    }
    if on_gpu(run.settings):
        record.cost["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
    if run.spec.test and record.status is Status.DONE:
        _flops(run, record)
    record.curve = run.curve
    record.provenance["metric_signature"] = run.meter.signature if run.meter else ""
    record.provenance["devices"] = run.settings.devices
    if run.split:
        record.provenance["split"] = run.split
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
