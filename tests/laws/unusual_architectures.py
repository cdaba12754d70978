"""Architectures that are right and unlike the shipped ones: no law may be broken by them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Kind, Refusal, Result, setting
from rnnbench.nn import valid
from rnnbench.nn.models.base import Embed, Model
from rnnbench.testing.fixtures.small_architectures import RunningMean, WholeCell


class Packed(Backbone):
    """torch's bidirectional GRU over packed sequences."""

    def __init__(self, d_in, hidden):
        super().__init__()
        self.width = 2 * hidden
        self.rnn = nn.GRU(d_in, hidden, batch_first=True, bidirectional=True)

    def forward(self, x_BTD, state=None, layout=None):
        if layout is None or layout.len_B is None:
            return self.rnn(x_BTD)[0], None
        packed = nn.utils.rnn.pack_padded_sequence(
            x_BTD, layout.len_B.cpu(), batch_first=True, enforce_sorted=False
        )
        y, _ = nn.utils.rnn.pad_packed_sequence(
            self.rnn(packed)[0], batch_first=True, total_length=x_BTD.shape[1]
        )
        return y, None


@dataclass(frozen=True)
class BothWays(Architecture):
    """Reads in both directions.

    Source: Schuster & Paliwal (1997), Bidirectional recurrent neural networks.
    """

    hidden: int = setting(6, "units of a direction", low=1)

    def build(self, d_in, *, causal):
        if causal:
            raise Refusal("both-ways looks ahead.\n  Choose a task that allows it.")
        return Packed(d_in, self.hidden)


class Convolution(Backbone):
    """A causal convolution; the state is the last inputs and a count of steps as a number."""

    def __init__(self, d_in, hidden, kernel, dropout):
        super().__init__()
        self.width, self.past, self.dropout = hidden, kernel - 1, dropout
        self.conv = nn.Conv1d(d_in, hidden, kernel)
        self.residual = nn.Linear(d_in, hidden)
        self.gate = nn.Parameter(torch.zeros(()))  # closed at first, as in ReZero

    def forward(self, x_BTD, state=None, layout=None):
        if state is None:
            state = x_BTD.new_zeros(len(x_BTD), self.past, x_BTD.shape[2]), 0
        before_BKD, steps = state
        seen = torch.cat([before_BKD, x_BTD], 1)
        y = torch.tanh(self.conv(seen.transpose(1, 2)).transpose(1, 2))
        y = self.residual(x_BTD) + self.gate * F.dropout(y, self.dropout, self.training)
        return y, (seen[:, seen.shape[1] - self.past :], steps + x_BTD.shape[1])


@dataclass(frozen=True)
class Convolved(Architecture):
    """A causal convolution on a residual branch that starts closed.

    Source: Bai, Kolter & Koltun (2018), arXiv:1803.01271; Bachlechner et al. (2020),
    arXiv:2003.04887.
    """

    hidden: int = setting(6, "channels", low=1)
    kernel: int = setting(4, "steps that each step sees", unit="steps", low=2)
    dropout: float = setting(0.1, "on the branch", low=0.0, high=0.9)

    def build(self, d_in, *, causal):
        return Convolution(d_in, self.hidden, self.kernel, self.dropout)


class SkippingCell(WholeCell):
    """Each unit is updated or copied by a hard gate, through which the gradient goes straight."""

    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.chance = nn.Linear(d_in, hidden)

    def step(self, x_BD, state):
        h, c = state
        fresh = torch.tanh(self.mix(torch.cat([x_BD, h], -1)))
        soft = torch.sigmoid(self.chance(x_BD) + self.leak)
        hard = (soft > 0.5).to(soft.dtype) + soft - soft.detach()
        h = hard * fresh + (1 - hard) * h
        return h, (h, c + 0 * h)


@dataclass(frozen=True)
class Skipping(Architecture):
    """Updates or copies each unit.

    Source: Campos et al. (2018), arXiv:1708.06834.
    """

    hidden: int = setting(8, "units", low=1)

    def build(self, d_in, *, causal):
        return SkippingCell(d_in, self.hidden)


class Spectral(Backbone):
    """A long convolution through the Fourier transform, whose state is all that was read."""

    def __init__(self, d_in, hidden):
        super().__init__()
        self.width = hidden
        self.enter = nn.Linear(d_in, hidden)
        self.decay = nn.Parameter(torch.rand(hidden))
        self.mix = nn.Linear(hidden, hidden)

    def forward(self, x_BTD, state=None, layout=None):
        new = self.enter(x_BTD)
        u = new if state is None else torch.cat([state[0], new], 1)
        n, steps = u.shape[1], x_BTD.shape[1]
        kernel = (
            torch.sigmoid(self.decay) ** torch.arange(n, device=u.device, dtype=u.dtype)[:, None]
        )
        spectrum = torch.fft.rfft(u, 2 * n, 1) * torch.fft.rfft(kernel, 2 * n, 0)
        y = torch.fft.irfft(spectrum, 2 * n, 1)[:, n - steps : n]
        return torch.tanh(self.mix(y)) + y, (u,)


@dataclass(frozen=True)
class LongConvolution(Architecture):
    """A convolution with a decaying kernel.

    Source: Poli et al. (2023), arXiv:2302.10866.
    """

    hidden: int = setting(6, "channels", low=1)

    def build(self, d_in, *, causal):
        return Spectral(d_in, self.hidden)


class BatchedMean(Model):
    """Classifies by the mean of the embeddings of a row."""

    def __init__(self, hidden, task):
        super().__init__(task.target)
        self.embed = Embed(task.source, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.readout = self.readout_for(hidden)

    def forward(self, batch, state=None, feed=None):
        e = torch.tanh(self.mix(self.embed(batch.x)))
        mask = valid(batch.x_len, e, e.shape[1])[..., None].to(e.dtype)
        hidden = (e * mask).sum(1) / mask.sum(1)
        return Result(self.readout(hidden), hidden, None)


@dataclass(frozen=True)
class Bag(Architecture):
    """A bag of embeddings, which builds no backbone.

    Source: Joulin et al. (2016), arXiv:1607.01759.
    """

    hidden: int = setting(8, "units", low=1)

    def model(self, task):
        if task.kind is not Kind.SEQ_TO_VEC:
            raise Refusal("bag gives one vector.\n  Choose a sequence-to-vector task.")
        return BatchedMean(self.hidden, task)


class TreeSum(Backbone):
    """Sums children bottom-up; children stand before their parents."""

    def __init__(self, d_in, hidden):
        super().__init__()
        self.width = hidden
        self.enter, self.up = nn.Linear(d_in, hidden), nn.Linear(hidden, hidden, bias=False)

    def forward(self, x_BTD, state=None, layout=None):
        if layout is None or layout.parent_BT is None:
            raise ValueError("a tree is needed")
        e, parents = self.enter(x_BTD), layout.parent_BT
        total, outputs = torch.zeros_like(e), []
        for t in range(e.shape[1]):
            h = torch.tanh(e[:, t] + self.up(total[:, t]))
            here = torch.arange(e.shape[1], device=e.device) == parents[:, t : t + 1]
            total = total + here[..., None].to(e.dtype) * h[:, None]
            outputs.append(h)
        return torch.stack(outputs, 1), None


@dataclass(frozen=True)
class Recursive(Architecture):
    """A recursive network over trees, which reads nothing else.

    Source: Socher et al. (2013), Recursive deep models for semantic compositionality.
    """

    layouts = ("tree",)

    hidden: int = setting(6, "units", low=1)

    def build(self, d_in, *, causal):
        return TreeSum(d_in, self.hidden)


class LastOfGrid(RunningMean):
    """Reads rows of a grid as steps, then columns."""

    def forward(self, x_BTD, state=None, layout=None):
        if len(layout.grid) != 2:
            raise Refusal("by-columns reads grids of two dimensions.\n  Choose another task.")
        down, across = layout.grid
        grid = x_BTD.unflatten(1, (down, across))
        y, _ = super().forward(grid.transpose(1, 2).flatten(1, 2))
        return y.unflatten(1, (across, down)).transpose(1, 2).flatten(1, 2), None


@dataclass(frozen=True)
class ByColumns(Architecture):
    """Reads a grid by columns.

    Source: Graves, Fernández & Schmidhuber (2007), arXiv:0705.2011, for the setting.
    """

    layouts = ("grid",)
    pool = "mean"

    hidden: int = setting(6, "units", low=1)

    def build(self, d_in, *, causal):
        return LastOfGrid(d_in, self.hidden)


class Reservoir(Backbone):
    """A recurrent net whose weights are drawn once, and never learn."""

    def __init__(self, d_in, hidden, as_parameters):
        super().__init__()
        self.width = hidden
        recurrent = torch.randn(hidden, hidden)
        recurrent *= 0.9 / torch.linalg.eigvals(recurrent).abs().max()
        for name, value in (("w_x", torch.rand(hidden, d_in) * 2 - 1), ("w_h", recurrent)):
            if as_parameters:
                self.register_parameter(name, nn.Parameter(value, requires_grad=False))
            else:
                self.register_buffer(name, value)

    def forward(self, x_BTD, state=None, layout=None):
        h = x_BTD.new_zeros(x_BTD.shape[0], self.width) if state is None else state
        hidden = []
        for x in x_BTD.unbind(1):
            h = torch.tanh(x @ self.w_x.T + h @ self.w_h.T)
            hidden.append(h)
        return torch.stack(hidden, 1), h


@dataclass(frozen=True)
class EchoState(Architecture):
    """A reservoir, of which the readout alone learns.

    Source: Jaeger (2001), The echo state approach to analysing and training recurrent networks.
    """

    hidden: int = setting(6, "units", low=2)
    as_parameters: bool = setting(False, "frozen parameters instead of buffers")

    def build(self, d_in, *, causal):
        return Reservoir(d_in, self.hidden, self.as_parameters)


UNUSUAL = [
    BothWays(), Convolved(), Skipping(), LongConvolution(), Bag(), Recursive(), ByColumns(),
    EchoState(), EchoState(hidden=2), EchoState(as_parameters=True),
]  # fmt: skip
