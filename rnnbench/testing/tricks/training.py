"""The laws of tricks about training: sizes of steps, pairs, rows, and validations in between."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from rnnbench.contract import Batch, Moment, Trick
from rnnbench.spec.run_spec import Optimizer
from rnnbench.testing.law import Broken, Laws, Suspect, differ
from rnnbench.testing.tricks.rehearsals import Rehearsals
from rnnbench.testing.tricks.short_runs import EARLY, LATE, RehearsalPlace, Run, trained_late
from rnnbench.training.determinism import seed_torch

LAWS = Laws()
SGD = Optimizer(name="sgd", lr=1e-2)  # unlike Adam's, its steps are as large as the gradients
LARGE = 20.0  # times: what a step may grow or shrink by without being suspect


@LAWS.law(
    "Steps keep their size: under plain SGD too, which hides no factor in the gradients.",
    "Undo a scaling of the loss before gradients are read, clipped or added; or say why steps are "
    "so: declares = {'steps_keep_their_size': 'why'}.",
    declarable=True,
)
def steps_keep_their_size(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick, 1):
        sizes, plain = _step_sizes(place, (trick,)), _step_sizes(place, ())
        if not all(plain):
            continue
        ratios = [size / bare for size, bare in zip(sizes, plain, strict=True)]
        if max(ratios) < 1 / LARGE or min(ratios) > LARGE:
            raise Suspect(
                f"{place.words}: steps of SGD are {max(ratios):.3g} times those without it, at "
                "most" if max(ratios) < 1 else
                f"{place.words}: steps of SGD are {min(ratios):.3g} times those without it, at "
                "least"
            )  # fmt: skip


@functools.lru_cache(maxsize=64)
def _step_sizes(place: RehearsalPlace, tricks: tuple[Trick, ...]) -> list[float]:
    """Return the length of each step that SGD makes, early and late in training."""
    run, sizes = Run(place, tricks, optimizer=SGD), []
    for i, at in enumerate((*EARLY[:2], (1600, 0.8))):
        before = {n: p.detach().clone() for n, p in run.model.named_parameters()}
        run.step(i, Moment(*at))
        moved = [float((p.detach() - before[n]).square().sum())
                 for n, p in run.model.named_parameters()]  # fmt: skip
        sizes.append(sum(moved) ** 0.5)
    return sizes


@LAWS.law(
    "Inputs keep their targets: where rows change places, x and y change together.",
    "Draw one order, and index every part of the batch with it.",
)
def inputs_keep_their_targets(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick):
        run = Run(place, (trick,))
        if not run.tricks.at_site["batch"]:
            return
        for i, at in enumerate((k * 83, k / 24) for k in range(24)):
            before = run.batch(i)
            after = run.tricks.fold("batch", before, Moment(*at))
            for row, place_before in _moved(before, after):
                raise Broken(
                    f"{place.words}: row {row + 1} has the input of row {place_before + 1} and "
                    "the target or the length of another"
                )


def _moved(before: Batch, after: Batch) -> Iterator[tuple[int, int]]:
    """Yield the rows whose input stood in another row, or in this one, beside another target.

    Nothing where inputs or targets are not those of the batch, as of what is mixed or changed.
    """
    if before.x.shape != after.x.shape or before.y.shape != after.y.shape:
        return
    rows = range(len(before.x))
    for part in ("x", "y", "x_len", "y_len"):
        old, new = (_rows(getattr(batch, part)) for batch in (before, after))
        if not all(any(_equal(a, b) for b in old) for a in new):
            return
    beside = [[_rows(getattr(batch, part)) for part in ("y", "x_len", "y_len")]
              for batch in (before, after)]  # fmt: skip
    for i in rows:
        stood = [j for j in rows if _equal(after.x[i], before.x[j])]
        if not any(all(not old or _equal(new[i], old[j])
                       for old, new in zip(*beside, strict=True)) for j in stood):  # fmt: skip
            yield i, stood[0]


def _rows(part: Tensor | None) -> list[Tensor]:
    return [] if part is None else list(part)


def _equal(a: Tensor, b: Tensor) -> bool:
    return differ(a, b) is None


@LAWS.law(
    "Rows keep apart in training too: one row's input changes no other row's output.",
    "Look for statistics of the batch, a shuffle or a reshape over dimension 0; or say why rows "
    "meet: declares = {'rows_keep_apart': 'why'}.",
    declarable=True,
)
def rows_keep_apart(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick, 3):
        run = Run(place, (trick,), dtype=torch.float64)
        batch = run.batch(0)
        other = run.batch(1)
        if batch.x.shape != other.x.shape or len(batch.x) < 2:
            continue
        x = batch.x.clone()
        x[0] = other.x[0]
        run.model.train()
        outs = []
        for given in (batch, batch._replace(x=x)):
            seed_torch(5)
            with torch.no_grad():
                changed = run.tricks.fold("batch", given, Moment(*LATE[0]))
                outs.append(copy.deepcopy(run.model)(changed).out[1:])
        gap = differ(outs[0], outs[1], 1e-10)
        if gap:
            raise Suspect(
                f"{place.words}: another input in the first row changes what training reads off "
                f"the others, {gap}"
            )


@LAWS.law(
    "Validations change nothing: training is the same, bit for bit, with or without them.",
    "Put back what an evaluation swaps in; draw and count nothing in evaluation mode.",
)
def validations_change_nothing(trick: Trick, rehearsals: Rehearsals) -> None:
    for place in rehearsals.some(trick, 1):
        _, without = trained_late(place, trick)
        run = Run(place, (trick,))
        for i, at in enumerate(LATE):
            run.step(i, Moment(*at))
            run.evaluated()
            run.kept()
        gap = differ(run.outcome(), without)
        if gap:
            raise Broken(f"{place.words}: validated after each step, training differs, {gap}")
