"""Digits as grids: the same images and split as digits as sequences."""

import pytest
import torch

from rnnbench.testing import TaskLaws
from rnnbench_tasks.digits import Digits
from rnnbench_tasks.digits_grid import DigitsGrid


class TestDigitsGrid(TaskLaws):
    tiny = DigitsGrid()


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_the_items_are_those_of_digits_pixel_by_pixel(split):
    data = DigitsGrid().data(split, 0), Digits().data(split, 0)
    grid, flat = (d.batch(torch.arange(len(d)), None) for d in data)
    assert grid.grid == (8, 8)
    assert flat.grid is None
    assert torch.equal(grid.x, flat.x)
    assert torch.equal(grid.y, flat.y)


def test_a_row_of_the_grid_is_a_row_of_the_image():
    from sklearn.datasets import load_digits

    images = {tuple(image.ravel()): image for image in load_digits().images}
    batch = DigitsGrid().data("test", 0).batch(torch.tensor([0, 7]), None)
    for x in batch.x:
        pixels = (x[:, 0] * 16).round().double()
        image = torch.from_numpy(images[tuple(pixels.tolist())])
        assert torch.equal(pixels.view(batch.grid), image)


def test_the_baseline_is_that_of_digits():
    assert DigitsGrid().baselines("test") == Digits().baselines("test")


def test_a_user_gives_64_pixels():
    batch, answer = DigitsGrid().ask("\n".join(["0.5"] * 64))
    assert batch.grid == (8, 8)
    assert batch.x.shape == (1, 64, 1)
    assert answer(torch.tensor(7)) == "7"
    with pytest.raises(ValueError, match="64 pixels of an 8 by 8 image, one a line; got 3"):
        DigitsGrid().ask("0\n0\n1")
