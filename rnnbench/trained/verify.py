"""Checks a result: its weights are evaluated again, or the run is trained again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from rnnbench.contract import Refusal
from rnnbench.data import data_version
from rnnbench.errors import PluginError, UserError
from rnnbench.results.record import Figures, Record, Status
from rnnbench.results.run_folder import WEIGHTS
from rnnbench.results.sharing.bundle import BundleError
from rnnbench.results.sharing.origin import DIFFERS, VERIFIED, stamp
from rnnbench.results.sharing.unpack import check_weights
from rnnbench.results.store import Store
from rnnbench.spec.instantiate import instantiate
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.dry_run import check_spec

EVALUATED, TRAINED = "evaluated again", "trained again"
TOLERANCE = 1e-4
"""Of a figure against the one claimed, relative: what another CPU or GPU may round otherwise."""


class VerificationError(UserError, ValueError):
    """The result cannot be checked here; the message says why. Nothing was stamped."""


class Verification(NamedTuple):
    """What a verification found.

    Attributes:
        exact: every figure is equal to the last digit.
        figures: (split, metric, claimed, found).
        differences: the figures that are further apart than the tolerance, a sentence each.
    """

    how: str
    exact: bool
    figures: tuple[tuple[str, str, float | None, float | None], ...]
    differences: tuple[str, ...]


def verify(
    store: Store,
    record: Record,
    *,
    retrain: bool = False,
    tolerance: float = TOLERANCE,
    trainer: Trainer | None = None,
) -> Verification:
    """Evaluate a run's weights on its splits, or train it anew, and stamp what came out.

    Args:
        tolerance: relative, of each figure.

    Raises:
        VerificationError: no weights, missing plugins or data, other versions of these, or
            weights that are not those of the model.
    """
    _refuse_what_cannot_be_checked(record)
    trainer = trainer or Trainer()
    found = _trained(record, trainer) if retrain else _evaluated(store, record, trainer)
    verdict = compare(record.metrics, found, TRAINED if retrain else EVALUATED, tolerance)
    stamp(record, DIFFERS if verdict.differences else VERIFIED, verdict.how,
          list(verdict.differences))  # fmt: skip
    store.write(record)
    return verdict


def compare(
    claimed: Mapping[str, Figures], found: Mapping[str, Figures], how: str, tolerance: float
) -> Verification:
    """Every figure of every split that is claimed, beside what was found."""
    figures, differences, exact = [], [], True
    for split, metrics in claimed.items():
        for name, value in metrics.items():
            now = found.get(split, {}).get(name)
            now = None if now is None or not math.isfinite(now) else float(now)
            figures.append((split, name, value, now))
            exact = exact and value == now
            if value is None or now is None:
                near = value is None and now is None
            else:
                near = math.isclose(value, now, rel_tol=tolerance, abs_tol=tolerance * 1e-3)
            if not near:
                differences.append(f"{name} on {split}: claimed {_told(value)}, found {_told(now)}")
    return Verification(how, exact, tuple(figures), tuple(differences))


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _refuse_what_cannot_be_checked(record: Record) -> None:
    if record.status is not Status.DONE:
        raise VerificationError(
            f"{record.run_id} ended as {record.status}: only the figures of a done run can be "
            "checked"
        )
    try:
        task, *_ = instantiate(record.spec)
    except (PluginError, Refusal, ValueError) as error:
        raise VerificationError(f"{record.run_id} cannot be built here: {error}") from error
    here = data_version(task.sources(), task.version)
    if here != record.spec.data:
        raise VerificationError(
            f"{record.run_id} was made with other data than those here: version "
            f"{record.spec.data!r}, and here {here!r}.\n"
            f"  Look at them: rnnbench data verify {record.spec.task.name}"
        )


def _evaluated(store: Store, record: Record, trainer: Trainer) -> dict[str, Figures]:
    from safetensors.torch import load_file

    from rnnbench.training.determinism import configure, on_gpu
    from rnnbench.training.lightning_module import Training
    from rnnbench.training.logs import Telemetry

    path = store.fetch(record.run_id, [WEIGHTS]) / WEIGHTS
    if not path.is_file():
        raise VerificationError(
            f"{record.run_id} has no weights here, so they cannot be evaluated again.\n"
            f"  Train it again: rnnbench verify {record.run_id} --retrain"
        )
    _refuse_other_weights(record, path)
    with TemporaryDirectory(prefix="rnnbench-verify-") as temporary:
        folder = Path(temporary)
        configure(trainer)
        telemetry = Telemetry(record.spec, trainer, folder, None)
        run = Training(record.spec, trainer, folder, telemetry)
        try:
            run.model.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise VerificationError(
                f"the weights of {record.run_id} are not those of its model: {error}"
            ) from error
        if on_gpu(trainer):
            run.to(torch.device("cuda", torch.cuda.current_device()))
        found: dict[str, Figures] = {}
        splits = ("valid", "test") if record.spec.test else ("valid",)
        for split in splits:
            found[split] = dict(run.validate(split, full=True))
            for trick, model in run.tricks.evaluated_apart(run.model, run.task):
                apart = run.validate(split, full=True, model=model)
                found[f"{split} with {trick.name}"] = dict(apart)
        telemetry.close(record)
    return found


def _refuse_other_weights(record: Record, path: Path) -> None:
    """Before memory is taken: a stranger's record may name a model of any size."""
    try:
        shapes = check_weights(path, record.run_id)
        wanted = check_spec(record.spec).parameters
    except (BundleError, Refusal) as error:
        raise VerificationError(str(error)) from error
    given = sum(math.prod(shape) for shape in shapes.values())
    if given < wanted:
        raise VerificationError(
            f"the weights of {record.run_id} are {given:,} numbers, and its model has {wanted:,}"
        )


def _trained(record: Record, trainer: Trainer) -> dict[str, Figures]:
    from rnnbench.training.execute import execute

    with TemporaryDirectory(prefix="rnnbench-verify-") as temporary:
        store = Store(Path(temporary), index=False)
        again = execute(record.spec, store=store, trainer=trainer)
    if again.status is not Status.DONE:
        raise VerificationError(f"training it again ended as {again.status}: {again.reason}")
    return again.metrics
