"""The minimal gated unit: the laws of every architecture, and the paper's equations."""

import torch
from rnnbench.testing import ArchitectureLaws

from rnnbench_mgu.mgu import MGU, MGUCell


class TestMGU(ArchitectureLaws):
    tiny = MGU(hidden=4)


def test_two_steps_worked_by_hand():
    cell = MGUCell(1, 1)
    with torch.no_grad():
        cell.weight_x.copy_(torch.tensor([[0.5], [2.0]]))  # W_f, W_h
        cell.weight_h.copy_(torch.tensor([[-1.0], [1.5]]))  # U_f, U_h
        cell.bias.copy_(torch.tensor([0.1, -0.2]))
    y, state = cell(torch.tensor([[[1.0], [-0.5]]]))
    # x = 1, h = 0:           f = σ(0.6) = 0.645656, h̃ = tanh(1.8) = 0.946806
    #                         h = 0.645656 · 0.946806 = 0.611311
    # x = -0.5, h = 0.611311: f = σ(-0.25 - 0.611311 + 0.1) = 0.318362
    #                         h̃ = tanh(-1 + 1.5 · 0.318362 · 0.611311 - 0.2) = -0.720206
    #                         h = 0.681638 · 0.611311 - 0.318362 · 0.720206 = 0.187407
    torch.testing.assert_close(y, torch.tensor([[[0.611311], [0.187407]]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(state[0], y[:, -1])


def test_with_an_open_gate_it_is_a_simple_recurrent_network():
    torch.manual_seed(0)
    cell, x = MGUCell(3, 4), torch.randn(2, 5, 3)
    with torch.no_grad():
        cell.bias[:4] = 100.0
    h = torch.zeros(2, 4)
    for t in range(5):
        p = x[:, t] @ cell.weight_x[4:].T + cell.bias[4:]
        h = torch.tanh(p + h @ cell.weight_h[4:].T)
    torch.testing.assert_close(cell(x)[0][:, -1], h)


def test_what_a_trick_masks_is_what_the_products_read_and_not_what_is_carried():
    torch.manual_seed(0)
    cell, x, h = MGUCell(3, 4), torch.randn(2, 3), torch.randn(2, 4)
    p = cell.project(x[:, None], (h,))[:, 0]
    y, _ = cell.advance(p, (h,), torch.zeros(2, 4))
    gate, candidate = torch.sigmoid(p[:, :4]), torch.tanh(p[:, 4:])
    torch.testing.assert_close(y, (1 - gate) * h + gate * candidate)
