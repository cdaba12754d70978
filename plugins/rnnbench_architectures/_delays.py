"""Cells that read hidden states of several steps ago."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnbench.contract import Cell, Layout, Refusal, State


class DelayCell(Cell):
    """A cell h_t = recur(p_t, (h_{t-d} for each delay d)), where h before the first step is 0.

    Write `recur`, and `project` where part of the work depends on the input alone. The state is
    (h_{t-1}, the hidden states before it, oldest first: (B, longest delay - 1, H)).

    Args:
        hidden: H, width of the hidden state and of the output.
        delays: rising, the first of them 1.
    """

    apart = (1,)

    def __init__(self, hidden: int, delays: Sequence[int]):
        super().__init__()
        if list(delays) != sorted(set(delays)) or delays[0] != 1:
            raise ValueError(f"delays rise from 1, got {tuple(delays)}")
        self.width, self.delays = hidden, tuple(delays)

    def recur(self, p_BG: Tensor, past: Sequence[Tensor]) -> Tensor:
        """Return h_t.

        Args:
            p_BG: the input of this step, as `project` made it.
            past: h_{t-d} (B, H) for each of `delays`.
        """
        raise NotImplementedError

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        rows, earlier = x_BD.shape[0], self.delays[-1] - 1
        return x_BD.new_zeros(rows, self.width), x_BD.new_zeros(rows, earlier, self.width)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if seen_BH is not None:
            raise Refusal(
                f"{type(self).__name__} reads hidden states of {len(self.delays)} delays, so a "
                "trick cannot change what its recurrent product reads by changing one of them.\n"
                "  Drop the trick, or choose a cell that reads h_{t-1} only."
            )
        h_BH, earlier_BLH = state
        line_BLH = torch.cat([earlier_BLH, h_BH[:, None]], 1)
        longest = line_BLH.shape[1]
        h_BH = self.recur(p_BG, [line_BLH[:, longest - d] for d in self.delays])
        return h_BH, (h_BH, line_BLH[:, 1:])

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        """Scan with the past as a list, so that nothing is copied from step to step."""
        state = self.initial(x_BTD[:, 0]) if state is None else state
        h_BH, earlier_BLH = state
        line = [*earlier_BLH.unbind(1), h_BH]
        for p_BG in self.project(x_BTD, state).unbind(1):
            line.append(self.recur(p_BG, [line[-d] for d in self.delays]))
        longest = self.delays[-1]
        y_BTH = torch.stack(line[longest:], 1)
        whole_BLH = torch.cat([earlier_BLH, h_BH[:, None], y_BTH], 1)
        return y_BTH, (y_BTH[:, -1], whole_BLH[:, -longest:-1])
