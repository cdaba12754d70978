"""Architectures with one fault each in purity, gradients or their cells.

They obey the other laws as far as the fault lets them.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from laws.broken.built import architecture
from rnnbench.nn import FusedCell
from rnnbench.testing.fixtures.small_architectures import RunningMean, ScannedCell, WholeCell

# ----------------------------------------------------------------------------- purity, gradients


class Stateful(RunningMean):
    """Goes on from what it read last, whatever state it is given."""

    def forward(self, x_BTD, state=None, layout=None):
        y, self.kept = super().forward(x_BTD, self.kept if state is not None else None)
        return y, self.kept


class WritesIntoTheState(RunningMean):
    def forward(self, x_BTD, state=None, layout=None):
        y, new = super().forward(x_BTD, state)
        if state is not None:
            with torch.no_grad():
                state[0].copy_(new[0])
        return y, new


class LeavesItsMask(ScannedCell):
    """Weight drop that goes on reading the weights that training dropped last."""

    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.dropped = None

    def forward(self, x_BTD, state=None, layout=None):
        if self.training:
            self.dropped = F.dropout(self.weight_x, 0.5)
        weight = self.weight_x if self.dropped is None else self.dropped
        y, state = self.scan(x_BTD, state)
        return y + F.linear(x_BTD, weight), state


class Detached(ScannedCell):
    def advance(self, p_BG, state, seen_BH=None):
        return super().advance(p_BG, tuple(s.detach() for s in state), seen_BH)


class UnusedParameter(ScannedCell):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.peephole = nn.Parameter(torch.zeros(hidden))


class Dead(RunningMean):
    """Its outputs are so small that nothing above it can learn from them."""

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return y * 1e-6, state


# ------------------------------------------------------------------------------------- the cells


class Elman(FusedCell):
    kernel = staticmethod(torch.rnn_tanh)

    def update(self, gates_x, gates_h, state):
        return (torch.tanh(gates_x + gates_h),)


class KeepsACopyOfItsWeights(Elman):
    def forward(self, x_BTD, state=None, layout=None):
        if not hasattr(self, "flat") or self.flat[0].dtype != x_BTD.dtype:
            self.flat = [p.detach().clone() for p in self.parameters()]
        fresh = zip(self.flat, self.parameters(), strict=True)
        w_x, w_h, b_x, b_h = (kept + p - p.detach() for kept, p in fresh)
        state = self.initial(x_BTD[:, 0]) if state is None else state
        h, outputs = state[0], []
        for x_BD in x_BTD.unbind(1):
            h = torch.tanh(F.linear(x_BD, w_x, b_x) + F.linear(h, w_h, b_h))
            outputs.append(h)
        return torch.stack(outputs, 1), (h,)


class FusedWithoutBiasGradient(Elman):
    def forward(self, x_BTD, state=None, layout=None):
        state = self.initial(x_BTD[:, 0]) if state is None else state
        weights = [self.weight_x, self.weight_h, self.bias_x.detach(), self.bias_h]
        y, h = torch.rnn_tanh(x_BTD, state[0][None], weights, True, 1, 0.0, self.training, False,
                              True)  # fmt: skip
        return y, (h[0],)


class FusedCutsTheState(Elman):
    def forward(self, x_BTD, state=None, layout=None):
        return super().forward(x_BTD, None if state is None else (state[0].detach(),))


class FusedInTrainingOnly(Elman):
    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return (y * 1.01 if self.training else y), state


class StepsInPlace(WholeCell):
    def step(self, x_BD, state):
        h, c = state
        new = torch.tanh(self.mix(torch.cat([x_BD, h], -1)))
        h = h.clone()
        c.mul_(torch.sigmoid(self.leak)).add_(new)
        return h + c, (h + c, c.clone())

    def initial(self, x_BD):
        zero = x_BD.new_zeros(x_BD.shape[0], self.width)
        return zero, zero.clone()


class CountsItsSteps(WholeCell):
    count = 0

    def step(self, x_BD, state):
        self.count += 1
        h, state = super().step(x_BD, state)
        return h / self.count, state


class ReadsValues(WholeCell):
    def step(self, x_BD, state):
        y, state = super().step(x_BD, state)
        return (y if x_BD.abs().max().item() < 1e3 else y.clamp(-1, 1)), state


class IgnoresTheMask(ScannedCell):
    """Says that a trick may change what its product reads, and reads the same."""

    def advance(self, p_BG, state, seen_BH=None):
        return super().advance(p_BG, state)


class MasksTooMuch(ScannedCell):
    def advance(self, p_BG, state, seen_BH=None):
        if seen_BH is None:
            return super().advance(p_BG, state)
        y, _ = super().advance(p_BG, state, seen_BH)
        return y * 0.9, (y * 0.9,)


class ClampsItsWeights(WholeCell):
    def step(self, x_BD, state):
        self.mix.weight.data.clamp_(-0.2, 0.2)
        return super().step(x_BD, state)


class SharesItsWeights(RunningMean):
    """All instances read the weights of the first."""

    kept: ClassVar[dict] = {}

    def forward(self, x_BTD, state=None, layout=None):
        weight = self.kept.setdefault(x_BTD.dtype, self.now.weight.detach().clone())
        y, state = super().forward(x_BTD, state)
        return x_BTD @ weight.T.to(x_BTD.device) + 0 * y, state


BROKEN = [
    ("chunks", architecture(Stateful), "7 steps cut after"),
    ("forward_is_pure", architecture(Stateful), "after another input"),
    ("forward_is_pure", architecture(WritesIntoTheState), "in place"),
    ("forward_is_pure", architecture(LeavesItsMask), "after a pass in training mode"),
    ("forward_is_pure", architecture(ClampsItsWeights), "changes parameters or buffers"),
    ("forward_is_pure", architecture(SharesItsWeights), "with other weights gives the same"),
    ("seen_state_is_read", architecture(IgnoresTheMask), "ignores seen_BH"),
    ("seen_state_is_read", architecture(MasksTooMuch), "is the hidden state itself"),
    ("gradients_flow_back", architecture(Detached), "gets no gradient"),
    ("fused_equals_scan", architecture(KeepsACopyOfItsWeights), "after its weights were updated"),
    ("fused_equals_scan", architecture(FusedWithoutBiasGradient), "gradient of bias_x"),
    ("fused_equals_scan", architecture(FusedCutsTheState), "gradient of start state 0"),
    ("fused_equals_scan", architecture(FusedInTrainingOnly), "y of forward and scan differ"),
    ("step_is_pure", architecture(StepsInPlace), "in place"),
    ("step_is_pure", architecture(CountsItsSteps), "second time"),
    ("torch_func", architecture(ReadsValues), "vmap"),
    ("gradients_reach_every_parameter", architecture(UnusedParameter), "peephole has no gradient"),
    ("overfits_one_batch", architecture(Dead), "expected less than 30%"),
]
