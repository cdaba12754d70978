"""DeltaNet: linear attention that overwrites what a key held before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, Layout, State, setting
from rnnbench.nn import (
    EachStep,
    GatedMLP,
    ShortConvolution,
    in_chunks,
    refuse_uneven_heads,
    rms_norm,
    tower,
    unflat,
)

CHUNK = 32


class DeltaMixer(Backbone):
    """A mixer W_o norm(delta(q, k, v, β)).

    The state is the convolution's, and S^T (K, V) of each head.
    """

    def __init__(self, width: int, heads: int, kernel: int):
        super().__init__()
        self.width, self.heads = width, heads
        self.into = nn.Linear(width, 3 * width, bias=False)
        self.convolution = ShortConvolution(3 * width, kernel, bias=False, bent=True)
        self.strength = nn.Linear(width, heads, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm = rms_norm(width // heads)  # its gain is shared by the heads

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        before, memory = (None, None) if state is None else state
        u_BTF, before = self.convolution(self.into(x_BTD), before)
        q, k, v = (unflat(part, self.heads) for part in u_BTF.chunk(3, -1))
        q, k = unit(q) / math.sqrt(q.shape[-1]), unit(k)
        b_BHT1 = torch.sigmoid(self.strength(x_BTD)).transpose(1, 2)[..., None]
        if memory is None:
            exact = torch.promote_types(k.dtype, torch.float32)
            memory = k.new_zeros(*k.shape[:2], k.shape[-1], k.shape[-1], dtype=exact)
        o_BHTK, memory = in_chunks(self.run, (q, k, v, b_BHT1), memory, CHUNK)
        return self.out(self.norm(o_BHTK).transpose(1, 2).flatten(2)), (before, memory)

    @staticmethod
    def run(
        q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, b_BHT1: Tensor, s_BHKK: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the recurrence over a chunk of steps.

        What step t writes at k_t is u_t = β_t (v_t − S_{t-1} k_t), where S_{t-1} has what the
        steps before wrote: (1 + tril(β k k^T, −1)) u = β (v − k S_0), a triangular system.
        """
        weighted = b_BHT1 * k_BHTK
        among_BHTS = (weighted @ k_BHTK.transpose(2, 3)).tril(-1)
        wanted_BHTK = b_BHT1 * v_BHTK - weighted @ s_BHKK
        u_BHTK = torch.linalg.solve_triangular(
            among_BHTS, wanted_BHTK, upper=False, unitriangular=True
        )
        o_BHTK = q_BHTK @ s_BHKK + (q_BHTK @ k_BHTK.transpose(2, 3)).tril() @ u_BHTK
        return o_BHTK, s_BHKK + k_BHTK.transpose(2, 3) @ u_BHTK


def unit(x: Tensor) -> Tensor:
    """Return x / √(|x|² + 1e-6), over the last dimension."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


@dataclass(frozen=True)
class DeltaNet(Architecture):
    """Residual blocks of linear attention by the delta rule, and a gated MLP.

    S_t = S_{t-1} (I − β_t k_t k_t^T) + β_t v_t k_t^T,   o_t = S_t q_t   in each head

    q, k and v are linear in RMSNorm(x), then go through a convolution over `kernel` steps, each
    channel alone, and SiLU; q and k are then divided by their length. β = σ(W_β x), one a head.
    Outputs are normalised head by head by RMSNorm, with a gain that heads share; the MLP's gate is
    SiLU; nothing has a bias. All maps, and tables of tokens, start N(0, 0.02²). A chunk of steps is
    one triangular system. Blocks and starts are those of the authors' code
    (flash-linear-attention), but for the MLP's inner width: theirs is 8/3 of the model's, rounded
    up to a multiple of 256, which would be most of a small model.

    Source: Schlag, Irie & Schmidhuber (2021), arXiv:2102.11174, eqs. 23-24; the block and the
    chunks: Yang, Wang, Zhang, Shen & Kim (2024), arXiv:2406.06484, sections 3.2-3.3;
    github.com/fla-org/flash-linear-attention.
    """

    name: ClassVar[str] = "deltanet"
    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "layers": 1, "heads": 2, "expand": 1}

    hidden: int = setting(128, "model width", unit="units", low=1, search=(32, 256, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    heads: int = setting(4, "heads, whose number divides hidden", low=1)
    kernel: int = setting(4, "steps that the convolution sees", unit="steps", low=1, high=16)
    expand: int = setting(2, "inner width of the MLP over `hidden`", low=1, high=8)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_uneven_heads(self.name, self.hidden, self.heads)

    def start_embedding(self, table_VD: nn.Parameter) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        parts: list[Backbone] = []
        for _ in range(self.layers):
            parts.append(DeltaMixer(self.hidden, self.heads, self.kernel))
            mlp = GatedMLP(self.hidden, self.expand * self.hidden, bias=False, activation="silu")
            parts.append(EachStep(mlp, self.hidden))
        for part in parts:
            part.apply(start)
        return tower(d_in, parts, self.dropout, always_mapped=False)


def start(module: nn.Module) -> None:
    """Let maps and convolutions start as in the authors' code."""
    if isinstance(module, (nn.Linear, nn.Conv1d)):
        nn.init.normal_(module.weight, std=0.02)
