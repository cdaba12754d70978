"""Extended LSTM: blocks with a scalar memory (sLSTM) or a matrix memory (mLSTM)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Layout, Refusal, State, setting, undecayed
from rnnbench.nn import (
    EachStep,
    GatedCell,
    GatedMLP,
    HeadNorm,
    ShortConvolution,
    in_chunks,
    one_pass,
    refuse_uneven_heads,
    scan,
    tower,
    unflat,
)

CHUNK = 32
KERNEL = 4  # steps that the convolutions see
EMPTY = -1e4  # log of what an empty memory is scaled by: whatever comes first sets the scale


def small(weight: Tensor, width: int) -> None:
    """Let a map start N(0, 2/(5 width)): Nguyen & Salazar (2019), arXiv:1910.05895."""
    nn.init.normal_(weight, std=math.sqrt(2 / (5 * width)))


def wang(weight: Tensor, width: int, layers: int) -> None:
    """Let a map that ends a branch start with the deviation 2 / (layers √width).

    As in Wang & Komatsuzaki (2021), GPT-J.
    """
    nn.init.normal_(weight, std=2 / layers / math.sqrt(width))


class BlockLinear(nn.Module):
    """A linear map that is block-diagonal, in blocks of so many channels, without a bias."""

    def __init__(self, width: int, block: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width // block, block, block))

    def forward(self, x: Tensor) -> Tensor:
        return one_pass.block_map(x, self.weight)


class SLSTMCell(GatedCell):
    """The state is (h, c, n, m); the gates are stacked in the order i, f, z, o.

    c and n are kept divided by exp(m), so a trick that mixed old and new ones would mix scales.

    Args:
        paired: the input is two of width d_in side by side: i and f read the first, z and o the
            second.
        heads: the forget gate's bias falls within each, from 5 to -7.
        depth: where the block stands, from 0 (first) to 1 (last): the later, the longer the bias
            stays high.
    """

    gate_names: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    exponential: ClassVar[tuple[str, ...]] = ("input",)  # not between 0 and 1
    reads_hidden = False

    def __init__(
        self, d_in: int, hidden: int, paired: bool = False, heads: int = 1, depth: float = 0.0
    ):
        super().__init__(d_in, hidden, gates=4, states=4)
        self.apart, self.paired = (1, 2, 3), paired
        self.input_width = 2 * d_in if paired else d_in
        at = torch.linspace(0.0, 1.0, hidden // heads)
        with torch.no_grad():
            small(self.weight_x, d_in)
            for p in (self.weight_h, self.bias_h, self.bias_x):
                p.zero_()
            self.bias_x[hidden : 2 * hidden] = (5 - 12 * at ** (0.3 + 1.3 * depth)).repeat(heads)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        if not self.paired:
            return super().project(x_BTD, state)
        pairs = zip(x_BTD.chunk(2, -1), self.weight_x.chunk(2), self.bias_x.chunk(2), strict=True)
        return torch.cat([scan.linear(*pair) for pair in pairs], -1)

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        *zeros, m_BH = super().initial(x_BD)
        return (*zeros, torch.full_like(m_BH, EMPTY))

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        i, f, z, o = (gates_x + gates_h).chunk(4, -1)
        _, c, n, m = state
        kept = m - F.softplus(-f)  # m + log σ(f)
        m = torch.maximum(kept, i)
        f, i = torch.exp(kept - m), torch.exp(i - m)
        c, n = f * c + i * torch.tanh(z), f * n + i
        return torch.sigmoid(o) * c / n, c, n, m


class SLSTMMixer(Backbone):
    """A mixer norm(sLSTM(x)), each head normalised alone.

    The gates i and f see SiLU(convolution(x)), z and o see x.
    """

    def __init__(self, width: int, heads: int, depth: float = 0.0):
        super().__init__()
        self.width, self.convolution = width, ShortConvolution(width, KERNEL, bent=True)
        self.cell = SLSTMCell(width, width, paired=True, heads=heads, depth=depth)
        self.norm = HeadNorm(width, heads)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        before, carried = (None, None) if state is None else state
        u_BTD, before = self.convolution(x_BTD, before)
        h_BTD, carried = self.cell(torch.cat([u_BTD, x_BTD], -1), carried)
        return self.norm(h_BTD), (before, carried)

    def carry(self, state: State) -> State:
        before, carried = state
        return self.convolution.carry(before), self.cell.carry(carried)


class MLSTMMixer(Backbone):
    """A mixer W_o ((norm(mLSTM) + skip ⊙ u) ⊙ SiLU(W_2 x)), u = SiLU(convolution(W_1 x)).

    Queries, keys and gates are made of u, values of W_1 x. The state is the convolution's, and
    (C, n, m) of each head: C is (K, V), divided by exp(m) as n is.
    """

    def __init__(self, width: int, heads: int, layers: int = 1):
        super().__init__()
        self.width, self.heads = width, heads
        inner = 2 * width
        self.into = nn.Linear(width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.convolution = ShortConvolution(inner, KERNEL, bent=True)
        self.q, self.k, self.v = (BlockLinear(inner, math.gcd(inner, 4)) for _ in range(3))
        self.gates = nn.Linear(3 * inner, 2 * heads)
        self.norm, self.skip = HeadNorm(inner, heads), nn.Parameter(torch.ones(inner))
        for part in (self.into, self.q, self.k, self.v):
            small(part.weight, width)
        wang(self.out.weight, width, layers)
        with torch.no_grad():
            self.gates.weight.zero_()
            self.gates.bias[:heads].normal_(0.0, 0.1)
            self.gates.bias[heads:] = torch.linspace(3.0, 6.0, heads)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        before, memory = (None, None) if state is None else state
        x_BTE, gate_BTE = self.into(x_BTD).chunk(2, -1)
        u_BTE, before = self.convolution(x_BTE, before)
        q, k, v = self.q(u_BTE), self.k(u_BTE), self.v(x_BTE)
        i_BHT, f_BHT = self.gates(torch.cat([q, k, v], -1)).transpose(1, 2).chunk(2, 1)
        q, k, v = (unflat(part, self.heads) for part in (q, k, v))
        if memory is None:
            memory = self.empty(k)
        h_BHTK, memory = in_chunks(self.run, (q, k, v, i_BHT, f_BHT), memory, CHUNK)
        h_BTE = self.norm(h_BHTK.transpose(1, 2).flatten(2)) + self.skip * u_BTE
        return self.out(one_pass.gated("silu", gate_BTE, h_BTE)), (before, memory)

    @staticmethod
    def empty(k_BHTK: Tensor) -> tuple[Tensor, ...]:
        rows, heads, _, size = k_BHTK.shape
        exact = k_BHTK.new_zeros(
            rows, heads, size, size, dtype=torch.promote_types(k_BHTK.dtype, torch.float32)
        )
        return exact, exact[..., 0], torch.full_like(exact[..., 0, 0], EMPTY)

    @staticmethod
    def run(
        q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, i_BHT: Tensor, f_BHT: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Run a chunk of steps: attention within it, and what was carried into it."""
        c_BHKK, n_BHK, m_BH = state
        k_BHTK = k_BHTK / math.sqrt(k_BHTK.shape[-1])
        total_BHT = F.logsigmoid(f_BHT).cumsum(2)
        # log of the weight of what step s wrote, at step t: the forget gates between, and i_s.
        log_BHTS = total_BHT[..., None] - total_BHT[..., None, :] + i_BHT[..., None, :]
        steps = i_BHT.shape[2]
        past_TS = torch.ones(steps, steps, dtype=torch.bool, device=i_BHT.device).tril()
        log_BHTS = log_BHTS.masked_fill(~past_TS, -math.inf)
        log_carried_BHT = total_BHT + m_BH[..., None]
        m_BHT = torch.maximum(log_BHTS.amax(-1), log_carried_BHT)
        score_BHTS = (q_BHTK @ k_BHTK.transpose(2, 3)) * torch.exp(log_BHTS - m_BHT[..., None])
        carried_BHT = torch.exp(log_carried_BHT - m_BHT)
        top = score_BHTS @ v_BHTK + carried_BHT[..., None] * (q_BHTK @ c_BHKK)
        bottom = score_BHTS.sum(-1) + carried_BHT * (q_BHTK @ n_BHK[..., None]).squeeze(-1)
        # exp(80) stands for what is beyond float32: h is 0 to its precision then, and stays finite.
        least_BHT = torch.exp((-m_BHT).clamp(max=80.0))
        h_BHTK = top / torch.maximum(bottom.abs(), least_BHT)[..., None]
        # The same weights at the last step say what is carried on.
        m_BH = m_BHT[..., -1]
        written_BHTK = torch.exp(log_BHTS[:, :, -1] - m_BH[..., None])[..., None] * k_BHTK
        kept_BH1 = carried_BHT[..., -1:]
        c_BHKK = kept_BH1[..., None] * c_BHKK + written_BHTK.transpose(2, 3) @ v_BHTK
        return h_BHTK, (c_BHKK, kept_BH1 * n_BHK + written_BHTK.sum(2), m_BH)


@dataclass(frozen=True)
class XLSTM(Architecture):
    """Extended LSTM: exponential gates, and a memory of scalars (sLSTM) or of matrices (mLSTM).

    sLSTM: [i f z o] = W x_t + R h_{t-1} + b,   m_t = max(log σ(f) + m_{t-1}, i)
           i′ = exp(i − m_t),   f′ = exp(log σ(f) + m_{t-1} − m_t)
           c_t = f′ ⊙ c_{t-1} + i′ ⊙ tanh(z),   n_t = f′ ⊙ n_{t-1} + i′,   h_t = σ(o) ⊙ c_t / n_t
    mLSTM: i, f of a head depend on the input alone;   C_t = f′ C_{t-1} + i′ v k^T / √K
           n_t = f′ n_{t-1} + i′ k / √K,   h_t = C_t q / max(|n_t · q|, exp(−m_t))

    The m only keep exp in range: undivided by exp(m), the last line is C q / max(|n · q|, 1). Since
    its gates do not see h, an mLSTM is made chunk by chunk, and cannot track a state as an sLSTM
    does. Blocks are residual with LayerNorm: an sLSTM block, whose i and f see a convolution over 4
    steps, is followed by a gated MLP of 4/3 of the width; an mLSTM block works at twice the width,
    between a convolution over 4 steps and a gate, and its maps to q, k and v have blocks of 4
    channels. blocks=mixed has mLSTM in blocks 1, 3, … and sLSTM in blocks 2, 4, …; `heads` are
    those of the mLSTM, of the sLSTM's biases, and of the norms after either.

    Starts are those of the authors' code: R = 0; the sLSTM's b_f falls in each head from 5 to −7,
    as 5 − 12 (j/(K−1))^(0.3 + 1.3 d) with d from 0 in the first block to 1 in the last; the mLSTM's
    b_f rises over the heads from 3 to 6, its gates' weights are 0; maps N(0, 2/(5H)), those that
    end a branch N(0, 4/(layers² H)); tables of tokens as other maps. Biases, gains, R and such
    tables never decay with the weights. Other than there, W and R of an sLSTM are full, since
    core's fast tiers and tricks know one recurrent matrix, and the MLP's width is 4/3 as in the
    paper (theirs is 1.3, up to a multiple of 64).

    Source: Beck et al. (2024), arXiv:2405.04517, eqs. 8-27 and figures 10-11;
    github.com/NX-AI/xlstm.
    """

    name: ClassVar[str] = "xlstm"
    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 8, "heads": 2}

    hidden: int = setting(128, "model width", unit="units", low=1, search=(32, 256, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    blocks: Literal["mixed", "slstm", "mlstm"] = setting("mixed", "memories of the blocks")
    heads: int = setting(4, "heads, whose number divides hidden", low=1)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_uneven_heads(self.name, self.hidden, self.heads)
        if self.blocks == "mixed" and self.layers == 1:
            raise Refusal(
                "xlstm: blocks = mixed needs two kinds of block, and layers = 1.\n"
                "  Set architecture.layers=2 or more, or architecture.blocks=mlstm (or slstm)."
            )

    def start_embedding(self, table_VD: nn.Parameter) -> None:
        small(undecayed(table_VD), self.input_width)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        parts: list[Backbone] = []
        for layer in range(self.layers):
            if self.blocks == "mlstm" or (self.blocks == "mixed" and layer % 2 == 0):
                parts.append(MLSTMMixer(self.hidden, self.heads, self.layers))
                continue
            depth = layer / (self.layers - 1) if self.layers > 1 else 0.0
            mlp = GatedMLP(self.hidden, math.ceil(4 * self.hidden / 3), bias=False)
            small(mlp.into.weight, self.hidden)
            wang(mlp.out.weight, self.hidden, self.layers)
            parts.append(SLSTMMixer(self.hidden, self.heads, depth))
            parts.append(EachStep(mlp, self.hidden))
        backbone = tower(
            d_in, parts, self.dropout, norm=partial(nn.LayerNorm, bias=False), always_mapped=False
        )
        for name, p in backbone.named_parameters():
            if p.dim() < 2 or name.endswith("weight_h"):
                undecayed(p)
        return backbone
