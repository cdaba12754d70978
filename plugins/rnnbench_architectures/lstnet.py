"""LSTNet: convolution, recurrence, recurrence over a period, and an autoregressive highway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Refusal, Task, setting
from rnnbench.nn import GatedCell
from rnnbench.nn.direct_forecast import AtOnce


class ReluGRUCell(GatedCell):
    """A GRU whose candidate goes through ReLU; the gates are stacked in the order r, u, c."""

    def __init__(self, d_in: int, hidden: int):
        super().__init__(d_in, hidden, gates=3)

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        rx, ux, cx = gates_x.chunk(3, -1)
        rh, uh, ch = gates_h.chunk(3, -1)
        u = torch.sigmoid(ux + uh)
        c = torch.relu(cx + torch.sigmoid(rx + rh) * ch)
        return ((1 - u) * state[0] + u * c,)


class LSTNetModel(AtOnce):
    """The model of `LSTNet`. C counts the convolution's filters."""

    def __init__(self, architecture: LSTNet, task: Task):
        a = architecture
        super().__init__(a.name, task)
        needs = {"period": a.period + a.kernel - 1, "autoregressive": a.autoregressive}
        for what, need in needs.items():
            if need > self.context:
                raise Refusal(
                    f"{a.name}: {what} = {getattr(a, what)} needs a window of {need} steps; "
                    f"{task.name} has {self.context}.\n  Set architecture.{what} lower."
                )
        self.kind, self.period, self.ar = a.temporal, a.period, a.autoregressive
        self.kernel, self.dropout = a.kernel, a.dropout
        self.convolution = nn.Conv1d(task.source.width, a.filters, a.kernel)
        self.recurrent = ReluGRUCell(a.filters, a.hidden)
        joined = a.hidden
        if self.kind == "skip":
            self.skip = ReluGRUCell(a.filters, a.skip_hidden)
            joined += a.period * a.skip_hidden
        else:
            joined += a.hidden
        self.readout = nn.Linear(joined, self.horizon * task.target.outputs)
        self.highway = nn.Linear(self.ar, self.horizon) if self.ar else None

    def ahead(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        c_BCT = F.relu(self.convolution(x_BTD.transpose(1, 2)))
        c_BTC = self.drop(c_BCT).transpose(1, 2)
        h_BTH, _ = self.recurrent(c_BTC)
        last_BH = self.drop(h_BTH[:, -1])
        second = self.periodic(c_BTC) if self.kind == "skip" else attended(h_BTH)
        hidden_BJ = torch.cat([last_BH, self.drop(second)], -1)
        out_BSV = self.readout(hidden_BJ).unflatten(-1, (self.horizon, -1))
        if self.highway is not None:
            past_BVQ = x_BTD[:, -self.ar :, self.past].transpose(1, 2)
            ahead_BSV = self.highway(past_BVQ).transpose(1, 2)
            # Of a distribution's parameters the first block is where values are expected.
            out_BSV = out_BSV + F.pad(ahead_BSV, (0, out_BSV.shape[-1] - ahead_BSV.shape[-1]))
        return out_BSV, hidden_BJ

    def periodic(self, c_BTC: Tensor) -> Tensor:
        """Return the last hidden states of a recurrence from each step to `period` steps later.

        There is one for each of the last `period` steps, side by side.
        """
        laps, p = c_BTC.shape[1] // self.period, self.period
        x = c_BTC[:, c_BTC.shape[1] - laps * p :].unflatten(1, (laps, p)).transpose(1, 2)
        h, _ = self.skip(x.flatten(0, 1))
        return h[:, -1].unflatten(0, (-1, p)).flatten(1)

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


def attended(h_BTH: Tensor) -> Tensor:
    """Return what the last hidden state finds among the earlier ones, by dot product."""
    before_BTH, last_BH1 = h_BTH[:, :-1], h_BTH[:, -1, :, None]
    a_BT1 = (before_BTH @ last_BH1).softmax(1)
    return (a_BT1 * before_BTH).sum(1)


@dataclass(frozen=True)
class LSTNet(Architecture):
    """Long- and short-term time-series network.

    c = ReLU(W * X + b)                       convolution over time and all series
    r = σ(W_r c_t + U_r h_{t-1} + b_r),  u = σ(W_u c_t + U_u h_{t-1} + b_u)
    h_t = (1 - u) ⊙ h_{t-1} + u ⊙ ReLU(W_c c_t + r ⊙ (U_c h_{t-1}) + b_c)
    temporal=skip       the same recurrence from h_{t-p} instead of h_{t-1}, p the period
    temporal=attention  a = softmax(h_Tᵀ h_j), c_T = Σ_j a_j h_j over earlier j
    ŷ = W^R h_T + Σ_{i<p} W_i^S h^S_{T-i} + b  +  Σ_{k<q} w_k y_{T-k} + b^ar

    The last sum is the autoregressive highway, whose weights all series share; here each step of
    the horizon has its own, and all steps are forecast at once (the paper trains one network for
    each horizon). The window is not padded for the convolution.

    Source: Lai et al. (2018), arXiv:1703.07015, section 3.
    """

    name: ClassVar[str] = "lstnet"
    tiny: ClassVar[Mapping[str, Any]] = {
        "hidden": 5, "filters": 4, "kernel": 2, "period": 2, "skip_hidden": 2, "autoregressive": 3,
    }  # fmt: skip

    hidden: int = setting(100, "recurrent units", unit="units", low=1, search=(25, 200, "log"))
    filters: int = setting(100, "of the convolution", unit="units", low=1, search=(25, 200, "log"))
    kernel: int = setting(6, "steps that a filter sees", unit="steps", low=1)
    temporal: Literal["skip", "attention"] = setting("skip", "what sees a period back")
    period: int = setting(4, "steps that the skip recurrence leaps", unit="steps", low=1)
    skip_hidden: int = setting(5, "units of the skip recurrence", unit="units", low=1)
    autoregressive: int = setting(7, "last values in the highway; 0: none", unit="steps", low=0)
    dropout: float = setting(0.0, "after convolution and recurrence", low=0.0, high=0.95)

    @property
    def input_width(self) -> int:
        return self.filters

    def model(self, task: Task) -> nn.Module:
        return LSTNetModel(self, task)
