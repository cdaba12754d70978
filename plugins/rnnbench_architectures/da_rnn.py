"""Dual-stage attention: over the driving series, then over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Batch, Cell, Kind, Refusal, State, Task, setting
from rnnbench.nn import Decoder, named_cell


class Progress(NamedTuple):
    """The decoder's state."""

    cell: State
    memory_BTH: Tensor
    keys_BTH: Tensor  # U_d h_i
    context_BH: Tensor  # c of the last step
    looked_BT: Tensor


class DualStage(Decoder):
    """The model of `DaRNN`. K counts the driving series."""

    def __init__(self, architecture: DaRNN, task: Task):
        super().__init__(task.target)
        owner, hidden = architecture.name, architecture.hidden
        self.past = list(task.past)
        if task.kind is not Kind.UNALIGNED or not self.past or task.source.longest is None:
            raise Refusal(
                f"{owner} forecasts a series from its past and from driving series, in windows of "
                f"one length; {task.name} is no such task.\n  Choose a forecasting task."
            )
        self.driving = [k for k in range(task.source.width) if k not in self.past]
        if not self.driving:
            raise Refusal(
                f"{owner} chooses among driving series, and {task.name} has none.\n"
                "  Choose a task with more than one series, or let it read its calendar."
            )
        steps, width = task.source.longest, task.target.width
        self.steps = steps
        self.encoder: Cell = named_cell(architecture.cell, len(self.driving), hidden, owner)
        self.decoder: Cell = named_cell(architecture.cell, width, hidden, owner)
        # The states of a cell with a memory cell, as of an LSTM, are compared together.
        self.enter = nn.Linear(2 * hidden, steps, bias=False)  # W_e
        self.series = nn.Linear(steps, steps, bias=False)  # U_e
        self.series_score = nn.Linear(steps, 1, bias=False)  # v_e
        self.look = nn.Linear(2 * hidden, hidden, bias=False)  # W_d
        self.keys = nn.Linear(hidden, hidden, bias=False)  # U_d
        self.time_score = nn.Linear(hidden, 1, bias=False)  # v_d
        self.join = nn.Linear(width + hidden, width)  # w̃, b̃
        self.mix = nn.Linear(2 * hidden, hidden)  # W_y, b_w
        self.readout = self.readout_for(hidden)  # v_y, b_v

    def begin(self, batch: Batch) -> State:
        """Encode the driving series, and read the target's past up to its last value but one."""
        x_BTD = batch.x
        if x_BTD.shape[1] != self.steps:
            raise ValueError(f"a window of {x_BTD.shape[1]} steps, and one of {self.steps} is read")
        m_BTH = self.encode(x_BTD[:, :, self.driving])
        cell = self.decoder.initial(x_BTD[:, 0, self.past])
        nothing_BH, nothing_BT = torch.zeros_like(m_BTH[:, 0]), torch.zeros_like(m_BTH[:, :, 0])
        state = Progress(cell, m_BTH, self.keys(m_BTH), nothing_BH, nothing_BT)
        state = self.looked(state)
        for y_BV in x_BTD[:, :-1, self.past].unbind(1):
            state = self.advance(y_BV, state)
        return state

    def encode(self, x_BTK: Tensor) -> Tensor:
        """Return the memory (B, T, H); each step weighs the series by what is known so far."""
        of_series_BKT = self.series(x_BTK.transpose(1, 2))
        state, outputs = self.encoder.initial(x_BTK[:, 0]), []
        for x_BK in x_BTK.unbind(1):
            e_BK = self.series_score(
                torch.tanh(self.enter(both(state))[:, None] + of_series_BKT)
            ).squeeze(-1)
            h_BH, state = self.encoder.step(e_BK.softmax(-1) * x_BK, state)
            outputs.append(h_BH)
        return torch.stack(outputs, 1)

    def first(self, batch: Batch) -> Tensor:
        """Return the last value of the target's past."""
        return batch.x[:, -1:, self.past]

    def advance(self, y_BV: Tensor, state: Progress) -> Progress:
        """Step from d_{t-1} and c_{t-1} to d_t and c_t, reading y_{t-1}."""
        joined_BV = self.join(torch.cat([y_BV, state.context_BH], -1))
        _, cell = self.decoder.step(joined_BV, state.cell)
        return self.looked(state)._replace(cell=cell)

    def looked(self, state: Progress) -> Progress:
        """Return c and β as the present state of the decoder asks for them."""
        l_BT1 = self.time_score(torch.tanh(self.look(both(state.cell))[:, None] + state.keys_BTH))
        a_BT = l_BT1.squeeze(-1).softmax(-1)
        c_BH = (a_BT[:, None] @ state.memory_BTH)[:, 0]
        return state._replace(context_BH=c_BH, looked_BT=a_BT)

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        hiddens = []
        for y_BV in y.unbind(1):
            state = self.advance(y_BV, state)
            hiddens.append(self.mix(torch.cat([state.cell[0], state.context_BH], -1)))
        hidden_BSH = torch.stack(hiddens, 1)
        return self.readout(hidden_BSH), hidden_BSH, state

    def attention(self, state: State) -> Tensor | None:
        return state.looked_BT


def both(state: State) -> Tensor:
    """Return [h; s] (B, 2 H); h twice for a cell without a memory cell."""
    return torch.cat([state[0], state[1] if len(state) > 1 else state[0]], -1)


@dataclass(frozen=True)
class DaRNN(Architecture):
    """Dual-stage attention-based recurrent network for forecasting with driving series.

    Encoder, over the driving series x^k, whole windows of T values:
        e_t^k = v_eᵀ tanh(W_e [h_{t-1}; s_{t-1}] + U_e x^k),  α_t = softmax_k(e_t),
        h_t = LSTM(h_{t-1}, α_t ⊙ x_t)
    Decoder, over the target's past and then over its own output:
        ỹ_{t-1} = w̃ᵀ [y_{t-1}; c_{t-1}] + b̃,   d_t = LSTM(d_{t-1}, ỹ_{t-1}),
        l_t^i = v_dᵀ tanh(W_d [d_{t-1}; s'_{t-1}] + U_d h_i),  β_t = softmax_i(l_t),
        c_t = Σ_i β_t^i h_i,   ŷ_t = v_yᵀ (W_y [d_t; c_t] + b_w) + b_v

    The paper forecasts one step; here the decoder goes on from its own forecasts. The driving
    series are all columns but the target's own past.

    Source: Qin et al. (2017), arXiv:1704.02971, eqs. 8-22.
    """

    name: ClassVar[str] = "da-rnn"
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6}

    hidden: int = setting(
        64, "units of encoder and decoder each", unit="units", low=1, search=(16, 256, "log")
    )
    cell: Literal["lstm", "gru", "elman"] = setting("lstm", "cell of both halves")

    def model(self, task: Task) -> nn.Module:
        return DualStage(self, task)
