"""Aligned tasks read as endless streams, one step at a time."""

import pytest
import torch

from rnnbench.contract import Batch, Kind, Refusal
from rnnbench.data import Items
from rnnbench.data import online_stream as streams
from rnnbench.registry.registry import load
from rnnbench.testing import TaskLaws
from rnnbench.testing.fixtures.small_architectures import ScannedLayers
from rnnbench.training.dry_run import check
from rnnbench_tasks.stream import Stream
from rnnbench_tricks.rtrl import RTRL


def ragged(lengths):
    """Items whose values say which item and step they are, padded with zeros."""
    x = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for i, n in enumerate(lengths):
        x[i, :n] = 100 * (i + 1) + torch.arange(n)
    n = torch.tensor(lengths)
    return Items(Batch(x, x + 1, x_len=n, y_len=n))


def read(data, size, rng=None):
    """Each row of a stream, x and y."""
    rows = {}
    for key in data.order(size, rng):
        b = data.batch(key, None)
        for i in range(len(b.x)):
            n = b.x.shape[1] if b.x_len is None else int(b.x_len[i])
            rows.setdefault(i, []).append(torch.stack([b.x[i, :n], b.y[i, :n]]))
    return [torch.cat(parts, 1) for parts in rows.values()]


@pytest.mark.parametrize("length", [1, 3, 50])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_items_stand_end_to_end_without_padding_whatever_the_rows(length, size):
    lengths = [3, 7, 1, 4, 6]
    rows = read(streams.Joined(ragged(lengths), length), size)
    x, y = torch.cat(rows, 1)
    assert x.tolist() == [100 * (i + 1) + t for i, n in enumerate(lengths) for t in range(n)]
    assert torch.equal(y, x + 1)
    sizes = {row.shape[1] for row in rows}
    assert max(sizes) - min(sizes) <= 1
    assert len(rows) == size


def test_a_chunk_is_as_long_as_asked_and_only_the_last_has_rows_that_end_early():
    data = streams.Joined(ragged([5, 6, 7, 5]), 1)
    batches = [data.batch(key, None) for key in data.order(4, None)]
    assert all(b.x.shape[1] == 1 for b in batches[:-1])
    assert all(b.x_len is None for b in batches[:-1])
    assert batches[-1].x_len.tolist() == [2, 2, 2, 1]  # 23 steps in four rows


def test_every_epoch_reads_the_items_in_an_order_of_its_own():
    data = streams.Joined(ragged([3, 7, 1, 4, 6]), 2)
    one, two, again = (
        torch.cat(read(data, 2, torch.Generator().manual_seed(seed)), 1)[0].tolist()
        for seed in (1, 2, 1)
    )
    assert one == again
    assert one != two
    assert sorted(one) == sorted(two)


def test_real_values_are_streamed_too():
    x = torch.rand(6, 4, 2)
    rows = streams.Joined(Items(Batch(x, x[..., :1])), 3)
    found = torch.cat([rows.batch(key, None).x for key in rows.order(1, None)], 1)
    assert torch.equal(found[0], x.reshape(-1, 2))


def test_an_online_estimator_that_needs_a_stream_accepts_one():
    check(ScannedLayers(hidden=3), Stream(of="dyck"), [RTRL(every=None)])
    with pytest.raises(Refusal, match="state is carried"):
        check(ScannedLayers(hidden=3), load("tasks", "dyck")(), [RTRL(every=None)])


def test_it_asks_what_the_task_asks():
    task = Stream(of="anbncn:train_max=5")
    inner = load("tasks", "anbncn")(train_max=5)
    assert (task.source, task.target, task.metrics) == (inner.source, inner.target, inner.metrics)
    assert task.kind is Kind.ALIGNED
    assert task.baselines("test") == inner.baselines("test")
    key = task.data("valid", 0).order(4, None)[0]
    assert torch.equal(
        task.data("valid", 0).batch(key, None).x, inner.data("valid", 0).batch(key, None).x
    )


@pytest.mark.parametrize(
    ("of", "wrong"),
    [("adding", "is sequence-to-vector"), ("stream", "a stream of a stream"), ("dyk", "dyck")],
)
def test_what_cannot_be_a_stream_is_refused(of, wrong):
    with pytest.raises(ValueError, match=wrong):
        Stream(of=of)


def test_a_stream_already_is_refused_and_says_what_to_do():
    with pytest.raises(Refusal, match="set its length to 1"):
        Stream(of="anbn").data("train", 0)


class TestStream(TaskLaws):
    tiny = Stream(of="dyck:train_items=300,valid_items=60,test_items=60")
