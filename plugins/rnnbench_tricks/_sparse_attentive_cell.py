"""Cells that are reminded of their own past by sparse attention."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnbench.contract import Cell, Layout, Refusal, State, detach
from rnnbench.nn import CellWrapper, FastCell, scan
from rnnbench.nn.scan.choice import chosen, operators_are_watched
from rnnbench.nn.scan.unsupported import Unsupported

TRICK = "sparse-attentive-backtracking"  # for messages


class RemindedCell(CellWrapper):
    """A cell that is reminded, at each step, of a few of its own past states.

    With ĥ_t as the cell inside makes it, and memories m_i of every k_att-th h:

    a_i = w_3ᵀ tanh(W_1 m_i + W_2 ĥ_t),   s_t = Σ w_i m_i with w = `sparse`(a),   h_t = ĥ_t + s_t

    The state is (h, memories (B, L, H) with the latest last, steps done (B, 1), the rest of the
    inner cell's state). When there are L memories the oldest makes room for the next.

    Args:
        k_trunc: steps after which the gradient of the recurrence stops.
        k_att: steps from one memory to the next.
        k_top: memories with a weight.
        memories: L.
        says_summary: the output is [h_t, s_t] of width 2 H in place of h_t.
    Attributes:
        truncates: the gradient stops (see `truncating`); otherwise it is that of the values.
        made: how many steps were made since `truncates` was set.
    """

    def __init__(
        self, inner: Cell, k_trunc: int, k_att: int, k_top: int, memories: int, says_summary: bool
    ):
        super().__init__(inner)
        self.hidden = inner.width
        self.k_trunc, self.k_att, self.k_top = k_trunc, k_att, k_top
        self.memories, self.says_summary = memories, says_summary
        self.truncates, self.made = False, 0
        self.width = 2 * self.hidden if says_summary else self.hidden
        self.apart = (1, 2, *(i + 2 for i in inner.apart))
        self.map_memory = nn.Linear(self.hidden, self.hidden, bias=False)  # W_1
        self.map_hidden = nn.Linear(self.hidden, self.hidden, bias=False)  # W_2
        self.score = nn.Linear(self.hidden, 1, bias=False)  # w_3
        nn.init.normal_(self.score.weight, std=0.01)  # as in the authors' code

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        h_BH, *others = self.inner.initial(x_BD)
        memory_BLH = h_BH.new_zeros(h_BH.shape[0], self.memories, self.hidden)
        clock_B1 = torch.zeros(h_BH.shape[0], 1, dtype=torch.long, device=h_BH.device)
        return h_BH, memory_BLH, clock_B1, *others

    def carry(self, state: State) -> State:
        inner, own = self._parts(state)
        h_BH, *others = self.inner.carry(inner)
        return h_BH, *detach(own), *others

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        """Scan with memories mapped once, looking at as many as there are."""
        if chosen() in ("c", "inductor"):
            raise RuntimeError(
                f"scan = {chosen()}: {TRICK} cannot run in this tier: its gradient is not that of "
                "its values.\n  Set trainer.scan to auto or eager."
            )
        scan.note(self, "eager", f"the gradient is not that of its values ({TRICK})")
        t = 0 if state is None else steps_done(state[2])
        if t is None:
            return self.scan(x_BTD, state)
        state = self.initial(x_BTD[:, 0]) if state is None else state
        p_BTG, (_, noise) = self.project(x_BTD, state), self.draw_noise(x_BTD.shape[1], state)
        inner, (memory_BLH, clock_B1) = self._parts(state)
        held = min(t // self.k_att, self.memories)
        m_BMH = memory_BLH[:, self.memories - held :]
        k_BMH = self.map_memory(m_BMH)
        self.made += p_BTG.shape[1] if self.truncates else 0
        outputs = []
        for i, p_BG in enumerate(p_BTG.unbind(1)):
            if self.truncates and t and t % self.k_trunc == 0:
                inner = detach(inner)
            h_BH, inner = self.provisional(
                p_BG, inner, pytree.tree_map(lambda n, i=i: n[i], noise), None
            )
            s_BH = self.reminded(h_BH, m_BMH, k_BMH)
            h_BH, t = h_BH + s_BH, t + 1
            inner = (h_BH, *inner[1:])
            outputs.append(self.said(h_BH, s_BH))
            if t % self.k_att == 0:
                kept = slice(1 if m_BMH.shape[1] == self.memories else 0, None)
                m_BMH = torch.cat([m_BMH[:, kept], h_BH[:, None]], 1)
                k_BMH = torch.cat([k_BMH[:, kept], self.map_memory(h_BH)[:, None]], 1)
        empty = self.memories - m_BMH.shape[1]
        memory_BLH = torch.cat([torch.zeros_like(memory_BLH[:, :empty]), m_BMH], 1)
        return torch.stack(outputs, 1), (
            inner[0], memory_BLH, clock_B1 + p_BTG.shape[1], *inner[1:]
        )  # fmt: skip

    def provisional(
        self, p_BG: Tensor, inner: State, noise: Any, seen_BH: Tensor | None
    ) -> tuple[Tensor, State]:
        """Return ĥ_t, and the inner cell's state, of which it is the first part."""
        if isinstance(self.inner, FastCell):
            y_BH, new = self.inner.tick(p_BG, inner, noise, seen_BH)
        else:
            y_BH, new = self.inner.advance(p_BG, inner, seen_BH)
        if y_BH is not new[0]:
            raise Refusal(
                f"{TRICK} adds what it is reminded of to a cell's hidden state, and here "
                f"{scan.describe(self.inner)} puts out something else than its hidden state.\n"
                "  Choose another cell, such as lstm or gru, or list it before the trick that "
                "changes the output."
            )
        return y_BH, new

    def reminded(
        self, h_BH: Tensor, m_BMH: Tensor, k_BMH: Tensor, there_BM: Tensor | None = None
    ) -> Tensor:
        """Return s_t from ĥ_t, the memories, and W_1 of them.

        Args:
            there_BM: which of them there are; None: all.
        """
        if not m_BMH.shape[1]:
            return torch.zeros_like(h_BH)
        a_BM = self.score(torch.tanh(k_BMH + self.map_hidden(h_BH)[:, None]))[..., 0]
        return (sparse(a_BM, self.k_top, there_BM)[:, None] @ m_BMH)[:, 0]

    def said(self, h_BH: Tensor, s_BH: Tensor) -> Tensor:
        return torch.cat([h_BH, s_BH], -1) if self.says_summary else h_BH

    def _parts(self, state: State) -> tuple[Any, tuple[Tensor, ...]]:
        h_BH, memory_BLH, clock_B1, *others = state
        return (h_BH, *others), (memory_BLH, clock_B1)

    def _drawn(self, steps: int, state: State) -> Any:
        inner, now = self.inner, self._parts(state)[0]
        return (), inner.draw_noise(steps, now) if isinstance(inner, FastCell) else ()

    def _mixed(
        self, p_BG: Tensor, state: State, noise: Any, seen_BH: Tensor | None
    ) -> tuple[Tensor, State]:
        """Take one step by itself; rows may have made unequal numbers of steps."""
        inner, (memory_BLH, clock_B1) = self._parts(state)
        if self.truncates:
            if operators_are_watched(p_BG):
                raise Unsupported(f"its derivative is not that of its values ({TRICK})")
            self.made += 1
            cut_B = ((clock_B1 > 0) & (clock_B1 % self.k_trunc == 0))[:, 0]
            inner = pytree.tree_map(partial(cut_rows, cut_B), inner)
            seen_BH = None if seen_BH is None else cut_rows(cut_B, seen_BH)
        h_BH, new = self.provisional(p_BG, inner, noise[1], seen_BH)
        place_L = torch.arange(self.memories, device=clock_B1.device)
        there_BL = place_L >= self.memories - clock_B1 // self.k_att
        s_BH = self.reminded(h_BH, memory_BLH, self.map_memory(memory_BLH), there_BL)
        h_BH, clock_B1 = h_BH + s_BH, clock_B1 + 1
        due_B11 = (clock_B1 % self.k_att == 0)[..., None]
        longer_BLH = torch.cat([memory_BLH[:, 1:], h_BH[:, None]], 1)
        memory_BLH = torch.where(due_B11, longer_BLH, memory_BLH)
        return self.said(h_BH, s_BH), (h_BH, memory_BLH, clock_B1, *new[1:])


def sparse(a_BM: Tensor, k_top: int, there_BM: Tensor | None = None) -> Tensor:
    """Return ã_i / Σ_j ã_j with ã = ReLU(a - the (k_top + 1)-th highest).

    Of up to k_top memories it is a itself.

    Args:
        there_BM: where there is a memory at all; the weight is 0 elsewhere. None: everywhere.
    """
    there_BM = torch.ones_like(a_BM, dtype=torch.bool) if there_BM is None else there_BM
    bare_BM = torch.where(there_BM, a_BM, 0.0)
    if a_BM.shape[1] <= k_top:
        return bare_BM
    a_BM = a_BM.masked_fill(~there_BM, torch.finfo(a_BM.dtype).min)
    more_B1 = there_BM.sum(-1, keepdim=True) > k_top
    limit_B1 = torch.where(more_B1, a_BM.topk(k_top + 1, -1).values[:, -1:], 0.0)
    over_BM = torch.relu(a_BM - limit_B1)
    sum_B1 = over_BM.sum(-1, keepdim=True)
    w_BM = over_BM / torch.where(sum_B1 > 0, sum_B1, 1.0)  # where all are equal none is chosen
    return torch.where(more_B1, w_BM, bare_BM)


def cut_rows(cut_B: Tensor, s: Tensor) -> Tensor:
    """Return a tensor of which some rows are cut off from the graph."""
    return torch.where(cut_B.view(-1, *[1] * (s.dim() - 1)), s.detach(), s)


def steps_done(clock_B1: Tensor) -> int | None:
    """Return how many steps all rows have made; None where unequal, or where it can't be read."""
    if clock_B1.is_meta or torch._C._functorch.peek_interpreter_stack() is not None:
        return None
    first, last = clock_B1.aminmax()
    return int(first) if bool(first == last) else None


@contextlib.contextmanager
def truncating(model: nn.Module) -> Iterator[list[RemindedCell]]:
    """Stop gradients every k_trunc steps while the context lasts."""
    cells = [m for m in model.modules() if isinstance(m, RemindedCell)]
    try:
        for cell in cells:
            cell.truncates, cell.made = True, 0
        yield cells
    finally:
        for cell in cells:
            cell.truncates = False
