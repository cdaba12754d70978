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
EXACT = 1e-3  # share of a variance: what one column leaves of y where it is y in disguise


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
    if not train.x.is_floating_point():
        for words, at in (("the first token", 0), ("the last token", -1)):
            cells.append((words, _at(train, at), _at(held, at)))
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


def _at(sample: Sample, at: int) -> Tensor:
    index = sample.length - 1 if at < 0 else torch.zeros_like(sample.length)
    return sample.x.gather(1, index[:, None])[:, 0]


def _value_given_away(task: Task, train: Sample) -> str | None:
    """Return which single cell of the input is the target in disguise, or None."""
    y = train.y.double()
    y = y[..., None] if y.dim() < 2 + (task.kind is not Kind.SEQ_TO_VEC) else y
    x = train.x.double()
    x_NTD = x[:, None] if x.dim() == 2 else x
    steps, columns = x_NTD.shape[1:]
    if columns < 2:
        return None  # there is but the series itself, which may tell its own future
    for words, y_N, reads in _steps_of(y, aligned=task.kind is Kind.ALIGNED, length=steps):
        left_TD = _unexplained(x_NTD[:, reads.start : reads.stop], y_N)
        best, at = left_TD.flatten().min(0)
        t, c = divmod(int(at), columns)
        rival = float(left_TD[:, [k for k in range(columns) if k != c]].min())
        if best < EXACT and rival > 20 * best + 1e-4:
            return (
                f"column {c + 1} of step {reads.start + t + 1} of x explains {1 - best:.4%} of "
                f"{words}, and no other column more than {1 - rival:.2%}"
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
    """Return the share (T, D) of the variance of y that a line in each cell of x leaves."""
    seen = y_N.isfinite()
    y, x = y_N[seen], x_NTD[seen]
    x = torch.where(x.isfinite(), x, x.nanmean(0, keepdim=True)).nan_to_num()
    y, x = y - y.mean(), x - x.mean(0, keepdim=True)
    both = (x * y[:, None, None]).mean(0)
    spreads = x.square().mean(0) * y.square().mean()
    known = (spreads > 1e-18) & (len(y) >= 30)
    return torch.where(known, 1 - both.square() / spreads.clamp_min(1e-30), 1.0)
