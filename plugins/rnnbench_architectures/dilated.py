"""Dilated recurrent network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, Cell, Layout, State, setting
from rnnbench.nn import Stack, named_cell, refuse_idle_dropout


class Dilated(Backbone):
    """A cell that continues from its state of s steps ago: s plain sequences, interleaved.

    They are run as s times as many rows of the plain cell, so a fused kernel serves. The state is
    that of the cell with a second dimension s: [:, 0] is what the next step continues from.

    Args:
        cell: what is stepped.
        dilation: s, in steps.
    """

    def __init__(self, cell: Cell, dilation: int):
        super().__init__()
        self.cell, self.dilation, self.width = cell, dilation, cell.width

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        rows, s = x_BTD.shape[0], self.dilation
        if state is None:  # begun for B rows, so that noise drawn here is one draw a sequence
            state = tuple(
                leaf.unsqueeze(1).expand(-1, s, *leaf.shape[1:])
                for leaf in self.cell.initial(x_BTD[:, 0])
            )
        rounds, longer = divmod(x_BTD.shape[1], s)
        outputs = []
        if rounds:
            x_BRSD = x_BTD[:, : rounds * s].unflatten(1, (rounds, s))
            x_NRD = x_BRSD.transpose(1, 2).flatten(0, 1)  # N = B·s sequences of R steps
            y_NRH, final = self.cell(x_NRD, tuple(leaf.flatten(0, 1) for leaf in state))
            outputs.append(y_NRH.unflatten(0, (rows, s)).transpose(1, 2).flatten(1, 2))
            state = tuple(leaf.unflatten(0, (rows, s)) for leaf in final)
        if longer:  # the first of the s sequences take one step more
            x_N1D = x_BTD[:, rounds * s :].flatten(0, 1)[:, None]
            y_N1H, final = self.cell(x_N1D, tuple(leaf[:, :longer].flatten(0, 1) for leaf in state))
            outputs.append(y_N1H.unflatten(0, (rows, longer)).squeeze(2))
            state = tuple(
                torch.cat([old[:, longer:], new.unflatten(0, (rows, longer))], 1)
                for old, new in zip(state, final, strict=True)
            )
        return torch.cat(outputs, 1), state

    def carry(self, state: State) -> State:
        """Carry the cell's state of each interleaved sequence; noise drawn here is drawn once."""
        devices = [leaf.get_device() for leaf in state if leaf.is_cuda]
        carried = []
        for i in range(self.dilation):
            # All but the last leave the generator as it was, so each draws the same numbers.
            with torch.random.fork_rng(sorted(set(devices)), enabled=i < self.dilation - 1):
                carried.append(self.cell.carry(tuple(leaf[:, i] for leaf in state)))
        return tuple(torch.stack(leaves, 1) for leaves in zip(*carried, strict=True))


class Fuse(Backbone):
    """A causal convolution y_t = Σ_{k<s} V_k h_{t-k} + b; the state is its last s - 1 inputs."""

    def __init__(self, width: int, steps: int):
        super().__init__()
        self.width, self.past = width, steps - 1
        self.convolve = nn.Conv1d(width, width, steps)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        if state is None:
            state = (x_BTD.new_zeros(x_BTD.shape[0], self.past, self.width),)
        whole_BLH = torch.cat([state[0], x_BTD], 1)
        y_BTH = self.convolve(whole_BLH.transpose(1, 2)).transpose(1, 2)
        return y_BTH, (whole_BLH[:, whole_BLH.shape[1] - self.past :],)


@dataclass(frozen=True)
class DilatedRNN(Architecture):
    """Layers of any cell, each of which continues from its state of base^l steps ago.

    h_t^(l) = cell(x_t^(l), h_{t - s_l}^(l)),   s_l = M^(l - 1 + l0),   l = 1, 2, …,
    h_t^(l) = 0 for t ≤ 0,

    where x^(l) is the input or the output of the layer below. Where the lowest dilation s_1 = M^l0
    is above 1, the last s_1 outputs of the top layer are fused by a convolution over time, since
    each of them has seen one in s_1 inputs only.

    Source: Chang et al. (2017), arXiv:1710.02224, section 2.
    """

    name: ClassVar[str] = "dilated"
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "layers": 2}

    hidden: int = setting(64, "units of a layer", unit="units", low=1, search=(16, 128, "log"))
    layers: int = setting(6, "layers, one above the other", low=1, search=(4, 9))
    base: int = setting(2, "M: each layer's dilation over that of the one below", low=2, high=8)
    start: int = setting(0, "l0: the lowest dilation is base^start", low=0, high=8)
    cell: str = setting("gru", "cell, by the name of its architecture", plugin="architectures")
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        stack, lowest = [], self.base**self.start
        for i in range(self.layers):
            cell = named_cell(self.cell, d_in if i == 0 else self.hidden, self.hidden, self.name)
            stack.append(Dilated(cell, lowest * self.base**i))
        layers = Stack(stack, self.dropout)
        return layers if lowest == 1 else Stack([layers, Fuse(self.hidden, lowest)])
