"""Clockwork recurrent network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Cell, Layout, Refusal, State, setting


class ClockworkCell(Cell):
    """A cell of equal modules, each of which acts at its own period; see `Clockwork`.

    The state is (h (B, H), t (B, 1)), where t counts the steps done, as an integer.

    Args:
        d_in: D, input width.
        hidden: H, divisible by the number of periods.
        periods: of the modules in steps, fastest first.
    """

    apart = (1,)

    def __init__(self, d_in: int, hidden: int, periods: Sequence[int]):
        super().__init__()
        self.width = hidden
        size = hidden // len(periods)
        self.weight_x = nn.Parameter(torch.empty(hidden, d_in))
        # Module i reads the units from its first equal in period to the end. What the triangle
        # forbids has no parameter, so that parameters are counted as the paper counts them.
        self.weight_h = nn.ParameterList(
            torch.empty(size, hidden - size * list(periods).index(period)) for period in periods
        )
        self.bias = nn.Parameter(torch.zeros(hidden))
        for p in (self.weight_x, *self.weight_h):
            nn.init.normal_(p, std=0.1)
        every_H = torch.tensor(periods).repeat_interleave(size)
        self.register_buffer("every_H", every_H, persistent=False)
        self.every_H: Tensor

    def matrix(self) -> Tensor:
        """Return W_h (H, H): block upper triangular, 0 where a module would read a faster one."""
        return torch.cat([F.pad(w, (self.width - w.shape[1], 0)) for w in self.weight_h])

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        rows = x_BD.shape[0]
        return x_BD.new_zeros(rows, self.width), x_BD.new_zeros(rows, 1, dtype=torch.long)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return F.linear(x_BTD, self.weight_x, self.bias)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH, t_B1 = state
        seen_BH = h_BH if seen_BH is None else seen_BH
        fresh_BH = torch.tanh(p_BG + F.linear(seen_BH, self.matrix()))
        h_BH = torch.where(t_B1 % self.every_H == 0, fresh_BH, h_BH)
        return h_BH, (h_BH, t_B1 + 1)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        """Scan with the matrix put together and the clocks read once."""
        h_BH, t_B1 = self.initial(x_BTD[:, 0]) if state is None else state
        steps, matrix_HH, outputs = x_BTD.shape[1], self.matrix().t(), []
        t_BT = t_B1 + torch.arange(steps, device=x_BTD.device)
        acts_BTH = t_BT[..., None] % self.every_H == 0
        p_BTH = F.linear(x_BTD, self.weight_x, self.bias)
        for p_BH, acts_BH in zip(p_BTH.unbind(1), acts_BTH.unbind(1), strict=True):
            fresh_BH = torch.tanh(torch.addmm(p_BH, h_BH, matrix_HH))
            h_BH = torch.where(acts_BH, fresh_BH, h_BH)
            outputs.append(h_BH)
        return torch.stack(outputs, 1), (h_BH, t_B1 + steps)


@dataclass(frozen=True)
class Clockwork(Architecture):
    """Clockwork network: modules that act at periods of their own, where slow ones feed fast ones.

    Module i of g, with H / g units and period T_i, at time t:
    h_t^(i) = tanh(W_x^(i) x_t + Σ_{j: T_j ≥ T_i} W_h^(i,j) h_{t-1}^(j) + b^(i))   if t mod T_i = 0,
    h_t^(i) = h_{t-1}^(i)   otherwise.

    So W_h is block upper triangular when modules are listed from fast to slow, and the blocks
    below do not exist. Time is counted from t = 0, at which all modules act. Weights start from
    N(0, 0.1²) and biases from 0, as in the paper's experiments.

    Source: Koutník, Greff, Gomez & Schmidhuber (2014), arXiv:1402.3511, section 3.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6, "modules": 2}

    hidden: int = setting(256, "units of all modules together", unit="units", low=1,
                          search=(64, 512, "log"))  # fmt: skip
    modules: int = setting(8, "g: modules, which must divide hidden", low=1, high=16)
    periods: tuple[int, ...] = setting(
        (), "period of each module, rising; empty: 1, 2, 4, …", unit="steps", low=1
    )
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.periods and len(self.periods) != self.modules:
            raise Refusal(
                f"{self.name}: {len(self.periods)} periods for {self.modules} modules.\n"
                f"  Set architecture.modules={len(self.periods)}, or give one period for each."
            )
        if list(self.periods) != sorted(self.periods):
            raise Refusal(
                f"{self.name}: the periods {self.periods} do not rise; modules are listed from "
                f"fast to slow, since slow ones feed fast ones.\n"
                f"  Set architecture.periods={','.join(map(str, sorted(self.periods)))}"
            )
        if self.hidden % self.modules:
            raise Refusal(
                f"{self.name}: {self.hidden} units cannot be shared by {self.modules} modules of "
                f"equal size.\n  Set architecture.hidden to a multiple of "
                f"{self.modules}, or change architecture.modules."
            )

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        periods = self.periods or tuple(2**i for i in range(self.modules))
        return ClockworkCell(d_in, self.hidden, periods)
