"""Digits as sequences, against scikit-learn's own loader."""

import numpy as np
import pytest
import torch

from rnnbench_tasks.digits import Digits

SIZES = {"train": 1197, "valid": 300, "test": 300}


def whole(task, split):
    data = task.data(split, 0)
    return data.batch(data.order(len(data), None)[0], None)


def test_the_splits_are_the_whole_set_and_share_no_image():
    from sklearn.datasets import load_digits

    ours, labels = [], []
    for split, size in SIZES.items():
        b = whole(Digits(), split)
        assert b.x.shape == (size, 64, 1)
        ours.append((b.x[:, :, 0] * 16).round().int().numpy())
        labels.append(b.y.numpy())
    theirs = load_digits()
    both = [
        sorted(map(tuple, np.c_[np.asarray(x), np.asarray(y)].astype(int).tolist()))
        for x, y in ((np.concatenate(ours), np.concatenate(labels)), (theirs.data, theirs.target))
    ]
    assert both[0] == both[1]
    assert len(set(both[0])) == 1797  # no image occurs twice, so the splits are disjoint


def test_each_split_holds_the_classes_in_proportion():
    share = {s: np.bincount(whole(Digits(), s).y, minlength=10) / n for s, n in SIZES.items()}
    for split in SIZES:
        assert np.abs(share[split] - share["train"]).max() < 0.005


def test_a_row_at_a_time_reads_the_same_pixels():
    pixel, row = (whole(Digits(step=step), "test") for step in ("pixel", "row"))
    assert row.x.shape == (300, 8, 8)
    assert torch.equal(row.x.reshape(300, 64, 1), pixel.x)
    assert float(pixel.x.min()) == 0.0
    assert float(pixel.x.max()) == 1.0


def test_the_baseline_is_the_share_of_the_commonest_training_class():
    y = whole(Digits(), "test").y
    commonest = int(whole(Digits(), "train").y.mode().values)
    want = float((y == commonest).float().mean())
    assert Digits().baselines("test")["majority class"]["accuracy"] == pytest.approx(want)
    assert 0.09 < want < 0.12
