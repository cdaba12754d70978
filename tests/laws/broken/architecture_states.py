"""Architectures with one fault each in shapes, states, time, rows or padding.

They obey the other laws as far as the fault lets them.
"""

from __future__ import annotations

import torch
from torch import nn

from laws.broken.built import architecture
from rnnbench.contract import Backbone
from rnnbench.nn import valid
from rnnbench.testing.fixtures.small_architectures import RunningMean, ScannedCell, WholeCell

# ------------------------------------------------------------------- shapes, types and the state


class TimeFirst(ScannedCell):
    def forward(self, x_BTD, state=None, layout=None):
        y, state = self.scan(x_BTD, state)
        return y.transpose(0, 1), state


class LayersFirst(RunningMean):
    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state and tuple(s[0] for s in state))
        return y, tuple(s[None] for s in state)


class AlwaysDouble(ScannedCell):
    def forward(self, x_BTD, state=None, layout=None):
        y, state = self.scan(x_BTD, state)
        return y * torch.ones(y.shape[-1], dtype=torch.float64, device=y.device), state


class AlwaysSingle(WholeCell):
    def initial(self, x_BD):
        zero = torch.zeros(x_BD.shape[0], self.width, dtype=torch.float32, device=x_BD.device)
        return zero, zero


class Forgetful(ScannedCell):
    def forward(self, x_BTD, state=None, layout=None):
        return self.scan(x_BTD, None)


class WrongAfterOneStep(RunningMean):
    """Leaves the state before a chunk of one step in place of the one after it."""

    def forward(self, x_BTD, state=None, layout=None):
        y, new = super().forward(x_BTD, state)
        zero = tuple(torch.zeros_like(s) for s in new)
        return y, (state or zero) if x_BTD.shape[1] == 1 else new


class CountsTheLastChunkOnly(RunningMean):
    """Two chunks are right, the third is not: the length so far is that of one chunk."""

    def forward(self, x_BTD, state=None, layout=None):
        y, (total, count) = super().forward(x_BTD, state)
        return y, (
            total,
            torch.full_like(count, x_BTD.shape[1]) if state is None else count * 0 + 1,
        )


class BlocksOf32(RunningMean):
    """Starts afresh in every block of 32 steps."""

    def forward(self, x_BTD, state=None, layout=None):
        outputs = []
        for i, part in enumerate(x_BTD.split(32, 1)):
            y, state = super().forward(part, None if i else state)
            outputs.append(y)
        return torch.cat(outputs, 1), state


class KeepsTheGraph(RunningMean):
    def carry(self, state):
        return state


class CarriesADict(RunningMean):
    def forward(self, x_BTD, state=None, layout=None):
        y, (total, count) = super().forward(x_BTD, state and (state["sum"], state["count"]))
        return y, {"sum": total, "count": count}


class CarriesNothing(RunningMean):
    def carry(self, state):
        return None


# ------------------------------------------------------------------------- time, rows and padding


class Bidirectional(Backbone):
    """Both directions, the second as it stands: neither causal nor careful with padding."""

    def __init__(self, d_in, hidden):
        super().__init__()
        self.width = hidden
        self.there = ScannedCell(d_in, hidden // 2)
        self.back = ScannedCell(d_in, hidden - hidden // 2)

    def forward(self, x_BTD, state=None, layout=None):
        there, state = self.there(x_BTD, state)
        return torch.cat([there, self.back(x_BTD.flip(1))[0].flip(1)], -1), state


class NormedOverTimeInTraining(ScannedCell):
    def forward(self, x_BTD, state=None, layout=None):
        y, state = self.scan(x_BTD, state)
        return (y - y.mean(1, keepdim=True) if self.training else y), state


class BatchNormed(ScannedCell):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.norm = nn.BatchNorm1d(hidden)

    def forward(self, x_BTD, state=None, layout=None):
        y, state = self.scan(x_BTD, state)
        return self.norm(y.transpose(1, 2)).transpose(1, 2), state


class AttendsOverRows(RunningMean):
    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return y * (1 + y.softmax(0)), state


class MixesRowsInTheState(RunningMean):
    def forward(self, x_BTD, state=None, layout=None):
        y, (total, count) = super().forward(x_BTD, state)
        return y, (total - total.mean(0, keepdim=True), count)


class Backwards(Backbone):
    """The mean of a row from each step on. `careful` of a row's length where it is so long."""

    careful = 10**6

    def __init__(self, d_in, hidden):
        super().__init__()
        self.width = hidden
        self.now, self.mean = nn.Linear(d_in, hidden), nn.Linear(d_in, hidden, bias=False)

    def forward(self, x_BTD, state=None, layout=None):
        steps = x_BTD.shape[1]
        mask = valid(None if layout is None else layout.len_B, x_BTD, steps)
        if layout is not None and layout.len_B is not None:
            mask = mask | (layout.len_B < self.careful)[:, None]
        mask_BT1 = mask[..., None].to(x_BTD.dtype)
        total = (x_BTD * mask_BT1).flip(1).cumsum(1).flip(1)
        count = mask_BT1.flip(1).cumsum(1).flip(1).clamp(min=1)
        return torch.tanh(self.now(x_BTD) + self.mean(total / count)), None


class ForgetsRowsOfOne(Backwards):
    careful = 2


class Packed(Backbone):
    sorted_only, total = True, True

    def __init__(self, d_in, hidden):
        super().__init__()
        self.width = 2 * hidden
        self.rnn = nn.GRU(d_in, hidden, batch_first=True, bidirectional=True)

    def forward(self, x_BTD, state=None, layout=None):
        if layout is None or layout.len_B is None:
            return self.rnn(x_BTD)[0], None
        packed = nn.utils.rnn.pack_padded_sequence(
            x_BTD, layout.len_B.cpu(), batch_first=True, enforce_sorted=self.sorted_only
        )
        steps = x_BTD.shape[1] if self.total else None
        y, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], True, total_length=steps)
        return y, None


class CutsPadding(Packed):
    sorted_only, total = False, False


BROKEN = [
    ("output_shapes", architecture(TimeFirst), "y is"),
    ("output_shapes", architecture(LayersFirst), "state tensor of shape"),
    ("output_shapes", architecture(AlwaysDouble), "y is torch.float64"),
    ("output_shapes", architecture(CarriesADict), "a dict"),
    ("chunks", architecture(Forgetful), "cut after 1"),
    ("chunks", architecture(WrongAfterOneStep), "7 steps cut after 1:"),
    ("chunks", architecture(CountsTheLastChunkOnly), "7 steps cut after"),
    ("chunks", architecture(BlocksOf32), "65 steps cut after"),
    ("chunks", architecture(CarriesNothing), "cut after"),
    ("carried_state_is_detached", architecture(KeepsTheGraph), "still has a gradient"),
    ("causality", architecture(Bidirectional), "inputs from step 2 on changed"),
    ("causality", architecture(NormedOverTimeInTraining), "in training"),
    ("rows_are_independent", architecture(AttendsOverRows), "at evaluation"),
    ("rows_are_independent", architecture(MixesRowsInTheState), "final state of row 0"),
    ("padding", architecture(Bidirectional, True), "other padding"),
    ("padding", architecture(ForgetsRowsOfOne, True), "row of 1"),
    ("padding", architecture(Packed, True), "sorted"),
    ("padding", architecture(CutsPadding, True), "gave 3 steps"),
    ("step_is_pure", architecture(AlwaysSingle), "initial gives torch.float32"),
    ("streams_are_read_on", architecture(KeepsTheGraph), "second time"),
    ("streams_are_read_on", architecture(Forgetful), "differ"),
]
SUSPECT = [("rows_keep_apart", architecture(BatchNormed), "in training: ")]
