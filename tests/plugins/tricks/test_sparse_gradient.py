"""Sparse back-propagation worked by hand, and inside other wrappers."""

import pytest
import torch

from rnnbench_architectures.elman import ElmanCell
from rnnbench_architectures.gru import GRUCell
from rnnbench_architectures.lstm import LSTMCell
from rnnbench_tricks.sparse_gradient import SparseGradient
from rnnbench_tricks.zoneout import Zoneout

# ------------------------------------------------------------------------------- sparse gradient


def kept(g, k):
    """The k components of largest magnitude."""
    order = sorted(range(len(g)), key=lambda i: -abs(g[i].item()))
    return torch.stack([g[i] if i in order[:k] else torch.zeros_like(g[i]) for i in range(len(g))])


def test_two_steps_of_sparse_back_propagation_worked_by_hand():
    """tanh cell, L = c·h_2: the gradient of each product's output is cut before it is used."""
    torch.manual_seed(0)
    cell = ElmanCell(2, 4).double()
    x, c = torch.randn(3, 2, 2, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    sparse = SparseGradient(keep=0.5).cell(cell)
    y, _ = sparse(x)
    torch.testing.assert_close(y, cell(x)[0])
    cell.zero_grad()
    (y[:, 1] * c).sum().backward()
    w_x, w_h = torch.zeros(4, 2).double(), torch.zeros(4, 4).double()
    b = torch.zeros(4).double()
    for row in range(3):
        h1, h2 = y[row].detach()
        g2 = kept(c[row] * (1 - h2**2), 2)
        g1 = kept((cell.weight_h.detach().T @ g2) * (1 - h1**2), 2)
        w_x += torch.outer(g2, x[row, 1]) + torch.outer(g1, x[row, 0])
        w_h += torch.outer(g2, h1)
        b += g2 + g1
    torch.testing.assert_close(cell.weight_x.grad, w_x)
    torch.testing.assert_close(cell.weight_h.grad, w_h)
    torch.testing.assert_close(cell.bias_x.grad, b)
    torch.testing.assert_close(cell.bias_h.grad, b)


@pytest.mark.parametrize(
    "cell",
    [lambda: LSTMCell(3, 4), lambda: LSTMCell(3, 4, projection=2), lambda: GRUCell(3, 4),
     lambda: GRUCell(3, 4, reset="before")],
)  # fmt: skip
def test_every_product_of_a_cell_gets_only_k_components_back(cell):
    torch.manual_seed(0)
    inner = cell()
    sparse = SparseGradient(keep=1e-6).cell(inner)  # k = 1
    y, _ = sparse(torch.randn(1, 1, 3), tuple(torch.randn(1, s.shape[1]) for s in
                                              inner.initial(torch.randn(1, 3))))  # fmt: skip
    y.sum().backward()
    weights = {n: p for n, p in inner.named_parameters() if p.dim() == 2}
    for name, p in weights.items():
        blocks = [p.grad[:8], p.grad[8:]] if name == "weight_h" and (
            getattr(inner, "reset", "") == "before"
        ) else [p.grad]  # fmt: skip
        for block in blocks:  # one row of the batch and one step: one row of each product's matrix
            assert (block != 0).any(1).sum() == 1, name


def test_sparse_gradient_leaves_the_plain_gradient_when_all_is_kept_and_evaluation_alone():
    torch.manual_seed(0)
    cell, x = LSTMCell(3, 4), torch.randn(2, 5, 3)
    sparse = SparseGradient(keep=0.9999).cell(cell)  # rounds to all components
    plain = torch.autograd.grad(cell(x)[0].square().sum(), list(cell.parameters()))
    found = torch.autograd.grad(sparse(x)[0].square().sum(), list(cell.parameters()))
    torch.testing.assert_close(found, plain)
    assert torch.equal(sparse.eval()(x)[0], cell.eval()(x)[0])


@pytest.mark.parametrize("order", [0, 1])
def test_sparse_gradient_acts_inside_and_outside_of_zoneout(order):
    torch.manual_seed(0)
    cell = ElmanCell(3, 8)
    tricks = [Zoneout(rate=0.3), SparseGradient(keep=1e-6)]
    wrapped = cell
    for trick in tricks[:: 1 if order else -1]:
        wrapped = trick.cell(wrapped)
    y, _ = wrapped(torch.randn(1, 2, 3))
    y[:, 1].sum().backward()
    assert 1 <= (cell.weight_x.grad != 0).any(1).sum() <= 2
