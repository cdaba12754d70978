"""Cells of every kind that the scan meets, and the comparison of a path with the eager loop."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnnbench.contract import Cell
from rnnbench.nn import FastCell, GatedCell, scan
from rnnbench.nn.scan import inductor
from rnnbench.nn.scan.c import compiler
from rnnbench_architectures.elman import ElmanCell
from rnnbench_architectures.gru import GRUCell
from rnnbench_architectures.lstm import LSTMCell
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout

needs_compiler = pytest.mark.skipif(compiler.compiler() is None, reason="there is no C compiler")


needs_inductor = pytest.mark.skipif(
    bool(inductor.available("cpu")), reason=f"no inductor here: {inductor.available('cpu')}"
)


class MGUCell(FastCell):
    """Two products a step: the candidate's waits for the gate."""

    def __init__(self, d_in, hidden):
        super().__init__()
        self.width = hidden
        self.weight_x = nn.Parameter(torch.randn(2 * hidden, d_in) / 3)
        self.weight_h = nn.Parameter(torch.randn(2 * hidden, hidden) / 3)
        self.bias = nn.Parameter(torch.randn(2 * hidden) / 3)

    def initial(self, x):
        return (x.new_zeros(len(x), self.width),)

    def project(self, x, state):
        return F.linear(x, self.weight_x, self.bias)

    def advance(self, p, state, seen=None):
        h = state[0] if seen is None else seen
        (px, cx), (wf, wc) = p.chunk(2, -1), self.weight_h.chunk(2)
        f = torch.sigmoid(px + F.linear(h, wf))
        new = (1 - f) * state[0] + f * torch.tanh(cx + F.linear(f * h, wc))
        return new, (new,)

    def step(self, x, state):
        return self.advance(self.project(x[:, None], state)[:, 0], state)


class LayerNormCell(GatedCell):
    """Ba et al. (2016): a reduction in every step."""

    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden, gates=4, states=2)
        self.norm_x, self.norm_h = nn.LayerNorm(4 * hidden), nn.LayerNorm(4 * hidden)
        self.norm_c = nn.LayerNorm(hidden)

    def update(self, gates_x, gates_h, state):
        i, f, g, o = (self.norm_x(gates_x) + self.norm_h(gates_h)).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.norm_c(c)), c


class GraphCell(Cell):
    """A general cell: a product of two states, and a counter of integers."""

    width = 4

    def __init__(self, d_in):
        super().__init__()
        self.map = nn.Linear(d_in + 4, 4)

    def initial(self, x):
        return x.new_zeros(len(x), 4), x.new_zeros(len(x), 1, dtype=torch.long)

    def step(self, x, state):
        h, t = state
        new = torch.where(t % 2 == 0, torch.tanh(self.map(torch.cat([x, h], -1))), h)
        return new, (new, t + 1)


class FastGraphCell(GraphCell, FastCell):
    """A general cell that the tiers of the scan run."""


def scanned(cell):
    """A cell without torch's kernel."""
    cell.kernel = None
    return cell


CELLS = {
    "lstm": lambda d, h: scanned(LSTMCell(d, h)),
    "lstm of 1997": lambda d, h: LSTMCell(d, h, forget_gate=False),
    "peepholes": lambda d, h: LSTMCell(d, h, peepholes=True),
    "coupled with peepholes": lambda d, h: LSTMCell(d, h, coupled=True, peepholes=True),
    "projected lstm": lambda d, h: LSTMCell(d, h, peepholes=True, projection=3),
    "gru": lambda d, h: scanned(GRUCell(d, h)),
    "gru of Cho": lambda d, h: GRUCell(d, h, reset="before"),
    "projected gru": lambda d, h: GRUCell(d, h, projection=2),
    "irnn": lambda d, h: scanned(ElmanCell(d, h, "relu", "orthogonal")),
    "mgu": MGUCell,
    "zoneout": lambda d, h: Zoneout(rate=0.3, cell_rate=0.1).cell(LSTMCell(d, h)),
    "variational": lambda d, h: VariationalDropout(0.3, 0.4).cell(GRUCell(d, h)),
    "both": lambda d, h: Zoneout(rate=0.2).cell(
        VariationalDropout(0.3, 0.4).cell(LSTMCell(d, h, peepholes=True))
    ),
    "both, reversed": lambda d, h: VariationalDropout(0.3, 0.4).cell(
        Zoneout(rate=0.2).cell(GRUCell(d, h, reset="before"))
    ),
}


def make(name, d=5, h=6, dtype=torch.float64):
    torch.manual_seed(11)
    return CELLS[name](d, h).to(dtype)


def start_of(cell, x):
    """A state that needs gradients, where it is made of real numbers."""
    return tuple(
        (s + 0.3 * torch.randn_like(s)).requires_grad_() if s.is_floating_point() else s
        for s in cell.initial(x[:, 0])
    )


def outcome(cell, path, x, state):
    """Outputs, last state and all gradients."""
    x = x.clone().requires_grad_()
    state = tuple(s.detach().clone().requires_grad_(s.requires_grad) for s in state)
    torch.manual_seed(5)
    y, final = path(x, state)
    torch.manual_seed(6)
    # Of a shape, and not like a tensor: the order in memory must not matter.
    loss = sum(
        (s * torch.randn(s.shape, dtype=s.dtype, device=s.device)).sum()
        for s in (y, *final)
        if s.is_floating_point()
    )
    inputs = [x, *(s for s in state if s.requires_grad)]
    inputs += [p for p in cell.parameters() if p.requires_grad]
    return [y, *final, *torch.autograd.grad(loss, inputs, allow_unused=True)]


def agree(cell, x, atol):
    state = start_of(cell, x)
    for training in (True, False):
        cell.train(training)
        fast, slow = (outcome(cell, path, x, state) for path in (cell, cell.scan))
        assert len(fast) == len(slow)
        for a, b in zip(fast, slow, strict=True):
            torch.testing.assert_close(a, b, atol=atol, rtol=atol)


def used():
    return {row["cell"]: row["tier"] for row in scan.report()}
