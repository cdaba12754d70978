"""Architectures with one fault each. They obey the other laws as far as the fault lets them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Kind, Refusal, Result, setting
from rnnbench.nn import FusedCell, Stack, valid
from rnnbench.nn.models.base import Embed, Model
from rnnbench.testing.fixtures.small_architectures import RunningMean, ScannedCell, WholeCell


@dataclass(frozen=True)
class Made(Architecture):
    """Builds one backbone of a class that takes (d_in, hidden).

    Source: made up.
    """

    backbone: ClassVar[type[Backbone]] = ScannedCell
    looks_ahead: ClassVar[bool] = False

    hidden: int = setting(6, "units", low=2)

    def build(self, d_in, *, causal):
        if causal and self.looks_ahead:
            raise Refusal(f"{self.name} looks ahead.\n  Choose a task that allows it.")
        return self.backbone(d_in, self.hidden)


def architecture(backbone: type[Backbone], looks_ahead: bool = False) -> Architecture:
    """An architecture that builds this backbone, found by pickle under its own name."""
    name = f"{backbone.__name__}{'Ahead' if looks_ahead else ''}"
    if f"{name}Architecture" in globals():
        return globals()[f"{name}Architecture"]()
    name += "Architecture"
    cls = type(name, (Made,), {"backbone": backbone, "looks_ahead": looks_ahead,
                               "__module__": __name__, "__doc__": Made.__doc__})  # fmt: skip
    globals()[name] = dataclass(frozen=True)(cls)
    return globals()[name]()


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
    """What a chunk of one step leaves behind is the state before it."""

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


# --------------------------------------------------------------------------- whole models, builds


class PeekingDecoder(Backbone):
    """Attends to the memory, and to what it is yet to say."""

    def __init__(self, d_in, hidden, memory_width):
        super().__init__()
        self.width = hidden
        self.now, self.all = nn.Linear(d_in, hidden), nn.Linear(d_in, hidden)
        self.read = nn.Linear(memory_width, hidden)

    def attend_to(self, memory_BTE, mask_BT):
        mask = mask_BT[..., None].to(memory_BTE.dtype)
        return ((memory_BTE * mask).sum(1) / mask.sum(1),)

    def forward(self, x_BTD, state=None, layout=None):
        seen = self.all(x_BTD.mean(1, keepdim=True)) + self.read(state[0])[:, None]
        return torch.tanh(self.now(x_BTD) + seen), state


@dataclass(frozen=True)
class Peeking(Made):
    """Brings a decoder that is not causal.

    Source: made up.
    """

    def decoder(self, d_in, memory_width):
        return PeekingDecoder(d_in, self.hidden, memory_width)


class OwnModel(Model):
    """Reads out the mean of its outputs, padding included."""

    def __init__(self, hidden, task):
        super().__init__(task.target)
        self.pools = task.kind is Kind.SEQ_TO_VEC
        self.embed = Embed(task.source, hidden)
        self.backbone = RunningMean(hidden, hidden)
        self.readout = self.readout_for(hidden)

    def forward(self, batch, state=None, feed=None):
        hidden, state = self.backbone(self.embed(batch.x), state)
        return Result(self.readout(hidden.mean(1) if self.pools else hidden), hidden, state)


class Centred(OwnModel):
    """Takes the mean of the batch off its outputs."""

    def forward(self, batch, state=None, feed=None):
        result = super().forward(batch, state)
        return result._replace(out=result.out - result.out.mean(0, keepdim=True))


class Summed(OwnModel):
    def loss(self, out, batch):
        return self.nll(out, batch)[0].sum()


class CountsPadding(OwnModel):
    def gold(self, batch):
        return batch.y


@dataclass(frozen=True)
class Wired(Architecture):
    """Brings a whole model.

    Source: made up.
    """

    own: ClassVar[type[OwnModel]] = OwnModel

    hidden: int = setting(6, "units", low=2)

    def model(self, task):
        if task.kind not in (Kind.ALIGNED, Kind.SEQ_TO_VEC):
            raise Refusal(f"{self.name} decodes nothing.\n  Choose another task.")
        return self.own(self.hidden, task)


@dataclass(frozen=True)
class WiredCentred(Wired):
    """Source: made up."""

    own = Centred


@dataclass(frozen=True)
class WiredSummed(Wired):
    """Source: made up."""

    own = Summed


@dataclass(frozen=True)
class WiredCountsPadding(Wired):
    """Source: made up."""

    own = CountsPadding


@dataclass(frozen=True)
class DropsAlways(Made):
    """Drops at evaluation too; at its default rate nobody sees it.

    Source: made up.
    """

    dropout: float = setting(0.0, "between layers", low=0.0, high=0.9)

    def build(self, d_in, *, causal):
        class Dropping(Stack):
            def forward(self, x_BTD, state=None, layout=None):
                return super().forward(F.dropout(x_BTD, self.dropout, training=True), state)

        return Dropping([ScannedCell(d_in, self.hidden)], self.dropout)


class NoisyAlways(ScannedCell):
    def forward(self, x_BTD, state=None, layout=None):
        y, state = self.scan(x_BTD, state)
        return y + 0.01 * torch.randn_like(y), state


class OwnSeed(ScannedCell):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        generator = torch.Generator().manual_seed(0)
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=generator).to(p)


class SeedsTorch(ScannedCell):
    def __init__(self, d_in, hidden):
        torch.manual_seed(0)
        super().__init__(d_in, hidden)


class NoSeed(ScannedCell):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        nn.init.constant_(self.bias_h, uuid.uuid4().int % 1000 / 1000)


class Unregistered(RunningMean):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.scale = torch.rand(hidden)

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return y * self.scale, state


class StaysOnTheCPU(WholeCell):
    def initial(self, x_BD):
        zero = torch.zeros(x_BD.shape[0], self.width, dtype=x_BD.dtype, device="cpu")
        return zero, zero


class NotSaved(RunningMean):
    """Draws its scale at the first use and keeps it as a number."""

    scale = None

    def forward(self, x_BTD, state=None, layout=None):
        if self.scale is None:
            self.scale = 0.5 + float(self.now.weight[0, 0].detach().abs())
        y, state = super().forward(x_BTD, state)
        return y * self.scale, state


class HoldsALambda(RunningMean):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        self.squash = lambda y: y

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return self.squash(y), state


class MoreOnTheCPU(RunningMean):
    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden)
        if not self.now.weight.is_meta:
            self.extra = nn.Linear(hidden, hidden)

    def forward(self, x_BTD, state=None, layout=None):
        y, state = super().forward(x_BTD, state)
        return (self.extra(y) if hasattr(self, "extra") else y), state


class FailsItsDryRun(RunningMean):
    def forward(self, x_BTD, state=None, layout=None):
        if x_BTD.is_meta:
            raise KeyError("meta")
        return super().forward(x_BTD, state)


# ---------------------------------------------------------------------- what every plugin may lack


@dataclass(frozen=True)
class Undocumented(Made):
    pass


Undocumented.__doc__ = None


@dataclass(frozen=True)
class NoSource(Made):
    """A layer."""


@dataclass(frozen=True)
class NoHelp(Made):
    """A layer.

    Source: made up.
    """

    layers: int = 1


@dataclass(frozen=True)
class Misread(Made):
    """A layer, whose version nobody sees who reads its source.

    Source: made up.
    """


Misread.version = 7


@dataclass(frozen=True)
class Rounds(Made):
    """A layer of an even number of units.

    Source: made up.
    """

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "hidden", self.hidden + 2)


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
    ("chunks", architecture(Stateful), "7 steps cut after"),
    ("carried_state_is_detached", architecture(KeepsTheGraph), "still has a gradient"),
    ("causality", architecture(Bidirectional), "inputs from step 2 on changed"),
    ("causality", architecture(NormedOverTimeInTraining), "in training"),
    ("rows_are_independent", architecture(BatchNormed), "in training: "),
    ("rows_are_independent", architecture(AttendsOverRows), "at evaluation"),
    ("rows_are_independent", architecture(MixesRowsInTheState), "final state of row 0"),
    ("padding", architecture(Bidirectional, True), "other padding"),
    ("padding", architecture(ForgetsRowsOfOne, True), "row of 1"),
    ("padding", architecture(Packed, True), "sorted"),
    ("padding", architecture(CutsPadding, True), "gave 3 steps"),
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
    ("step_is_pure", architecture(AlwaysSingle), "initial gives torch.float32"),
    ("step_is_pure", architecture(CountsItsSteps), "second time"),
    ("torch_func", architecture(ReadsValues), "vmap"),
    ("gradients_reach_every_parameter", architecture(UnusedParameter), "peephole has no gradient"),
    ("decoding_equals_teacher_forcing", Peeking(), "teacher forcing differ"),
    ("model_rows_are_independent", WiredCentred(), "when it is alone"),
    ("model_rows_are_independent", Wired(), "other padding of the source"),
    ("loss_is_the_mean_of_nll", WiredSummed(), "loss and mean nll differ"),
    ("loss_is_the_mean_of_nll", WiredCountsPadding(), "targets counted, there are"),
    ("streams_are_read_on", architecture(KeepsTheGraph), "second time"),
    ("streams_are_read_on", architecture(Forgetful), "differ"),
    ("overfits_one_batch", architecture(Dead), "expected less than 30%"),
    ("evaluation_is_deterministic", DropsAlways(), "draws random numbers"),
    ("evaluation_is_deterministic", architecture(NoisyAlways), "draws random numbers"),
    ("seeded_weights", architecture(OwnSeed), "another seed gives the same"),
    ("seeded_weights", architecture(SeedsTorch), "seeds torch's generator"),
    ("seeded_weights", architecture(NoSeed), "bias_h differs between two builds"),
    ("follows_its_device", architecture(Unregistered), "Unregistered.scale is a tensor"),
    ("follows_its_device", architecture(StaysOnTheCPU), "on another device"),
    ("state_dict_round_trip", architecture(Unregistered), "in a fresh model"),
    ("state_dict_round_trip", architecture(NotSaved), "in a fresh model"),
    ("pickles", architecture(HoldsALambda), "lambda"),
    ("check_tells_the_truth", architecture(MoreOnTheCPU), "check counts"),
    ("check_tells_the_truth", architecture(FailsItsDryRun), "fails its dry run"),
    ("documented", Undocumented(), "no docstring"),
    ("documented", NoSource(), "Source:"),
    ("documented", NoHelp(), "layers has no help"),
    ("described_from_source", Misread(), "version = 1, but it is 7"),
    ("settings_survive", Rounds(), "comes back"),
]
