"""SegRNN: a GRU over segments of a series, and the horizon decoded segment by segment at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Refusal, Task, setting
from rnnbench.nn.direct_forecast import AtOnce


class SegRNNModel(AtOnce):
    """The model of `SegRNN`.

    W counts the steps of a segment, N those read, M those forecast.
    """

    def __init__(self, architecture: SegRNN, task: Task):
        a = architecture
        super().__init__(a.name, task)
        self.segment, self.dropout = a.segment, a.dropout
        if a.segment > self.context:
            raise Refusal(
                f"{a.name}: a segment of {a.segment} steps is longer than the window of "
                f"{self.context}.\n  Set architecture.segment lower."
            )
        self.per_value = task.target.outputs // task.target.width
        self.enter = nn.Linear(a.segment, a.hidden)
        self.gru = nn.GRU(a.hidden, a.hidden, batch_first=True)
        half = a.hidden // 2
        self.place = nn.Parameter(torch.randn(-(-self.horizon // a.segment), half))
        self.series = nn.Parameter(torch.randn(len(self.past), a.hidden - half))
        self.leave = nn.Linear(a.hidden, a.segment * self.per_value)

    def ahead(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        x_BVT = x_BTD[..., self.past].transpose(1, 2)
        last_BV1 = x_BVT[..., -1:]
        skipped = self.context % self.segment  # the oldest steps, which fill no segment
        x_RNW = (x_BVT - last_BV1)[..., skipped:].flatten(0, 1).unflatten(1, (-1, self.segment))
        _, h_1RH = self.gru(F.relu(self.enter(x_RNW)))
        m, v, b = len(self.place), len(self.past), len(x_BTD)
        code_VMH = torch.cat([
            self.place.expand(v, -1, -1), self.series[:, None].expand(-1, m, -1)
        ], -1)  # fmt: skip
        code_KH = code_VMH.repeat(b, 1, 1).flatten(0, 1)[:, None]
        h_1KH = h_1RH.repeat_interleave(m, 1)  # each segment of the horizon begins from the past
        y_KH = self.gru(code_KH, h_1KH)[0][:, 0]
        out_KWP = self.leave(F.dropout(y_KH, self.dropout, self.training))
        out_BVSP = out_KWP.view(b, v, m * self.segment, self.per_value)[:, :, : self.horizon]
        # Of a distribution's parameters the first is where values are expected.
        shift_P = x_BTD.new_zeros(self.per_value)
        shift_P[0] = 1.0
        out_BVSP = out_BVSP + last_BV1[..., None] * shift_P
        return out_BVSP.permute(0, 2, 3, 1).flatten(2), h_1RH[0].view(b, -1)


@dataclass(frozen=True)
class SegRNN(Architecture):
    """Segment recurrent network: few steps of recurrence over long windows.

    x' = x - x_L        the last value is taken off, and added at the end
    z_j = ReLU(W_e x'_{segment j} + b_e),  h = GRU(z_1 … z_N)
    y_i = GRU([rp_i; cp_v], h),  i = 1 … horizon / segment   all from the same h, at once
    ŷ_{segment i} = W_p dropout(y_i) + b_p + x_L

    rp is a code of the place in the horizon, cp one of the series, each half as wide as h (cp the
    wider where h is odd); both GRUs are one. All series share the weights. It reads the past of
    what is forecast, and no other column. Of a window that segments do not fill the oldest steps
    are left out; a last segment is cut at the horizon. The authors train on the absolute error;
    here the task says what is minimised.

    Source: Lin et al. (2023), arXiv:2308.11200, section 3.
    """

    name: ClassVar[str] = "segrnn"
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "segment": 1}

    hidden: int = setting(128, "recurrent units", unit="units", low=2, search=(32, 512, "log"))
    segment: int = setting(24, "steps of a segment", unit="steps", low=1)
    dropout: float = setting(0.0, "before the readout", low=0.0, high=0.95)

    def model(self, task: Task) -> nn.Module:
        return SegRNNModel(self, task)
