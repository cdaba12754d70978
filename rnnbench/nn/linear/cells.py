"""Cells whose recurrence is linear in the state, so that all time steps are made at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Cell, Layout, Refusal, State
from rnnbench.nn import scan
from rnnbench.nn.linear.scan import linear_scan


class LinearCell(Cell):
    """A cell h_t = a_t ⊙ h_{t-1} + b_t, where a_t and b_t depend on the input alone.

    Write `project` (of the input, for all steps at once), `factors`, and `read` where the output is
    not h. The state is (h,); another shape of it than (B, H) is given by `shape`.

    Args:
        width: H, width of the output.
        shape: of one row's h; None is (H,).
    """

    def __init__(self, width: int, shape: tuple[int, ...] | None = None):
        super().__init__()
        self.width, self.shape = width, (width,) if shape is None else shape

    def factors(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and b from what `project` gives, (..., G) -> (..., *shape); a may be smaller."""
        raise NotImplementedError

    def read(self, h: Tensor, p: Tensor) -> Tensor:
        """Return the output (..., H) from the state after a step and what was projected."""
        return h

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD.new_zeros(x_BD.shape[0], *self.shape),)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        refuse_seen(self, seen_BH)
        a, b = self.factors(p_BG)
        h = a * state[0] + b
        return self.read(h, p_BG), (h,)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial(x_BTD[:, 0]) if state is None else state
        p_BTG = self.project(x_BTD, state)
        done = scan.run_linear(self, p_BTG, state)
        if done is not None:
            return done
        a, b = self.factors(p_BTG)
        h = linear_scan(a, b, state[0])
        return self.read(h, p_BTG), (h[:, -1],)


class ComplexCell(LinearCell):
    """A linear cell of complex h; the state is its (real, imaginary) parts, (B, ..., 2).

    So the state is of the model's precision, travels as other states do, and tricks that act on
    units act on either part. `factors` and `read` see complex numbers.
    """

    def __init__(self, width: int, shape: tuple[int, ...]):
        super().__init__(width, (*shape, 2))

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        refuse_seen(self, seen_BH)
        a, b = self.factors(p_BG)
        h = a * torch.view_as_complex(state[0].contiguous()) + b
        return self.read(h, p_BG), (torch.view_as_real(h),)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial(x_BTD[:, 0]) if state is None else state
        p_BTG = self.project(x_BTD, state)
        a, b = self.factors(p_BTG)
        h = linear_scan(a, b, torch.view_as_complex(state[0].contiguous()))
        return self.read(h, p_BTG), (torch.view_as_real(h[:, -1]),)


def complexed(x: Tensor) -> Tensor:
    """Return (..., 2N) as complex (..., N): the first half real, the second imaginary."""
    if x.dtype in (torch.float16, torch.bfloat16):  # of which there are no complex numbers
        x = x.float()
    return torch.complex(*(half.contiguous() for half in x.chunk(2, -1)))


class GatedLinearCell(LinearCell):
    """A linear cell whose a and b are elementwise in one linear map of the input.

    `weight_x` is (G, D); it and `bias_x` start uniform in ±1/sqrt(D), as in `torch.nn.Linear`.

    Args:
        d_in: D, input width.
        hidden: H.
        gates: G / H.
    """

    def __init__(self, d_in: int, hidden: int, gates: int):
        super().__init__(hidden)
        self.weight_x = nn.Parameter(torch.empty(gates * hidden, d_in))
        self.bias_x = nn.Parameter(torch.empty(gates * hidden))
        for p in self.parameters():
            nn.init.uniform_(p, -1 / math.sqrt(d_in), 1 / math.sqrt(d_in))

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return mapped(x_BTD, self.weight_x, self.bias_x)


def mapped(x_BTD: Tensor, weight_GD: Tensor, bias_G: Tensor | None = None) -> Tensor:
    """Return W x + b for all steps; on the CPU time first in memory, as scans read it there."""
    if x_BTD.is_cuda:
        return F.linear(x_BTD, weight_GD, bias_G)
    return F.linear(x_BTD.transpose(0, 1).contiguous(), weight_GD, bias_G).transpose(0, 1)


def refuse_seen(cell: Cell, seen_BH: Tensor | None) -> None:
    """Refuse a trick that changes what the recurrent product reads, where there is none.

    Raises:
        Refusal: `seen_BH` is given.
    """
    if seen_BH is not None:
        raise Refusal(
            f"{type(cell).__name__} has no product by a recurrent matrix, so a trick cannot change "
            "what it reads.\n  Drop the trick, or choose a cell that has one, such as lstm or gru."
        )
