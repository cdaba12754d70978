"""Gradient centralisation: the laws of every trick, and an example worked by hand."""

import torch
from rnnbench.contract import Moment
from rnnbench.testing import TrickLaws

from rnnbench_mgu.gradient_centralisation import GradientCentralisation


class TestGradientCentralisation(TrickLaws):
    tiny = GradientCentralisation()


def test_the_mean_of_every_row_is_taken_away_and_a_vector_is_left_alone():
    matrix, vector = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (2,)))
    matrix.grad, vector.grad = torch.tensor([[1.0, 3.0], [4.0, 4.0]]), torch.tensor([1.0, 3.0])
    GradientCentralisation(share=0.5).gradient([matrix, vector], Moment(0, 0.0))
    assert matrix.grad.tolist() == [[0.0, 2.0], [2.0, 2.0]]
    assert vector.grad.tolist() == [1.0, 3.0]
