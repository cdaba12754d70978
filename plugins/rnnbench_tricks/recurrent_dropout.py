"""Dropout of what a gated cell is about to write."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Cell, Refusal, State, Trick, setting
from rnnbench.nn import GatedCell
from rnnbench.nn.cells.gate_names import gates
from rnnbench.nn.cells.gate_wrappers import GateWrapper, wrap_gates
from rnnbench.nn.estimators.observe_cells import sums_its_products


class RecurrentDropoutCell(GateWrapper):
    """A cell wrapper that drops a gated cell's candidate.

    Training: the candidate is tanh of what both products give it, so that it is 0 where both are.
    Evaluation: every tensor of the state is a straight line in a GRU's candidate g, so that the
    state at (1 - p) g lies between those at 0 and at g. In an LSTM h is not, but g is tanh of a
    sum, so that (1 - p) g is the tanh of another sum.

    Args:
        rows: those of the candidate in the linear maps.
        how: see `form_of`.
    """

    def __init__(self, inner: Cell, rate: float, rows: slice, how: Literal["line", "sum"]):
        super().__init__(inner)
        self.rate, self.begin, self.end, self.how = rate, rows.start, rows.stop, how

    def noise(self, steps: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Draw which candidates are written, (T, B, H)."""
        if not self.training:
            return ()
        h_BH, width = state[0], self.end - self.begin
        drawn = torch.rand(steps, h_BH.shape[0], width, dtype=h_BH.dtype, device=h_BH.device)
        return (drawn >= self.rate,)

    def settle(self, p_BG: Tensor, q_BG: Tensor, state: State, noise: Any) -> tuple[Tensor, State]:
        (drawn, below) = noise
        p_BH, q_BH = p_BG[:, self.begin : self.end], q_BG[:, self.begin : self.end]
        zero_BH = torch.zeros_like(p_BH)
        if self.training:
            (kept,) = drawn
            p_BG = self.put(p_BG, torch.where(kept, p_BH, zero_BH))
            q_BG = self.put(q_BG, torch.where(kept, q_BH, zero_BH))
            return self.inside(p_BG, q_BG, state, below)
        if self.how == "sum":
            g_BH = (1 - self.rate) * torch.tanh(p_BH + q_BH)
            whole_BH = 0.5 * (torch.log1p(g_BH) - torch.log1p(-g_BH))  # artanh
            p_BG, q_BG = self.put(p_BG, whole_BH), self.put(q_BG, zero_BH)
            return self.inside(p_BG, q_BG, state, below)
        _, full = self.inside(p_BG, q_BG, state, below)
        p_BG, q_BG = self.put(p_BG, zero_BH), self.put(q_BG, zero_BH)
        _, none = self.inside(p_BG, q_BG, state, below)
        pairs = zip(full, none, strict=True)
        new = tuple(n + (1 - self.rate) * (f - n) for f, n in pairs)
        return new[0], new

    def put(self, gates_BG: Tensor, candidate_BH: Tensor) -> Tensor:
        """Return the pre-activations with others for the candidate."""
        return torch.cat([gates_BG[:, : self.begin], candidate_BH, gates_BG[:, self.end :]], 1)


def form_of(cell: GatedCell, rows: slice) -> Literal["line", "sum"] | None:
    """Return how the candidate enters the new state, found by trying numbers.

    With g the tanh of the candidate's pre-activation: "line" where every tensor of the state is
    a + b g; "sum" where all but the first are, and both products act through their sum; None
    where neither holds, so that the dropped cell has no mean at evaluation.
    """
    random = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=random, device="cpu")

    tried = copy.deepcopy(cell).to_empty(device="cpu").double()
    with torch.no_grad():
        for p in (*tried.parameters(), *tried.buffers()):
            p.copy_(normal(*p.shape))
        p_1G, q_1G = normal(1, cell.weight_h.shape[0]), normal(1, cell.weight_h.shape[0])
        state = tuple(normal(1, cell.hidden) for _ in range(cell.states))

        def at(a: float) -> list[Tensor]:
            with_candidate, none = p_1G.clone(), q_1G.clone()
            with_candidate[:, rows], none[:, rows] = a, 0.0
            return list(tried.update(with_candidate, none, state))

        none, one, other = at(0.0), at(0.3), at(-1.2)
        t, u = torch.tanh(torch.tensor([0.3, -1.2], dtype=torch.float64, device="cpu"))
        straight = [
            torch.allclose((b - a) * u, (c - a) * t, rtol=1e-9, atol=1e-12)
            for a, b, c in zip(none, one, other, strict=True)
        ]
        if all(straight):
            return "line"
        if len(straight) > 1 and all(straight[1:]) and sums_its_products(tried):
            return "sum"
    return None


@dataclass(frozen=True)
class RecurrentDropout(Trick):
    """Drops what a gated cell is about to write into its memory, and nothing that it remembers.

    LSTM: c_t = f_t ⊙ c_{t-1} + i_t ⊙ d(g_t);   GRU: h_t = (1 - z_t) ⊙ d(n_t) + z_t ⊙ h_{t-1}

    d(v) = m ⊙ v with m ~ Bernoulli(1 - rate) for every unit, row and time step in training, and
    (1 - rate) v at evaluation, both exactly. It stands next to the update: whatever other tricks
    do to the pre-activations comes before it.

    Null value: rate = 0.

    Source: Semeniuta, Severyn & Barth (2016), arXiv:1603.05118, section 3; z as in torch's GRU.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"rate": 0.0}

    rate: float = setting(
        0.25, "dropped share of candidates", low=0.0, high=0.95, search=(0.0, 0.6)
    )

    def sites(self) -> tuple[str, ...]:
        return () if self.rate == 0 else super().sites()

    def cell(self, cell: Cell) -> Cell:
        return wrap_gates(cell, self.around, self.name, first=True)

    def around(self, inner: Cell) -> GateWrapper:
        assert isinstance(inner, GatedCell)
        named = [g for g in gates(inner, self.name) if g.name == "candidate"]
        form = form_of(inner, named[0].rows) if len(named) == 1 else None
        if form is None:
            lacks = "writes it in another way" if named else "has none by that name"
            raise Refusal(
                f"{self.name} drops the candidate that a cell writes into its memory; "
                f"{type(inner).__name__} {lacks}.\n"
                f"  Drop {self.name}, or choose another cell, such as lstm or gru."
            )
        return RecurrentDropoutCell(inner, self.rate, named[0].rows, form)
