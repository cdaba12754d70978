"""The laws of tasks: how success is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Moment, Prediction, Refusal, Task
from rnnbench.errors import SpecError
from rnnbench.nn import Model
from rnnbench.spec.compose import UNITS
from rnnbench.spec.fill import fill
from rnnbench.spec.run_spec import Budget, Optimizer
from rnnbench.testing.fixtures.backbones import doubled, rows_of
from rnnbench.testing.fixtures.small_architectures import ScannedLayers
from rnnbench.testing.law import Broken, DoesNotApply, Laws
from rnnbench.testing.tasks.read_splits import SPLITS, batches
from rnnbench.training.determinism import seed_torch
from rnnbench.training.dry_run import check, sample
from rnnbench.training.evaluate import evaluate
from rnnbench.training.train_step import TrickFold, assemble, training_step

LAWS = Laws()
SEVERAL = 64  # rows of a batch whose figures are compared


def small_model(task: Task) -> Model:
    """Build a small model of the task in float64 and evaluation mode, from a fixed seed."""
    seed_torch(0)
    return assemble(ScannedLayers(hidden=4), task, TrickFold()).double().eval()


@torch.no_grad()
def prediction(model: Model, batch: Batch, decodes: bool) -> Prediction:
    """Return what a meter is told about a batch."""
    out = model(batch).out
    predicted = Prediction(*model.nll(out, batch), out)
    if not decodes:
        return predicted
    decoded = model.decoded(batch)
    return predicted._replace(decoded=decoded.y, decoded_out=decoded.out)


def measured(task: Task, name: str, pairs: Sequence[tuple[Batch, Prediction]]) -> dict[str, float]:
    """Return the figures of a fresh meter after these batches."""
    meter = task.meter(name)
    for batch, predicted in pairs:
        meter.update(batch, predicted)
    return meter.compute()


def pieces_of(
    batch: Batch, predicted: Prediction, cuts: Sequence[slice]
) -> Iterator[tuple[Batch, Prediction]]:
    """Yield the rows of each cut, of the batch and of what was predicted."""
    for cut in cuts:
        yield rows_of(batch, cut), Prediction._make(v if v is None else v[cut] for v in predicted)


def close(a: float, b: float, relative: float = 1e-6) -> bool:
    """Tell whether two figures agree up to rounding."""
    return math.isclose(a, b, rel_tol=relative, abs_tol=1e-9)


@LAWS.law(
    "A small model trains a step on it, and is evaluated to the end.",
    "Run `rnnbench check TASK lstm`; look at the batch, the meter and `show`.",
)
def trains_and_evaluates(task: Task) -> None:
    architecture = ScannedLayers(hidden=4)
    try:
        check(architecture, task)
    except Refusal as why:
        raise Broken(str(why)) from why
    model = assemble(architecture, task, TrickFold())
    loss = training_step(model, TrickFold(), sample(task, 4), None, Moment(0, 0.0)).loss
    if not loss.isfinite():
        raise Broken(f"the loss of a first training step is {float(loss)}")
    for name in ("valid", "test"):
        data = _Few(task.data(name, 0))
        meter = task.meter(name)
        figures, shown = evaluate(model, task, data, meter, torch.device("cpu"), examples=2)
        try:
            meter.items(task.metrics[0].name)
        except Exception as error:  # every finished run asks for them
            said = f"{type(error).__name__}: {error}"
            raise Broken(f"{name}: items({task.metrics[0].name!r}) gave {said}") from error
        bad = [k for k, v in figures.items() if not math.isfinite(v)]
        if bad:
            raise Broken(f"{name}: {bad[0]} is {figures[bad[0]]} for an untrained model")
        for example in shown:
            if not isinstance(example, dict) or not all(
                isinstance(part, str) for pair in example.items() for part in pair
            ):
                raise Broken(f"show gave {example!r}; expected texts by name")
    if task.selection not in {"loss", *(m.name for m in task.metrics)}:
        raise Broken(f"selection is {task.selection!r}, which is neither loss nor a metric of it")


@LAWS.law(
    "Its recommendations are settings that exist, within their bounds, with one budget.",
    "Write `recommended` by dotted names of the optimizer and the budget, such as optimizer.lr.",
)
def recommendations_are_settings(task: Task) -> None:
    sections: dict[str, dict[str, Any]] = {"optimizer": {}, "budget": {}}
    for dotted, value in task.recommended.items():
        section, _, field = dotted.partition(".")
        if section not in sections:
            raise Broken(f"{dotted} is neither of the optimizer nor of the budget")
        sections[section][field] = value
    try:
        fill(Optimizer, sections["optimizer"], "optimizer", {})
        budget = fill(Budget, sections["budget"], "budget", {})
    except SpecError as error:
        raise Broken(str(error)) from error
    units = [u for u in UNITS if getattr(budget, u) is not None]
    if sections["budget"] and len(units) != 1:
        raise Broken(f"the recommended budget is in {' and '.join(units) or 'no unit'}")


class _Few(Data):
    """The first two batches of a split."""

    def __init__(self, data: Data) -> None:
        self.data, self.carried = data, data.carried

    def __len__(self) -> int:
        return len(self.data)

    def order(self, size: int, rng: torch.Generator | None) -> list[Any]:
        return list(self.data.order(size, rng))[:2]

    def batch(self, key: Any, rng: torch.Generator | None) -> Batch:
        return self.data.batch(key, rng)


@LAWS.law(
    "Padding changes neither the loss nor a figure, whatever stands in it.",
    "Give x_len and y_len for every padded row; let the meter count by prediction.mask.",
)
def padding_is_not_counted(task: Task) -> None:
    model, has_padding = small_model(task), False
    for name in SPLITS:
        data = task.data(name, 0)
        size = min(SEVERAL, task.eval_batch)
        decodes = task.meter(name).decodes
        padded = (b for b in batches(data, size, most=20) if _has_padding(b))
        for _, batch in zip(range(2), map(doubled, padded), strict=False):
            has_padding = True
            changed = batch._replace(
                x=_overwritten(batch.x, batch.x_len, task.source.classes),
                y=_overwritten(batch.y, batch.y_len, task.target.classes),
            )
            losses, figures = [], []
            for version in (batch, changed):
                said = prediction(model, version, decodes)
                losses.append(float(model.loss(said.out, version)))
                figures.append(measured(task, name, [(version, said)]))
            if not close(losses[0], losses[1], 1e-9):
                raise Broken(f"{name}: other padding changes the loss from {losses[0]:.6g} to "
                             f"{losses[1]:.6g}")  # fmt: skip
            for metric, value in figures[0].items():
                if not close(value, figures[1][metric], 1e-9):
                    raise Broken(f"{name}: other padding changes {metric} from {value:.6g} to "
                                 f"{figures[1][metric]:.6g}")  # fmt: skip
    if not has_padding:
        raise DoesNotApply("every row fills its batch")


def _has_padding(batch: Batch) -> bool:
    return any(
        length is not None and int(length.min()) < values.shape[1]
        for values, length in ((batch.x, batch.x_len), (batch.y, batch.y_len))
    )


def _overwritten(values: Tensor, len_B: Tensor | None, classes: int) -> Tensor:
    if len_B is None:
        return values
    beyond = torch.arange(values.shape[1]) >= len_B[:, None]
    beyond = beyond.reshape(*beyond.shape, *[1] * (values.dim() - 2))
    return torch.where(beyond, (values + 1) % classes if classes else values + 7.0, values)


@LAWS.law(
    "Figures do not depend on how the rows were batched, nor on their order.",
    "Sum over the whole split and divide once; never average the averages of batches.",
)
def figures_ignore_the_batching(task: Task) -> None:
    model = small_model(task)
    for name in ("valid", "test"):
        size = min(SEVERAL, task.eval_batch)
        decodes = task.meter(name).decodes
        chosen = [doubled(b) for b in batches(task.data(name, 0), size, most=3)]
        whole = [(batch, prediction(model, batch, decodes)) for batch in chosen]
        parts = []
        for i, (batch, said) in enumerate(whole):
            cuts = [slice(0, 1), slice(1, 3 + i), slice(3 + i, None)]
            parts += list(pieces_of(batch, said, [c for c in cuts if c.start < len(batch.x)]))
        together, apart = measured(task, name, whole), measured(task, name, parts[::-1])
        for metric, value in together.items():
            if not close(value, apart[metric]):
                raise Broken(
                    f"{name}: {metric} of {sum(len(b.x) for b in chosen)} rows is {value:.6g} in "
                    f"{len(whole)} batches and {apart[metric]:.6g} in {len(parts)}"
                )


@LAWS.law(
    "A meter reports the declared metrics, all finite; starts afresh; and prefers what is right.",
    "Compare `metrics` with compute(); check higher_is_better; raise where nothing is seen.",
)
def meter_reports_what_is_declared(task: Task) -> None:
    declared = [m.name for m in task.metrics]
    if len(set(declared)) != len(declared) or not declared:
        raise Broken(f"metrics are declared as {declared}")
    for name in ("valid", "test"):
        chosen = list(batches(task.data(name, 0), min(SEVERAL, task.eval_batch), most=3))
        right, wrong = (
            measured(task, name, [(b, _answers(task, b, truthful)) for b in chosen])
            for truthful in (True, False)
        )
        if set(wrong) != set(declared):
            raise Broken(f"{name}: it reports {sorted(wrong)}, declared are {sorted(declared)}")
        for metric in task.metrics:
            a, b = float(right[metric.name]), float(wrong[metric.name])
            if not (math.isfinite(a) and math.isfinite(b)):
                raise Broken(f"{name}: {metric.name} is {a} for right and {b} for wrong answers")
            if metric.higher_is_better is None:
                continue
            if (a < b if metric.higher_is_better else a > b) and not close(a, b):
                better = "higher" if metric.higher_is_better else "lower"
                raise Broken(f"{name}: {metric.name} is {a:.4g} for right and {b:.4g} for wrong "
                             f"answers, and {better} is declared better")  # fmt: skip
            if metric is task.metrics[0] and close(a, b) and task.target.classes != 1:
                raise Broken(f"{name}: {metric.name} is {a:.4g} for right and wrong answers alike")
        nothing = [[]] if task.target.classes else [[], [_missing(chosen[0])]]
        for seen in nothing:
            try:
                figures = measured(task, name, [(b, _answers(task, b, True)) for b in seen])
            except Exception:  # whatever it raises: a figure of nothing is not reported
                continue
            words = "where every target is missing" if seen else "after another one was used"
            raise Broken(f"{name}: a fresh meter reports {figures} {words}; it must raise")


def _missing(batch: Batch) -> Batch:
    return batch._replace(y=torch.full_like(batch.y, torch.nan))


def _answers(task: Task, batch: Batch, truthful: bool) -> Prediction:
    """Make a prediction that is right everywhere, or wrong everywhere."""
    y = batch.y.nan_to_num()
    if not truthful:
        # Values that are off, and in the opposite order: metrics of ranks look at nothing else.
        y = (y + 1) % task.target.classes if task.target.classes else 3.0 - y
    out = y
    if task.target.classes:
        out = 20.0 * torch.nn.functional.one_hot(y, task.target.classes).double()
    distribution = task.target.distribution
    if distribution is not None:
        out = distribution.around(y)
    predicted = Prediction(*Model(task.target).nll(out, batch), out, y)
    return predicted if distribution is None else predicted._replace(decoded_out=out)
