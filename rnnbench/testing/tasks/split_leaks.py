"""The laws of tasks about what leaks from held-out data into training.

What they see are figures, and some right tasks look alike; so they suspect, and take a reason.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Kind, Task
from rnnbench.testing.law import DoesNotApply, Laws, Suspect
from rnnbench.testing.tasks.read_splits import SPLITS, batches
from rnnbench.testing.tasks.samples import Sample, joined, read

LAWS = Laws()
HELD_OUT = "valid", "test"
RUN = 6  # steps of a target that are one and the same where real values are equal in all of them
RARE = 0.001  # share of held-out tokens that training may lack, as pieces of rare words
SHARE = 0.02  # of held-out rows that may stand near one of training by chance
NEAR = 0.05  # of the distance between two rows of training


def items_of(task: Task) -> dict[str, Sample]:
    """Return rows of every split.

    Raises:
        DoesNotApply: its splits are streams, or one by intention.
    """
    if task.memorised:
        raise DoesNotApply("it asks for memorisation: the splits are one, and it says so")
    if any(task.data(name, 0).carried for name in SPLITS):
        raise DoesNotApply("its splits are streams, which splits_are_disjoint compares")
    return {name: read(task, name) for name in SPLITS}


@LAWS.law(
    "Held-out items are new: no stretch of a target, and no near copy, stands in training.",
    "Split first, by time or by source, and then cut windows and augment; or say why it is right: "
    "declares = {'splits_are_apart': 'why'}.",
    declarable=True,
)
def splits_are_apart(task: Task) -> None:
    parts = items_of(task)
    train = parts["train"]
    for name in HELD_OUT:
        held = parts[name]
        if train.y.is_floating_point() and (share := _share_of_runs(task, held, train)):
            if share > SHARE / 2:
                raise Suspect(
                    f"{share:.1%} of the targets of {name} hold {RUN} steps in a row that are "
                    "targets of training, to the last digit"
                )
        elif train.x.is_floating_point():
            share = _share_near(held.x, train.x)
            # Windows of a smooth series are near each other, if they stand far apart in time.
            if share > (4 if train.y.is_floating_point() else 1) * SHARE:
                raise Suspect(
                    f"{share:.1%} of the rows of {name} are nearer to a row of training than "
                    f"{NEAR:.0%} of the distance between two rows of it"
                )
        else:
            share = _share_of_near_texts(held, train)
            if share > SHARE:
                raise Suspect(
                    f"{share:.1%} of the rows of {name} are a row of training but for a token in "
                    "ten"
                )


def _runs(task: Task, sample: Sample) -> np.ndarray:
    """Return hashes of runs of steps that end within a target: (N, windows), 0 where they say less.

    The columns of the input that hold the target's past stand before it.
    """
    y = sample.y[:, None] if task.kind is Kind.SEQ_TO_VEC else sample.y
    y = y if y.dim() == 3 else y[..., None]
    past = y[:, :0]
    if sample.x.is_floating_point() and sample.x.dim() == 3:
        columns = list(task.past) or list(range(min(y.shape[-1], sample.x.shape[-1])))
        past = sample.x[..., columns] if len(columns) == y.shape[-1] else past
    whole = torch.cat([past[:, -(RUN - 1) :], y], 1) if past.shape[1] >= RUN - 1 else y
    if whole.shape[1] < RUN:
        return np.zeros((len(y), 0), np.uint64)
    bits = np.ascontiguousarray(whole.float().numpy()).view(np.uint32).astype(np.uint64)
    powers = np.cumprod(np.full(RUN * bits.shape[-1], 0x100000001B3, np.uint64))
    windows = np.lib.stride_tricks.sliding_window_view(bits, RUN, axis=1)
    flat = windows.reshape(*windows.shape[:2], -1)
    hashes = (flat * powers).sum(-1, dtype=np.uint64)
    some = np.sort(flat, -1)
    varied = (some[..., 1:] != some[..., :-1]).sum(-1) >= RUN - 1  # a flat line is no evidence
    return np.where(varied & np.isfinite(whole.numpy()[:, RUN - 1 :].sum(-1)), hashes, 0)


def _share_of_runs(task: Task, held: Sample, train: Sample) -> float:
    known = _runs(task, train)
    runs = _runs(task, held)
    if not runs.size or not known.size:
        return 0.0
    found = np.isin(runs, known[known != 0]) & (runs != 0)
    return float(found.any(1).mean())


def _share_near(held: Tensor, train: Tensor) -> float:
    """Return the share of held-out rows that are all but equal to one of training."""
    longest = max(held.shape[1], train.shape[1])
    columns = train.shape[2] if train.dim() == 3 else 1
    a, b = (joined([t, t.new_zeros(0, longest, *t.shape[2:])]).double()
            .reshape(len(t), longest, columns) for t in (held[:1000], train))  # fmt: skip
    if b[0].numel() < 8:  # a plane has few places
        return 0.0
    centre, spread = b.mean((0, 1)), b.std((0, 1)).clamp_min(1e-9)
    a, b = (((t - centre) / spread).nan_to_num() for t in (a, b))
    halves = b.flatten(1).split(len(b) // 2)
    typical = torch.cdist(halves[0][:500], halves[1][:500]).median()
    nearest = torch.full((len(a),), torch.inf, dtype=torch.float64)
    for copy in _moved_copies(b):
        found = torch.cdist(a.flatten(1), copy.flatten(1)).min(1).values
        nearest = torch.minimum(nearest, found)
    return float((nearest < NEAR * typical).float().mean())


def _moved_copies(rows_NTD: Tensor) -> list[Tensor]:
    """Return rows as they are, from the end, and moved by a step: what augmentation does."""
    return [rows_NTD, rows_NTD.flip(1), rows_NTD.roll(1, 1), rows_NTD.roll(-1, 1)]


def _share_of_near_texts(held: Sample, train: Sample) -> float:
    """Return the share of held-out rows that share nine tokens of ten with one of training."""
    longest = max(held.x.shape[1], train.x.shape[1])
    a, b = (joined([t, t.new_zeros(0, longest)]) for t in (held.x[:500], train.x))
    near = 0
    for row, length in zip(a, held.length[:500].tolist(), strict=True):
        if length >= 20:  # a token in ten is two
            alike = [(b[:, :length] == row[:length]).float().mean(1) >= 0.9]
            alike += [(b[:, : length - 1] == row[1:length]).float().mean(1) >= 0.9]
            alike += [(b[:, 1:length] == row[: length - 1]).float().mean(1) >= 0.9]
            near += bool((torch.stack(alike) & (train.length == length)).any())
    return near / len(a)


@LAWS.law(
    "Values are scaled by what training shows: not by means or ranges of held-out data.",
    "Take mean and spread of the training split alone; or say why it is right: "
    "declares = {'scaling_is_of_training': 'why'}.",
    declarable=True,
)
def scaling_is_of_training(task: Task) -> None:
    parts = {name: read(task, name) for name in SPLITS}
    for which in ("x", "y"):
        values = {name: getattr(part, which) for name, part in parts.items()}
        if not values["train"].is_floating_point():
            continue
        columns = {name: v.flatten(0, -2).double() if v.dim() > 1 else v[:, None].double()
                   for name, v in values.items()}  # fmt: skip
        whole, train = torch.cat([*columns.values()]), columns["train"]
        for c in range(whole.shape[1]):
            fault = _scaled_by_all(whole[:, c], train[:, c])
            if fault:
                raise Suspect(f"column {c + 1} of {which}: {fault}")


def _scaled_by_all(whole: Tensor, train: Tensor) -> str | None:
    """Return how a column shows that it was scaled with held-out values, or None."""
    whole, train = whole[whole.isfinite()], train[train.isfinite()]
    if len(train) < 100 or len(whole.unique()) < 20:
        return None
    mean, spread = float(whole.mean()), float(whole.std())
    if abs(mean) < 0.03 and abs(spread - 1) < 0.03:  # windows count the middle more often
        own, own_spread = float(train.mean()), float(train.std())
        if abs(own) > 0.15 or abs(own_spread - 1) > 0.15:
            return (
                f"all splits together have mean {mean:.3f} and deviation {spread:.3f}, and "
                f"training alone {own:.3f} and {own_spread:.3f}"
            )
    middle, middle_half = _quartiles(whole)
    if abs(middle) < 0.03 and min(abs(middle_half - 1), abs(middle_half - 1.349)) < 0.03:
        own, own_half = _quartiles(train)
        if abs(own) > 0.15 or abs(own_half / middle_half - 1) > 0.15:
            return (
                f"all splits together have median {middle:.3f} and an interquartile range of "
                f"{middle_half:.3f}, and training alone {own:.3f} and {own_half:.3f}"
            )
    low, high = float(whole.min()), float(whole.max())
    bounds = next((b for b in ((0, 1), (-1, 1)) if abs(low - b[0]) < 1e-6 > abs(high - b[1])), None)
    if bounds and (float(train.max()) < high - 0.02 or float(train.min()) > low + 0.02):
        return (
            f"all splits together reach from {low:g} to {high:g}, and training alone from "
            f"{float(train.min()):.3f} to {float(train.max()):.3f}"
        )
    return None


def _quartiles(values: Tensor) -> tuple[float, float]:
    """Return the median and the interquartile range."""
    low, middle, high = np.quantile(values.numpy(), (0.25, 0.5, 0.75))
    return float(middle), float(high - low)


@LAWS.law(
    "The vocabulary is that of training: every token of held-out data is seen there, or unknown.",
    "Make the vocabulary from training, with a token for the unknown; or say why it is of all "
    "splits: declares = {'vocabulary_is_of_training': 'why'}.",
    declarable=True,
)
def vocabulary_is_of_training(task: Task) -> None:
    if not task.source.classes and not task.target.classes:
        raise DoesNotApply("it reads and writes values, no tokens")
    for which, port in (("x", task.source), ("y", task.target)):
        names = which == "y" and (task.kind is Kind.SEQ_TO_VEC or port.layout == "positions")
        if not port.classes or names:
            continue
        seen = {name: _tokens(task, name, which) for name in SPLITS}
        known = set(seen["train"])
        if task.source.classes == task.target.classes:  # perhaps one vocabulary for both
            known |= {*_tokens(task, "train", "x"), *_tokens(task, "train", "y")}
        for name in HELD_OUT:
            new = sorted(set(seen[name]) - known)
            times = sum(seen[name][t] for t in new)
            # One may be the token of all that is unknown.
            if len(new) > 1 and times > RARE * sum(seen[name].values()):
                raise Suspect(
                    f"{len(new)} tokens of {which} stand in {name} ({times} times) and never in "
                    f"training, such as {new[0]}"
                )


def _tokens(task: Task, name: str, which: str) -> dict[int, int]:
    """Count the tokens of a split, without its padding."""
    counts: dict[int, int] = {}
    for batch in batches(task.data(name, 0), task.eval_batch, most=2000):
        tokens, lengths = (batch.x, batch.x_len) if which == "x" else (batch.y, batch.y_len)
        if lengths is not None:
            tokens = tokens[torch.arange(tokens.shape[1]) < lengths[:, None]]
        for token, times in zip(*(t.tolist() for t in tokens.unique(return_counts=True)),
                                strict=True):  # fmt: skip
            counts[token] = counts.get(token, 0) + times
    return counts
