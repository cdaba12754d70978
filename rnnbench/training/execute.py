"""One run from spec to record, whatever happens on the way.

`execute` begins the record and decides where to train: here, or in a process for each device.
`train_and_evaluate` is what each of these processes does: it makes a `Training`, which
`lightning_module.train` drives, then evaluates the best weights.
"""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from rnnbench.contract import Meter, Task
from rnnbench.files.atomic import replace_file, sweep_folder
from rnnbench.nn.models.output_lengths import describe_limit
from rnnbench.registry.held_laws import describe_third_parties
from rnnbench.registry.registry import load
from rnnbench.results.labels import DATA_CARD, label_of
from rnnbench.results.outages import KIND, MISSING, fault_of, missing_name
from rnnbench.results.record import FINAL, Figures, Record, Status, provenance
from rnnbench.results.run_folder import CHECKPOINTS, ITEM_SCORES, WEIGHTS
from rnnbench.results.store import Store
from rnnbench.spec.instantiate import Plugins
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.training import checkpoint, costs
from rnnbench.training.determinism import (
    choose_scan,
    configure,
    device_name,
    gpu_is_gone,
    on_gpu,
    require_gpu,
)
from rnnbench.training.devices.data_parallel import ONE_PROCESS, DataParallel
from rnnbench.training.devices.supervisor import refuse_devices, train_in_group
from rnnbench.training.examples import sample_text, write_examples
from rnnbench.training.lightning_module import train
from rnnbench.training.logs import Telemetry
from rnnbench.training.progress import OnStep, OnValidation
from rnnbench.training.run import Training
from rnnbench.training.stopping import Ended, signals

# Parts of messages of cuBLAS, cuDNN, the CPU's allocator and the system, for which torch has no
# error of its own.
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
    seed_plan: Mapping[str, Any] | None = None,
    on_validation: OnValidation | None = None,
    on_step: OnStep | None = None,
    quiet: bool = True,
    plugins: Plugins | None = None,
) -> Record:
    """Train, evaluate, and write a record, whatever happens.

    An earlier attempt's checkpoint is taken up where it stood, bitwise as if never interrupted.

    Args:
        seed_plan: how results decide on the seeds of its row; the record keeps it, since boards
            judge such rows more strictly (`rnnbench.stats.adaptive_seeds.board_level`).
        on_validation: called after each validation; True ends the run as pruned.
        on_step: called after each pack of optimiser steps.
        quiet: leave the signals of the process alone (a worker's driver handles them).
        plugins: those of the spec, where they were made before.

    Returns:
        The record, which has been written to the store.
    Raises:
        Refusal: of `trainer.devices`, before compute is spent and without a record.
    """
    trainer = trainer or Trainer()
    refuse_devices(trainer)
    started, began = datetime.now(UTC), time.perf_counter()
    folder = store.begin(spec.run_id)
    sweep_folder(folder)  # a killed attempt may have left half a file
    record = Record(
        spec=spec, status=Status.CRASHED, reason="the process ended", attempt=attempt,
        sweep=sweep, study=study, started=started.isoformat(timespec="seconds"),
        provenance=_provenance(spec, trainer),
    )  # fmt: skip
    if seed_plan is not None:
        record.provenance["seed_plan"] = dict(seed_plan)
    stop = _StopRequests(ranks=trainer.devices > 1)
    try:
        with contextlib.nullcontext() if quiet else signals(stop.ask):
            if trainer.devices > 1:
                record = train_in_group(
                    record, trainer, store, on_validation, on_step, lambda: stop.number
                )
            else:
                telemetry = Telemetry(spec, trainer, folder, sweep)
                record = train_and_evaluate(
                    record, trainer, folder, telemetry, on_validation=on_validation,
                    on_step=on_step, begun=stop.begun, store=store, plugins=plugins,
                )  # fmt: skip
    except Ended as end:  # before there was a run, or a rank of it failed
        _note_end(record, end)
        _read_last_checkpoint(record, trainer, folder)
    record.ended = datetime.now(UTC).isoformat(timespec="seconds")
    record.cost["wall_seconds"] = time.perf_counter() - began
    # A fresh object, so that what a done record must hold is checked.
    record = Record(**{k: getattr(record, k) for k in record.__dataclass_fields__})
    if store.write(record) and record.status in FINAL:
        checkpoint.clear(folder)
        store.forget(spec.run_id, CHECKPOINTS)
    return record


def _provenance(spec: RunSpec, trainer: Trainer) -> dict[str, Any]:
    """Return where a run is made, by which code of third parties, and what plugins declare."""
    names = [("tasks", spec.task.name), ("architectures", spec.architecture.name)]
    names += [("tricks", t.name) for t in spec.tricks]
    made = provenance(device=device_name(trainer)) | label_of(spec)
    if others := describe_third_parties(names):
        made["third_parties"] = others
    if declared := {f"{kind}/{name}": dict(load(kind, name).declares) for kind, name in names
                    if load(kind, name).declares}:  # fmt: skip
        made["declared"] = declared
    return made


class _StopRequests:
    """Passes the first request to stop on to the run; before there is one, it ends at once.

    Args:
        ranks: the run is trained in other processes, for which `number` is polled.
    """

    def __init__(self, *, ranks: bool) -> None:
        self.number = 0
        self._ranks = ranks
        self._run: Training | None = None

    def ask(self, number: int) -> None:
        """Take a signal of this number for a request."""
        self.number = number
        if self._run is not None:
            self._run.ask_to_stop(number)
        elif not self._ranks:
            name = signal.Signals(number).name
            raise Ended(Status.INTERRUPTED, f"{name} before the first step", number)

    def begun(self, run: Training) -> None:
        """Pass requests on to this run from now on."""
        self._run = run


def train_and_evaluate(
    record: Record,
    trainer: Trainer,
    folder: Path,
    telemetry: Telemetry,
    *,
    on_validation: OnValidation | None,
    on_step: OnStep | None,
    begun: Callable[[Training], None],
    store: Store,
    ranks: DataParallel = ONE_PROCESS,
    plugins: Plugins | None = None,
) -> Record:
    """Return the record with the figures of a run or how it ended; nothing is written.

    Args:
        begun: given the run once it can be asked to stop.
        store: where checkpoints are sent, besides their folder.
        ranks: where there are several, only the first evaluates, and failures are raised.
        plugins: those of the spec, where they were made before.
    """
    spec = record.spec
    run: Training | None = None
    memory_is_watched = not on_gpu(trainer) and costs.forget_peak()
    try:
        configure(trainer)
        require_gpu(trainer)
        run = Training(spec, trainer, folder, telemetry, on_validation, on_step, ranks, plugins)
        run.kept = lambda: store.keep(spec.run_id)
        begun(run)
        choose_scan(trainer, spec.budget, run.loader.steps)
        train(run)
        if ranks.rank == 0:
            _evaluate_best(run, record)
        record.status, record.reason = Status.DONE, None
    except Ended as end:
        _note_end(record, end)
    except KeyboardInterrupt:
        record.status, record.reason = Status.INTERRUPTED, "Ctrl-C"
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk takes no traceback
            telemetry.failure(error)
        if ranks.world > 1:
            raise
        _note_end(record, end_of(error))
    if run is not None:
        costs.describe_training(run, record)
        if memory_is_watched:
            record.cost["peak_memory_bytes"] = costs.peak_bytes()
    telemetry.close(record)
    record.provenance["telemetry"] = telemetry.problems
    if store.problems:
        record.provenance["storage"] = list(store.problems)
    return record


def out_of_memory(error: BaseException) -> str | None:
    """Return the reason to record where memory ran out, None where something else is wrong."""
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


def end_of(error: Exception) -> Ended:
    """Return the end that an error is to a run: whether its own, of memory, or infrastructure's."""
    if memory := out_of_memory(error):
        return Ended(Status.OOM, memory)
    reason, fault = f"{type(error).__name__}: {error}", fault_of(error)
    if fault is None:
        return Ended(Status.CRASHED, reason)
    sure = not fault.unsure or (fault.kind == "gpu" and gpu_is_gone())
    status = Status.INTERRUPTED if sure else Status.CRASHED
    return Ended(status, reason, fault=fault.kind, missing=missing_name(error))


def _note_end(record: Record, end: Ended) -> None:
    """Record why training ended before its budget did."""
    record.status, record.reason = end.status, end.reason
    if end.fault:
        record.provenance[KIND] = end.fault
    if end.missing:
        record.provenance[MISSING] = end.missing
    if end.signal:
        record.provenance["signal"] = signal.Signals(end.signal).name


def _read_last_checkpoint(record: Record, trainer: Trainer, folder: Path) -> None:
    """Record curve and cost up to the last checkpoint, of a run whose processes are gone."""
    record.provenance["devices"] = trainer.devices
    saved = checkpoint.load(folder)
    if saved is None:
        return
    step, tokens, *_ = saved["position"]
    record.curve = saved["curve"]
    record.cost |= {"steps": step, "tokens": tokens, "train_seconds": saved["train_seconds"]}
    record.cost["device_seconds"] = saved["train_seconds"] * trainer.devices


def _evaluate_best(run: Training, record: Record) -> None:
    """Evaluate the best weights on validation, and on test once, and write them."""
    task, best_weights = run.task, run.progress.best_weights
    assert best_weights is not None
    run.model.load_state_dict(best_weights)
    splits = ("valid", "test") if run.spec.test else ("valid",)
    for split in splits:
        examples = 5 if split == splits[-1] and run.spec.test else 0
        evaluation = run.validate(split, full=True, examples=examples)
        record.metrics[split] = {**evaluation.metrics}
        record.examples += evaluation.examples
        if shares := run.lengths.shares():
            decoding = record.provenance.setdefault("decoding", describe_limit(task))
            decoding[split] = shares
        if run.spec.test:
            record.baselines[split] = baselines_of(task, split)
        if split == "test" and run.meter is not None:
            _keep_items(run, run.meter)
        for trick, metrics in evaluate_apart(run, split):
            record.metrics[f"{split} with {trick}"] = metrics
    if run.spec.test:
        if card := run.telemetry.guarded("describing the data", lambda: _card_of(task), {}):
            record.provenance[DATA_CARD] = card
        record.cost |= costs.measure_latencies(run)
        text = run.telemetry.guarded(
            "sampling a text",
            lambda: sample_text(task, run.model, run.spec.seed, run.loader.position.step),
            [],
        )
        write_examples(run.folder, [*run.drawn, *text])
    replace_file(run.folder / WEIGHTS, weights_bytes(best_weights))


def evaluate_apart(run: Training, split: str) -> Iterator[tuple[str, Figures]]:
    """Yield the name of each trick that changes evaluation, and the metrics with it."""
    for trick, model in run.tricks.evaluated_apart(run.model, run.task):
        yield trick.name, dict(run.validate(split, full=True, model=model).metrics)


def _keep_items(run: Training, meter: Meter) -> None:
    """Write what each item of the test split added to the headline metric."""
    name = run.task.metrics[0].name
    items = meter.items(name)
    if items is not None:
        facts = {"metric": name, "unit": items.unit, "form": items.form, "scale": items.scale}
        text = json.dumps({**facts, "values": [list(v) for v in items.values]})
        replace_file(run.folder / ITEM_SCORES, text.encode())


def weights_bytes(weights: dict[str, torch.Tensor]) -> bytes:
    """Return weights as a safetensors file; tied tensors are stored once under each name."""
    from safetensors.torch import save

    return save({k: v.contiguous().clone() for k, v in weights.items()})


_BASELINES: dict[tuple[Task, str], dict[str, dict[str, float]]] = {}


_CARDS: dict[Task, dict[str, Any]] = {}


def _card_of(task: Task) -> dict[str, Any]:
    """Return the card of a user's own data; {} of data that everybody has. Made once a process."""
    if task not in _CARDS:
        own = any(source.origin.startswith(("file:", "folder:")) for source in task.sources())
        card = task.card() if own else None
        _CARDS[task] = {} if card is None else card.as_plain()
    return _CARDS[task]


def baselines_of(task: Task, split: str) -> dict[str, Figures]:
    """Return the task's baselines on a split, computed once a process."""
    if (task, split) not in _BASELINES:
        _BASELINES[task, split] = task.baselines(split)
    return {name: {**values} for name, values in _BASELINES[task, split].items()}
