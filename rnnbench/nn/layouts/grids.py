"""Grids of any dimension, swept along anti-diagonals: all cells of one coordinate sum at once.

Shape suffixes: R directions of reading (1, or one a corner), N dimensions of the grid, T cells,
K cells of an anti-diagonal, G pre-activations.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Layout, Refusal, State
from rnnbench.nn.whole_input import WholeInputBackbone


class Diagonals(NamedTuple):
    """The order in which a grid is read.

    Direction r reads axis d backwards where bit d of r is set, the last axis being the lowest.

    Attributes:
        counts: K of each anti-diagonal.
        order_RT: which cell each direction reads at which place of its order.
        place_RT: the inverse: the place of each cell in each direction's order.
        near_NT: of each place of the order, the neighbour that is one step back along each
            dimension: its number in the diagonal before, or that diagonal's K for none.
    """

    counts: tuple[int, ...]
    order_RT: np.ndarray
    place_RT: np.ndarray
    near_NT: np.ndarray


@functools.lru_cache(maxsize=64)
def diagonals(grid: tuple[int, ...], every_direction: bool) -> Diagonals:
    """Return the order in which cells of a row-major `grid` are read."""
    cell_TN = np.stack(np.unravel_index(np.arange(math.prod(grid)), grid), 1)
    sum_T = cell_TN.sum(1)
    forwards_T = np.argsort(sum_T, kind="stable")
    counts = np.bincount(sum_T)
    starts = np.cumsum(counts) - counts
    read_TN = cell_TN[forwards_T]

    place_T = np.argsort(forwards_T, kind="stable")
    within_T = place_T - starts[sum_T]
    before_T = np.concatenate([[0], counts[:-1]])[sum_T[forwards_T]]
    near_NT = np.empty((len(grid), len(cell_TN)), np.int64)
    for d in range(len(grid)):
        back_TN = read_TN - np.eye(len(grid), dtype=np.int64)[d]
        exists_T = back_TN[:, d] >= 0
        number_T = within_T[np.ravel_multi_index(tuple(back_TN.clip(0).T), grid)]
        near_NT[d] = np.where(exists_T, number_T, before_T)

    flips = itertools.product((False, True), repeat=len(grid)) if every_direction else [()]
    order = []
    for flip in flips:
        seen_TN = np.where(flip, np.array(grid) - 1 - read_TN, read_TN) if flip else read_TN
        order.append(np.ravel_multi_index(tuple(seen_TN.T), grid))
    order_RT = np.stack(order)
    return Diagonals(tuple(counts.tolist()), order_RT, np.argsort(order_RT, 1), near_NT)


def corners(y_BTH: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Return each direction's last output (B, H), where H is split among all directions."""
    last_R = diagonals(grid, True).order_RT[:, -1].tolist()
    parts = y_BTH.chunk(len(last_R), -1)
    return torch.cat([part[:, at] for part, at in zip(parts, last_R, strict=True)], -1)


class GridLayer(WholeInputBackbone):
    """A layer whose cells read their neighbours one step back along each dimension.

        a_p = W x_p + Σ_d U_d h_{p - e_d} + b,   s_p = update(a_p, s_{p - e_1}, …, s_{p - e_n})

    Write `update` only. What lies outside the grid is 0. With every direction of reading, each has
    parameters of its own, and the outputs of all stand side by side or are summed.

    Args:
        owner: the architecture, for messages.
        d_in: D, input width.
        hidden: H, units of one direction.
        gates: G / H.
        states: how many tensors of width H a cell has; states[0] is its hidden state.
        dimensions: n of the grids that it reads.
        every_direction: read from all 2^n corners, not from the first alone.
        together: sum the directions' outputs (width H); else they stand side by side (2^n H).
    Attributes:
        weight_x (R, G, D), weight_h (R, n, G, H), bias (R, G): uniform in ±1/sqrt(H) at first.
    """

    def __init__(
        self,
        owner: str,
        d_in: int,
        hidden: int,
        *,
        gates: int,
        states: int,
        dimensions: int,
        every_direction: bool,
        together: bool,
    ):
        super().__init__(owner)
        directions = 2**dimensions if every_direction else 1
        self.hidden, self.states, self.dimensions = hidden, states, dimensions
        self.every_direction, self.together = every_direction, together
        self.width = hidden if together else directions * hidden
        self.weight_x = nn.Parameter(torch.empty(directions, gates * hidden, d_in))
        self.weight_h = nn.Parameter(torch.empty(directions, dimensions, gates * hidden, hidden))
        self.bias = nn.Parameter(torch.empty(directions, gates * hidden))
        for p in self.parameters():
            nn.init.uniform_(p, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def update(self, a_RKBG: Tensor, near: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Return the states (R, K, B, H) of an anti-diagonal's cells.

        Args:
            a_RKBG: pre-activations, the products of the neighbours' hidden states included.
            near: for each dimension the states of the neighbours along it.
        """
        raise NotImplementedError

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        self.refuse_state(state)
        plan = diagonals(self.grid_of(x_BTD, layout), self.every_direction)
        device, directions = x_BTD.device, len(plan.order_RT)
        rows, cells, _ = x_BTD.shape
        order, place, near = (torch.from_numpy(v).to(device) for v in plan[1:])

        x_RTBD = x_BTD.transpose(0, 1).index_select(0, order.flatten()).unflatten(0, order.shape)
        p = torch.baddbmm(self.bias[:, None], x_RTBD.flatten(1, 2), self.weight_x.transpose(1, 2))
        p_RTBG = p.unflatten(1, (cells, rows))
        states = (p.new_zeros(directions, 0, rows, self.hidden),) * self.states
        outputs = []
        for a_RKBG, near_NK in zip(
            p_RTBG.split(plan.counts, 1), near.split(plan.counts, 1), strict=True
        ):
            padded = [F.pad(s, (0, 0, 0, 0, 0, 1)) for s in states]  # what lies outside is 0
            around = [tuple(s.index_select(1, near_K) for s in padded) for near_K in near_NK]
            a = a_RKBG.flatten(1, 2)
            for d, (h_RKBH, *_) in enumerate(around):
                a = torch.baddbmm(a, h_RKBH.flatten(1, 2), self.weight_h[:, d].transpose(1, 2))
            states = self.update(a.view_as(a_RKBG), around)
            outputs.append(states[0])

        offset_R1 = torch.arange(directions, device=device)[:, None] * cells
        flat = torch.cat(outputs, 1).flatten(0, 1).index_select(0, (place + offset_R1).flatten())
        y_RTBH = flat.unflatten(0, (directions, cells))
        y_RTBH = y_RTBH.sum(0, keepdim=True) if self.together else y_RTBH
        return y_RTBH.permute(2, 1, 0, 3).flatten(2), None

    def grid_of(self, x_BTD: Tensor, layout: Layout | None) -> tuple[int, ...]:
        """Return the grid that is to be read.

        Raises:
            Refusal: there is none, or it has another number of dimensions.
            ValueError: rows are not full, or the grid has not as many cells as there are steps.
        """
        if layout is None or layout.grid is None:
            raise Refusal(
                f"{self.owner} reads grids, and what it is given here is a plain sequence.\n"
                "  It cannot be a decoder: choose a task that reads a grid and decodes nothing."
            )
        grid = layout.grid
        if len(grid) != self.dimensions:
            raise Refusal(
                f"{self.owner}: dimensions = {self.dimensions}, and the grid is "
                f"{' x '.join(map(str, grid))}.\n  Set architecture.dimensions={len(grid)}."
            )
        if math.prod(grid) != x_BTD.shape[1]:
            raise ValueError(f"a grid of {grid} is not {x_BTD.shape[1]} steps")
        if layout.len_B is not None and bool((layout.len_B < x_BTD.shape[1]).any()):
            raise ValueError("rows of a grid are full: x_len is given, and shorter for some rows")
        return grid


def grid_pool(directions: str, combine: str) -> str:
    """Return `Architecture.pool` of a grid's network: where its directions end.

    Summed outputs can no longer be told apart, so their mean over the grid is taken.
    """
    if directions == "one":
        return "last"
    return "corners" if combine == "concatenate" else "mean"
