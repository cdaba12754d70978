"""The adding problem."""

import pytest
import torch

from rnnbench_tasks.adding import Adding


def whole(task, split):
    data = task.data(split, 0)
    return data.batch(data.order(len(data), None)[0], None)


@pytest.mark.parametrize("length", [2, 3, 100])
def test_the_target_is_the_sum_of_one_marked_value_of_each_half(length):
    b = whole(Adding(length=length), "valid")
    value, marker = b.x.unbind(2)
    half = length // 2
    assert b.x.shape == (1000, length, 2)
    assert torch.equal(marker[:, :half].sum(1), torch.ones(1000))
    assert torch.equal(marker[:, half:].sum(1), torch.ones(1000))
    assert torch.allclose((value * marker).sum(1, keepdim=True), b.y)
    assert value.min() >= 0
    assert value.max() < 1


def test_the_measured_baseline_is_near_the_theoretical_one():
    task = Adding()
    for split in ("valid", "test"):
        found = task.baselines(split)
        y = whole(task, split).y
        assert found["mean"]["mse"] == pytest.approx(float(((y - 1) ** 2).mean()), rel=1e-5)
        assert found["mean"]["mse"] == pytest.approx(1 / 6, abs=0.015)
        assert found["mean, in theory"]["mse"] == 1 / 6
    assert set(task.baselines("train")) == {"mean, in theory"}


def test_splits_differ_and_training_items_are_new_in_each_epoch():
    task = Adding(length=10)
    assert not torch.equal(whole(task, "valid").x, whole(task, "test").x[:1000])
    data = task.data("train", 0)
    key = data.order(4, None)[0]
    epochs = [data.batch(key, torch.Generator().manual_seed(e)).x for e in (0, 1)]
    assert not torch.equal(*epochs)


def test_a_length_below_two_is_refused():
    with pytest.raises(ValueError, match="length"):
        Adding(length=1)
