"""The law of tasks that no cell of the input is the answer.

What it sees are figures, and some right tasks look alike; so it suspects, and takes a reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rnnbench.contract import Kind, Task
from rnnbench.testing.law import DoesNotApply, Laws, Suspect
from rnnbench.testing.tasks.samples import Sample, read

LAWS = Laws()
EXACT = 5e-3  # share of a variance: what one column leaves of y where it is y in disguise


@LAWS.law(
    "No column of the input is the answer: neither a value, a token nor the length gives y away.",
    "Take the column out, or shift it to what is known at that time; or say why it is right: "
    "declares = {'no_column_is_the_answer': 'why'}.",
    declarable=True,
)
def no_column_is_the_answer(task: Task) -> None:
    train, held = read(task, "train"), read(task, "valid")
    if task.kind is Kind.SEQ_TO_VEC and task.target.classes:
        told = _label_given_away(task, train, held)
        if told:
            raise Suspect(told)
    elif train.y.is_floating_point() and train.x.is_floating_point():
        told = _value_given_away(task, train)
        if told:
            raise Suspect(told)
    else:
        raise DoesNotApply("its targets are tokens of a sequence, which inputs may repeat")


def _label_given_away(task: Task, train: Sample, held: Sample) -> str | None:
    """Return which single cell of the input names a label of held-out rows, or None."""
    guess = train.y.flatten().mode().values
    floor = float((held.y.flatten() == guess).float().mean())
    if floor > 0.95:
        return None
    cells = [("the length", train.length, held.length)]
    for words, at in (("first", 0), ("last", -1)):
        one, other = _at(train, at), _at(held, at)
        if one.is_floating_point():  # the columns of this step, each by its distinct values
            columns = zip(one.flatten(1).T, other.flatten(1).T, strict=True)
            cells += [(f"column {c + 1} of the {words} step", *_as_codes(a, b))
                      for c, (a, b) in enumerate(columns)]  # fmt: skip
        else:
            cells.append((f"the {words} token", one, other))
    for words, one, other in cells:
        if len(one.unique()) > len(one) // 4:
            continue
        answers = {
            int(v): int(train.y.flatten()[one == v].mode().values) for v in one.unique().tolist()
        }
        hit = [answers.get(int(v), -1) == int(t)
               for v, t in zip(other.tolist(), held.y.flatten().tolist(), strict=True)]  # fmt: skip
        if sum(hit) / len(hit) > 0.99:
            return (
                f"{words} alone names {sum(hit) / len(hit):.1%} of the labels of valid, of which "
                f"the commonest has {floor:.1%}"
            )
    return None


def _as_codes(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers that stand for the values of two tensors, the same for the same."""
    _, codes = torch.cat([one, other]).unique(return_inverse=True)
    return codes[: len(one)], codes[len(one) :]


def _at(sample: Sample, at: int) -> Tensor:
    """Return the first or the last step of each row."""
    index = sample.length - 1 if at < 0 else torch.zeros_like(sample.length)
    return sample.x[torch.arange(len(sample.x)), index]


def _value_given_away(task: Task, train: Sample) -> str | None:
    """Return which single cell of the input is the target in disguise, or None."""
    y = train.y.double()
    y = y[..., None] if y.dim() < 2 + (task.kind is not Kind.SEQ_TO_VEC) else y
    x = train.x.double()
    x_NTD = x[:, None] if x.dim() == 2 else x
    steps, columns = x_NTD.shape[1:]
    own = [c for c in task.past if c < columns]  # a series may tell its own future
    foreign = [c for c in range(columns) if c not in own]
    if not foreign:
        return None
    for words, y_N, reads in _steps_of(y, aligned=task.kind is Kind.ALIGNED, length=steps):
        left_TD = _unexplained(x_NTD[:, reads.start : reads.stop], y_N)
        best, at = left_TD[:, foreign].flatten().min(0)
        t, c = divmod(int(at), len(foreign))
        rival = float(left_TD[:, own].min()) if own else 1.0
        if best < EXACT and rival > 10 * best + 1e-4:
            by_past = f", and its own past no more than {1 - rival:.2%}" if own else ""
            return (
                f"column {foreign[c] + 1} of step {reads.start + t + 1} of x explains "
                f"{1 - best:.4%} of {words}{by_past}"
            )
    return None


def _steps_of(y: Tensor, *, aligned: bool, length: int) -> Iterator[tuple[str, Tensor, range]]:
    """Yield some targets (N,) in words, and the steps of the input that may give them away."""
    if y.dim() == 2:
        for v in range(y.shape[1]):
            yield f"target {v + 1}", y[:, v], range(length)
        return
    for h in sorted({0, y.shape[1] // 2, y.shape[1] - 1}):
        for v in range(y.shape[2]):
            reads = range(max(0, h - 2), h + 1) if aligned else range(length)
            yield f"step {h + 1} of target {v + 1}", y[:, h, v], reads


def _unexplained(x_NTD: Tensor, y_N: Tensor) -> Tensor:
    """Return the share (T, D) of the variance of y that each cell of x leaves.

    By a line in the values, or in their ranks, whichever leaves less.
    """
    seen = y_N.isfinite()
    y_N, x_NTD = y_N[seen], x_NTD[seen]
    x_NTD = torch.where(x_NTD.isfinite(), x_NTD, x_NTD.nanmean(0, keepdim=True)).nan_to_num()
    left = _left_by_lines(x_NTD, y_N)
    varied_TD = x_NTD.std(0) > 1e-9
    by_ranks = _left_by_lines(_ranks(x_NTD), _ranks(y_N))
    return torch.minimum(left, torch.where(varied_TD, by_ranks, 1.0))


def _ranks(values: Tensor) -> Tensor:
    return values.argsort(dim=0, stable=True).argsort(dim=0, stable=True).double()


def _left_by_lines(x_NTD: Tensor, y_N: Tensor) -> Tensor:
    y, x = y_N - y_N.mean(), x_NTD - x_NTD.mean(0, keepdim=True)
    both = (x * y[:, None, None]).mean(0)
    spreads = x.square().mean(0) * y.square().mean()
    known = (spreads > 1e-18) & (len(y) >= 30)
    return torch.where(known, 1 - both.square() / spreads.clamp_min(1e-30), 1.0)
