"""Pointer network: outputs are positions of the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Batch, Cell, Kind, Refusal, State, Task, setting
from rnnbench.nn import Additive, Decoder, Embed, named_backbone, named_cell, run_rows, valid


class Pointing(NamedTuple):
    """The decoder's state: its cell's, the elements to read next, and what is pointed at."""

    cell: State
    elements_BND: Tensor  # what the decoder reads: a learnt first element, then the source's
    keys_BNK: Tensor  # W_1 e_j
    mask_BN: Tensor
    looked_BT: Tensor


class PointerModel(Decoder):
    """The model of `PointerNetwork`.

    Class 0 points at the end, class j at the j-th element of the source.
    """

    def __init__(self, architecture: PointerNetwork, task: Task):
        super().__init__(task.target)
        owner, hidden = architecture.name, architecture.hidden
        if task.kind is not Kind.UNALIGNED or task.target.layout != "positions":
            raise Refusal(
                f"{owner} puts out positions of its source, and {task.name} asks for something "
                "else.\n  Choose a task whose target is positions, such as convex-hull."
            )
        width = architecture.input_width
        self.source_embed = Embed(task.source, width)
        self.encoder = named_backbone(architecture.cell, width, hidden, owner)
        self.cell: Cell = named_cell(architecture.cell, width, hidden, owner)
        self.begins = nn.Parameter(torch.randn(width) / width**0.5)
        self.end_memory = nn.Parameter(torch.randn(self.encoder.width) / hidden**0.5)
        self.score = Additive(self.cell.width, self.encoder.width, hidden)

    def begin(self, batch: Batch) -> State:
        x_BTD = self.source_embed(batch.x)
        rows, positions = len(x_BTD), self.target.classes - 1
        if x_BTD.shape[1] > positions:
            raise ValueError(
                f"a source of {x_BTD.shape[1]} elements, and the target has classes for "
                f"{positions} positions"
            )
        e_BTE, final = run_rows(self.encoder, x_BTD, batch.x_len)
        e_BNE = torch.cat([self.end_memory.expand(rows, 1, -1), e_BTE], 1)
        mask_BT = valid(batch.x_len, x_BTD, x_BTD.shape[1])
        # Class 0 is what the decoder reads first, and puts out last.
        elements = torch.cat([self.begins.expand(rows, 1, -1), x_BTD], 1)
        cell = self._handed_over(final, x_BTD[:, 0])
        mask_BN = torch.cat([torch.ones_like(mask_BT[:, :1]), mask_BT], 1)
        looked_BT = torch.zeros_like(x_BTD[:, :, 0])
        return Pointing(cell, elements, self.score.keys(e_BNE), mask_BN, looked_BT)

    def _handed_over(self, final: State, x_BD: Tensor) -> State:
        """Start the decoder's cell where the encoder's ended; a trick's masks begin afresh."""
        inner: nn.Module = self.cell
        while hasattr(inner, "inner"):
            inner = inner.inner  # type: ignore[assignment]
        own = len(inner.initial(x_BD))  # type: ignore[operator]
        return (*final[:own], *self.cell.initial(x_BD)[own:])

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        at_BSD = y[..., None].expand(-1, -1, state.elements_BND.shape[-1])
        d_BSH, cell = self.cell(state.elements_BND.gather(1, at_BSD), state.cell)
        u_BSN = self.score(d_BSH, state.keys_BNK)
        out_BSN = u_BSN.masked_fill(~state.mask_BN[:, None], never(u_BSN))
        looked_BT = out_BSN[:, -1].softmax(-1)[:, 1:]
        missing = self.target.classes - out_BSN.shape[-1]
        out_BSV = nn.functional.pad(out_BSN, (0, missing), value=never(u_BSN))
        return out_BSV, d_BSH, state._replace(cell=cell, looked_BT=looked_BT)

    def attention(self, state: State) -> Tensor | None:
        return state.looked_BT


def never(like: Tensor) -> float:
    """Return a score of no probability, finite so that 0 times it is 0."""
    return torch.finfo(like.dtype).min / 4


@dataclass(frozen=True)
class PointerNetwork(Architecture):
    """Encoder and decoder whose output is a distribution over the positions of its input.

    u_ij = vᵀ tanh(W_1 e_j + W_2 d_i),   p(C_i | C_1 … C_{i-1}, P) = softmax(u_i)

    with encoder states e_j and decoder states d_i, which start from the encoder's last. The
    decoder reads the element that it pointed at last. The end of the output is an element of its
    own, with a learnt e_0. No glimpse: that is of Bello et al. (2016).

    Source: Vinyals, Fortunato & Jaitly (2015), arXiv:1506.03134, eqs. 1 and 3.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6}

    hidden: int = setting(256, "units of each half", unit="units", low=1, search=(32, 512, "log"))
    cell: str = setting("lstm", "cell, by the name of its architecture", plugin="architectures")
    embedding: int | None = setting(None, "width of an embedded element; null: as hidden", low=1)

    def model(self, task: Task) -> nn.Module:
        return PointerModel(self, task)
