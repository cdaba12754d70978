"""MNIST in three layouts: the same images and split, on invented images and on the real ones."""

import gzip
import struct

import numpy as np
import pytest
import torch

from rnnbench.contract import Refusal
from rnnbench.data import DataError, status
from rnnbench.testing import TaskLaws, verdict
from rnnbench.training.dry_run import check
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.mdlstm import MDLSTM
from rnnbench_tasks import _mnist as mnist
from rnnbench_tasks._mnist import read_idx
from rnnbench_tasks.mnist_grid import MnistGrid
from rnnbench_tasks.permuted_mnist import PermutedMnist
from rnnbench_tasks.sequential_mnist import SequentialMnist

TASKS = [SequentialMnist, PermutedMnist, MnistGrid]


@pytest.fixture
def invented(monkeypatch):
    """As many images as the real ones, of noise."""
    rng = np.random.default_rng(0)
    kept = {}
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        kept[f"{part}_images"] = rng.integers(0, 256, (n, 784), np.uint8)
        kept[f"{part}_classes"] = rng.integers(0, 10, n, np.uint8)
    monkeypatch.setattr(mnist, "prepare", lambda *args, **kwargs: kept)
    return kept


@pytest.fixture
def real():
    found = status(SequentialMnist().sources()[0])
    if found.state != "present":
        pytest.skip("mnist is not here: rnnbench data fetch sequential-mnist brings it")


def whole(task, split, rows):
    return task.data(split, 0).batch(np.arange(rows), None)


def test_images_are_read_pixel_by_pixel_row_by_row_or_in_one_shuffled_order(invented):
    pixels = torch.from_numpy(invented["t10k_images"][:5].astype(np.float32) / 255)
    by_pixel = whole(SequentialMnist(), "test", 5)
    by_row = whole(SequentialMnist(step="row"), "test", 5)
    shuffled = whole(PermutedMnist(), "test", 5)
    grid = whole(MnistGrid(), "test", 5)
    assert torch.equal(by_pixel.x, pixels[..., None])
    assert torch.equal(by_row.x, pixels.view(5, 28, 28))
    order = PermutedMnist().order_P
    assert sorted(order) == list(range(784))
    assert torch.equal(shuffled.x[..., 0], pixels[:, order])
    assert not np.array_equal(order, PermutedMnist(permutation=1).order_P)
    assert torch.equal(grid.x, by_pixel.x)
    assert (grid.grid, by_pixel.grid) == ((28, 28), None)
    for batch in (by_row, shuffled, grid):
        assert batch.y.tolist() == invented["t10k_classes"][:5].tolist()


def test_the_last_5000_training_images_are_for_validation(invented):
    task = SequentialMnist(train_items=1000)
    assert [len(task.data(s, 0)) for s in ("train", "valid", "test")] == [1000, 5000, 10_000]
    assert len(SequentialMnist().data("train", 0)) == 55_000
    first = whole(task, "valid", 1)
    assert first.y.item() == invented["train_classes"][55_000]


def test_a_batch_copies_its_own_images_only(invented):
    data = SequentialMnist().data("train", 0)
    assert np.shares_memory(data.pixels_NP, invented["train_images"])
    assert data.pixels_NP.dtype == np.uint8


def test_the_baseline_is_the_commonest_training_class(invented):
    commonest = np.bincount(invented["train_classes"][:55_000]).argmax()
    share = (invented["t10k_classes"] == commonest).mean()
    for cls in TASKS:
        assert cls().baselines("test") == {"majority class": {"accuracy": pytest.approx(share)}}


@pytest.mark.parametrize("task", [
    SequentialMnist(step="row", train_items=300), PermutedMnist(train_items=300),
    MnistGrid(train_items=300),
], ids=lambda task: task.name)  # fmt: skip
def test_the_laws_hold(real, task):
    found = {law.name: verdict(law, task) for law in TaskLaws.laws.all}
    assert {k: v.example for k, v in found.items() if v.outcome == "broken"} == {}


def test_grids_are_for_grid_networks_and_sequences_are_not(invented):
    task = MnistGrid()
    batch = whole(task, "train", 2)
    assert check(MDLSTM(hidden=4), task, batch=batch).parameters
    assert check(GRU(hidden=4), task, batch=batch).parameters
    with pytest.raises(Refusal, match="grid"):
        check(MDLSTM(hidden=4), SequentialMnist(), batch=whole(SequentialMnist(), "train", 2))


def idx(shape, payload, kind=8):
    return (
        struct.pack(">HBB", 0, kind, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + payload
    )


def test_idx_files_are_read_gzipped_or_not_and_damage_is_named(tmp_path):
    path = tmp_path / "images"
    plain = idx((2, 3), bytes(range(6)))
    for content in (plain, gzip.compress(plain)):
        path.write_bytes(content)
        assert read_idx(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    for content, message in (
        (idx((2, 3), bytes(5)), "announces"),
        (idx((2, 3), bytes(24), kind=13), "no IDX file of bytes"),
        (b"\0\0", "no IDX file"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_idx(path)


@pytest.mark.parametrize("cls", TASKS)
def test_the_real_images_are_those_counted(real, cls):
    task = cls()
    assert [len(task.data(s, 0)) for s in ("train", "valid", "test")] == [55_000, 5_000, 10_000]
    assert task.baselines("test") == {"majority class": {"accuracy": 0.1135}}  # 1,135 ones
