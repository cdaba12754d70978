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
from rnnbench.errors import PluginError, SpecError, UserError
from rnnbench.results.record import Figures, Record, Status
from rnnbench.results.run_folder import WEIGHTS
from rnnbench.results.sharing.bundle import BundleError
from rnnbench.results.sharing.origin import DIFFERS, VERIFIED, stamp
from rnnbench.results.sharing.unpack import check_weights
from rnnbench.results.store import Store
from rnnbench.spec.instantiate import Plugins, instantiate
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.dry_run import check_resolved
from rnnbench.training.resolve import ResolvedRun

EVALUATED, TRAINED = "evaluated again", "trained again"
TOLERANCE = 1e-4
"""Of a figure against the one claimed, relative: what another CPU or GPU may round otherwise."""


class VerificationError(UserError, ValueError):
    """The result cannot be checked here; the message says why. Nothing was stamped."""


class Verification(NamedTuple):
    """The outcome of a verification.

    Attributes:
        exact: every figure is equal to the last digit.
        figures: (split, metric, claimed, measured).
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
    plugins = _make_plugins(record)
    trainer = trainer or Trainer()
    measured = (
        _train_again(record, plugins, trainer)
        if retrain
        else _evaluate_again(store, record, plugins, trainer)
    )
    verdict = compare(record.metrics, measured, TRAINED if retrain else EVALUATED, tolerance)
    stamp(record, DIFFERS if verdict.differences else VERIFIED, verdict.how,
          list(verdict.differences))  # fmt: skip
    store.write(record)
    return verdict


def compare(
    claimed: Mapping[str, Figures], measured: Mapping[str, Figures], how: str, tolerance: float
) -> Verification:
    """Compare every figure of every split that is claimed with what was measured."""
    figures, differences, exact = [], [], True
    for split, metrics in claimed.items():
        for name, value in metrics.items():
            now = measured.get(split, {}).get(name)
            now = None if now is None or not math.isfinite(now) else float(now)
            figures.append((split, name, value, now))
            exact = exact and value == now
            if value is None or now is None:
                near = value is None and now is None
            else:
                near = math.isclose(value, now, rel_tol=tolerance, abs_tol=tolerance * 1e-3)
            if not near:
                differences.append(
                    f"{name} on {split}: claimed {_format(value)}, found {_format(now)}"
                )
    return Verification(how, exact, tuple(figures), tuple(differences))


def _format(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _make_plugins(record: Record) -> Plugins:
    """Return the plugins of a record that can be checked here.

    Raises:
        VerificationError: it cannot.
    """
    if record.status is not Status.DONE:
        raise VerificationError(
            f"{record.run_id} ended as {record.status}: only the figures of a done run can be "
            "checked"
        )
    try:
        plugins = instantiate(record.spec)
    except (PluginError, SpecError, Refusal) as error:
        raise VerificationError(f"{record.run_id} cannot be built here: {error}") from error
    here = data_version(plugins.task.sources(), plugins.task.version)
    if here != record.spec.data:
        raise VerificationError(
            f"{record.run_id} was made with other data than those here: version "
            f"{record.spec.data!r}, and here {here!r}.\n"
            f"  Look at them: rnnbench data verify {record.spec.task.name}"
        )
    return plugins


def _evaluate_again(
    store: Store, record: Record, plugins: Plugins, trainer: Trainer
) -> dict[str, Figures]:
    """Return the figures of each split with the weights that the run left."""
    from safetensors.torch import load_file

    from rnnbench.training.determinism import configure, on_gpu
    from rnnbench.training.execute import evaluate_apart
    from rnnbench.training.logs import Telemetry
    from rnnbench.training.run import Training

    path = store.fetch(record.run_id, [WEIGHTS]) / WEIGHTS
    if not path.is_file():
        raise VerificationError(
            f"{record.run_id} has no weights here, so they cannot be evaluated again.\n"
            f"  Train it again: rnnbench verify {record.run_id} --retrain"
        )
    _refuse_other_weights(record, plugins, path)
    with TemporaryDirectory(prefix="rnnbench-verify-") as temporary:
        folder = Path(temporary)
        configure(trainer)
        telemetry = Telemetry(record.spec, trainer, folder, None)
        run = Training(record.spec, trainer, folder, telemetry, plugins=plugins)
        try:
            run.model.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise VerificationError(
                f"the weights of {record.run_id} are not those of its model: {error}"
            ) from error
        if on_gpu(trainer):
            run.to(torch.device("cuda", torch.cuda.current_device()))
        measured: dict[str, Figures] = {}
        splits = ("valid", "test") if record.spec.test else ("valid",)
        for split in splits:
            measured[split] = dict(run.validate(split, full=True).metrics)
            for trick, metrics in evaluate_apart(run, split):
                measured[f"{split} with {trick}"] = metrics
        telemetry.close(record)
    return measured


def _refuse_other_weights(record: Record, plugins: Plugins, path: Path) -> None:
    """Refuse weights that are too few for the model.

    This comes before memory is taken: a stranger's record may name a model of any size.
    """
    try:
        shapes = check_weights(path, record.run_id)
        wanted = check_resolved(ResolvedRun(record.spec, plugins)).parameters
    except (BundleError, Refusal) as error:
        raise VerificationError(str(error)) from error
    numbers = sum(math.prod(shape) for shape in shapes.values())
    if numbers < wanted:
        raise VerificationError(
            f"the weights of {record.run_id} are {numbers:,} numbers, and its model has {wanted:,}"
        )


def _train_again(record: Record, plugins: Plugins, trainer: Trainer) -> dict[str, Figures]:
    """Return the figures of each split after the run was executed once more."""
    from rnnbench.training.execute import execute

    with TemporaryDirectory(prefix="rnnbench-verify-") as temporary:
        store = Store(Path(temporary), index=False)
        again = execute(record.spec, store=store, trainer=trainer, plugins=plugins)
    if again.status is not Status.DONE:
        raise VerificationError(f"training it again ended as {again.status}: {again.reason}")
    return again.metrics
