"""The laws of tasks: what their data are."""

from __future__ import annotations

import numpy as np
import torch

from rnnbench.contract import Task
from rnnbench.testing.fixtures.other_process import IN_PLACE, ask, digest, fetched, importable
from rnnbench.testing.law import Broken, DoesNotApply, Laws, Suspect
from rnnbench.testing.tasks.ports import fault
from rnnbench.testing.tasks.read_splits import (
    SPLITS,
    WINDOW,
    batches,
    counted,
    rows,
    same,
    share_found,
    split,
    stream,
    windows,
)

LAWS = Laws()
OVERLAP = 0.01  # the share of a held-out split that may stand in training by chance
MOST = 60_000  # rows that are read of a split


@LAWS.law(
    "Batches are what the ports say: types, shapes by kind, ranges, lengths, start and stop.",
    "Compare `source` and `target` with what batch() returns, padding and lengths included.",
)
def ports_match(task: Task) -> None:
    for name in SPLITS:
        data = task.data(name, 0)
        for words, size, seed in (("at evaluation", task.eval_batch, None), ("in training", 8, 0)):
            repeats = True
            for batch in batches(data, size, most=40, seed=seed):
                wrong = fault(task, batch, size)
                if wrong:
                    raise Broken(f"{name}, {words}: {wrong}")
                repeats = (
                    repeats and batch.x.shape == batch.y.shape and torch.equal(batch.x, batch.y)
                )
            if repeats and task.kind.name == "ALIGNED":
                raise Broken(f"{name}, {words}: the target of every step is its own input")


@LAWS.law(
    "The same seed gives the same batches, in another process too.",
    "Draw from the given rng only; iterate over nothing that is ordered by hash or by the disk.",
)
def same_seed_same_batches(task: Task) -> None:
    fetched(task)
    here = digest(task)
    for name in SPLITS:
        one, two = split(task, name, 5, disturb=1), split(task, name, 5, disturb=2)
        for seed in (5, None):
            pairs = zip(batches(one, 8, most=4, seed=seed), batches(two, 8, most=4, seed=seed),
                        strict=True)  # fmt: skip
            for i, (a, b) in enumerate(pairs):
                if not same(a, b):
                    order = "evaluation" if seed is None else "training"
                    raise Broken(f"{name}: batch {i} of the {order} order differs the second time")
    if not importable(task):
        raise DoesNotApply("it holds in this process; another one cannot import the class")
    answer = ask("digest", task)
    if "digest" not in answer:
        raise DoesNotApply(f"the other process failed, see loads_offline: {answer['error']}")
    if answer["digest"] != here:
        raise Broken("another process, with another PYTHONHASHSEED, reads other batches")


@LAWS.law(
    "Validation and test data are the same for every run, whatever its seed.",
    "Draw held-out items from a generator with a fixed seed; do not use `seed` for them.",
)
def held_out_data_ignore_the_seed(task: Task) -> None:
    for name in ("valid", "test"):
        one, two = split(task, name, 0, disturb=1), split(task, name, 1, disturb=2)
        if len(one) != len(two):
            raise Broken(f"{name} has {len(one)} items with seed 0 and {len(two)} with seed 1")
        pairs = zip(batches(one, task.eval_batch, most=60), batches(two, task.eval_batch, most=60),
                    strict=True)  # fmt: skip
        for i, (a, b) in enumerate(pairs):
            if not same(a, b):
                raise Broken(f"{name}: batch {i} differs between runs with seeds 0 and 1")


@LAWS.law(
    "Training reads its items in an order that follows the seed.",
    "`order` must shuffle with rng where one is given (a carried stream keeps its order).",
)
def training_order_follows_the_seed(task: Task) -> None:
    data = task.data("train", 0)
    if data.carried:
        raise DoesNotApply("state is carried, so the order is that of the text")
    if len(data) < 2:
        raise DoesNotApply("there is one item")
    orders = [batches(data, 8, most=5, seed=seed) for seed in (1, 2)]
    if all(same(a, b) for a, b in zip(*orders, strict=True)):
        raise Broken("epochs with seeds 1 and 2 read the same batches in the same order")


@LAWS.law(
    "The splits are disjoint: no item of test or validation stands in training.",
    "Split before anything is cut, doubled or shuffled, by whole documents or stretches of time. "
    "Of items that are few by nature, declare it: declares = {'splits_are_disjoint': 'why'}.",
    declarable=True,
)
def splits_are_disjoint(task: Task) -> None:
    parts = {name: task.data(name, 0) for name in SPLITS}
    pairs = (("train", "valid"), ("train", "test"), ("valid", "test"))
    if any(data.carried for data in parts.values()):
        if task.memorised:
            raise DoesNotApply("it asks for memorisation, and says so")
        streams = {name: stream(data, task.eval_batch) for name, data in parts.items()}
        shortest = min(max(map(len, sequences)) for sequences in streams.values())
        # What is drawn at random may repeat itself over short windows, and then not over long ones;
        # so do the set phrases of a real text (1.4% of the validation part of the Penn Treebank
        # stands in training over 64 characters, 0.9% over 128). What leaked repeats over both.
        widths = (WINDOW, (2 if task.sources() else 16) * WINDOW)
        for one, other in pairs:
            shares = [_shared(streams[other], streams[one], shortest, width) for width in widths]
            share, width = shares[-1]
            if all(shared > OVERLAP for shared, _ in shares):
                raise Broken(
                    f"{share:.1%} of the windows of {width} steps of {other} stand in {one}"
                )
        return
    most = max(2, MOST // task.eval_batch)

    def read(name: str, seed: int | None = None) -> list[bytes]:
        chosen = batches(parts[name], task.eval_batch, most=most, seed=seed)
        return [row for batch in chosen for row in rows(batch)]

    # Items may be drawn afresh in each epoch, or be changed at random.
    epoch = read("train", 0)
    sets = {"train": read("train") + epoch, "valid": read("valid"), "test": read("test")}
    if task.memorised:
        for one, other in pairs:
            if set(sets[one]) != set(sets[other]):
                raise Broken(f"it says that it is memorised, but {one} and {other} differ")
        raise DoesNotApply("it asks for memorisation: the splits are one, and it says so")
    by_chance, spread = 0.0, 0.0
    others = [read("train", seed) for seed in (1, 2, 3)] if not task.sources() else [epoch]
    if sorted(others[0]) != sorted(epoch):
        by_chance, spread = _chance(set(sets["train"]), [row for e in others for row in e])
    for one, other in pairs:
        known = set(sets[one])
        twice = [i for i, row in enumerate(sets[other]) if row in known]
        noise = 4 * (spread**2 + by_chance * (1 - by_chance) / len(sets[other])) ** 0.5
        if len(twice) / len(sets[other]) > OVERLAP + by_chance + noise:
            expected = f" ({by_chance:.1%} would by chance)" if by_chance else ""
            found = (
                f"{len(twice)} of the {len(sets[other])} items of {other} stand in {one}"
                f"{expected}, such as number {twice[0]}"
            )
            items = read(one)
            repeated = 1 - len(set(items)) / len(items)  # as of items that are few by nature
            if repeated > OVERLAP and len(twice) / len(sets[other]) < 3 * repeated:
                raise Suspect(f"{found}; {repeated:.1%} of {one} repeat others of it too")
            raise Broken(found)


def _shared(
    other: list[np.ndarray], one: list[np.ndarray], shortest: int, width: int
) -> tuple[float, int]:
    """Return the share of one stream's windows that stand in another, and their width."""
    width = 2 ** int(np.log2(min(width, shortest)))
    return share_found(windows(other, width), windows(one, width)), width


def _chance(known: set[bytes], drawn: list[bytes]) -> tuple[float, float]:
    """Return how often items drawn at random meet by chance, and how well that is known."""
    share = sum(row in known for row in drawn) / len(drawn)
    return share, (max(share * (1 - share), 1 / len(drawn)) / len(drawn)) ** 0.5


@LAWS.law(
    "Evaluation reads every item exactly once, whatever the batch size.",
    "Keep the last, smaller batch; draw held-out items once, not by the batch.",
)
def no_item_is_dropped(task: Task) -> None:
    for name in ("valid", "test"):
        data = task.data(name, 0)
        first: tuple[int, int] | None = None
        for size in (task.eval_batch, 7, 3):
            elements, items, content = 0, 0, 0
            for batch in batches(data, size):
                if not 1 <= len(batch.x) <= size:
                    raise Broken(f"{name}: a batch of {len(batch.x)} rows in order({size})")
                elements += counted(batch)
                items += len(batch.x)
                content += 0 if data.carried else sum(map(hash, rows(batch)))
            if not data.carried and items != len(data):
                raise Broken(f"{name}: order({size}) reads {items} items of {len(data)}")
            first = first or (elements, content)
            if elements != first[0]:
                raise Broken(
                    f"{name}: {first[0]} targets are counted in batches of {task.eval_batch} and "
                    f"{elements} in batches of {size}"
                )
            if content != first[1]:
                raise Broken(
                    f"{name}: batches of {task.eval_batch} and of {size} do not hold the same items"
                )
            if items > MOST:
                break


@LAWS.law(
    "A stream is read on: each batch continues the one before it, row by row.",
    "Where `carried` is set, order() must keep the order of the text, with as many rows in each.",
)
def streams_continue(task: Task) -> None:
    applies = False
    for name in SPLITS:
        data = task.data(name, 0)
        applies = applies or data.carried
        for seed in (None, 0) if data.carried else ():
            before = None
            for i, batch in enumerate(batches(data, task.eval_batch, seed=seed)):
                if before is not None:
                    if len(batch.x) != len(before.x):
                        raise Broken(f"{name}: batch {i} has {len(batch.x)} rows after "
                                     f"{len(before.x)}")  # fmt: skip
                    if before.x_len is not None and int(before.x_len.min()) < before.x.shape[1]:
                        raise Broken(f"{name}: batch {i - 1} has padding and is not the last")
                    shifted = not before.x.is_floating_point() and before.x.shape == before.y.shape
                    shifted = shifted and torch.equal(before.x[:, 1:], before.y[:, :-1])
                    if shifted and not torch.equal(before.y[:, -1], batch.x[:, 0]):
                        order = "evaluation" if seed is None else "training"
                        raise Broken(f"{name}, {order}: batch {i} does not begin with what batch "
                                     f"{i - 1} ended with")  # fmt: skip
                before = batch
                if i == 200:
                    break
    if not applies:
        raise DoesNotApply("no state is carried")


@LAWS.law(
    "It works offline: data that were fetched once are read without a network.",
    "Declare what is downloaded in sources(), and read it where fetch() says that it is.",
)
def loads_offline(task: Task) -> None:
    fetched(task)
    digest(task)  # prepares what is prepared once
    if not importable(task):
        raise DoesNotApply("another process cannot import the class")
    answer = ask("digest", task)
    if "error" in answer:
        raise Broken(answer["error"])
    if not task.sources():
        raise DoesNotApply("it has no sources, and needs none")


@LAWS.law(
    "Damaged data are refused: one wrong byte, and a DataError names the file.",
    "Read files through fetch(), which compares checksums; catch no DataError.",
)
def damaged_data_are_refused(task: Task) -> None:
    if all(s.origin.startswith(IN_PLACE) for s in task.sources()):
        raise DoesNotApply("nothing of it is kept in a folder of data")
    if not importable(task):
        raise DoesNotApply("another process cannot import the class")
    fetched(task)
    answer = ask("damage", task)
    if "error" in answer:
        raise Broken(answer["error"])
    if not answer["kind"]:
        raise Broken(f"{answer['file']} was read with a wrong byte in it")
    if answer["kind"] != "DataError":
        raise Broken(f"a wrong byte in {answer['file']} gave {answer['kind']}: {answer['said']}")
    if answer["file"] not in answer["said"]:
        raise Broken(f"the error does not name {answer['file']}: {answer['said']}")
