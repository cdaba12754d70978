"""RetNet: linear attention that fades at a fixed rate."""

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
    in_chunks,
    one_pass,
    refuse_uneven_heads,
    rotate,
    tower,
    unflat,
)

CHUNK = 64


class Retention(Backbone):
    """A mixer W_o (norm(retention(q, k, v)) ⊙ SiLU(W_g x)); the state is (K, V) of each head.

    Only distances count, so positions begin at 0 in every chunk, and the carried state's keys are
    turned back by the chunk's length: a stream of any length needs no counter.

    Args:
        values: width of the values over that of the keys.
    """

    def __init__(self, width: int, heads: int, values: int = 1):
        super().__init__()
        self.width, self.heads, self.valued = width, heads, values * width
        self.into = nn.Linear(width, 2 * width + 2 * self.valued, bias=False)
        self.out = nn.Linear(self.valued, width, bias=False)
        self.norm = nn.RMSNorm(self.valued // heads, eps=1e-6, elementwise_affine=False)
        self.register_buffer("log_decay_H", torch.log1p(-(2.0 ** (-5 - torch.arange(heads)))))
        for part in self.into.weight.split(self.parts):
            nn.init.xavier_uniform_(part, gain=2**-2.5)
        nn.init.xavier_uniform_(self.out.weight, gain=2**-1)

    @property
    def parts(self) -> list[int]:
        """Return the widths of q, k, v and the gate."""
        return [self.width, self.width, self.valued, self.valued]

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        q, k, v, gate_BTV = self.into(x_BTD).split(self.parts, -1)
        q, k, v = (unflat(part, self.heads) for part in (q, k, v))
        if state is None:
            exact = torch.promote_types(k.dtype, torch.float32)
            state = (k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1], dtype=exact),)
        y_BHTV, state = in_chunks(self.run, (q, k / math.sqrt(k.shape[-1]), v), state, CHUNK)
        y_BTV = self.norm(y_BHTV.transpose(1, 2)).flatten(2)
        return self.out(one_pass.gated("silu", gate_BTV, y_BTV)), state

    def run(
        self, q_BHTK: Tensor, k_BHTK: Tensor, v_BHTV: Tensor, state: State
    ) -> tuple[Tensor, State]:
        (s_BHKV,) = state
        steps, size = q_BHTK.shape[2:]
        turns_TK = turns(steps + 1, size, q_BHTK)
        q_BHTK, k_BHTK = rotate(q_BHTK, turns_TK[:-1]), rotate(k_BHTK, turns_TK[:-1])
        log_H11 = self.log_decay_H.to(q_BHTK.dtype)[:, None, None]
        at_T = torch.arange(steps, device=q_BHTK.device)
        lag_TS = at_T[:, None] - at_T
        decay_HTS = torch.exp(log_H11 * lag_TS.clamp(min=0)) * (lag_TS >= 0)
        since_HT1 = torch.exp(log_H11 * (at_T + 1)[:, None])
        y_BHTV = ((q_BHTK @ k_BHTK.transpose(2, 3)) * decay_HTS) @ v_BHTV
        y_BHTV = y_BHTV + since_HT1 * (q_BHTK @ s_BHKV)
        left_HT1 = torch.exp(log_H11 * (steps - 1 - at_T)[:, None])
        s_BHKV = since_HT1[:, -1:] * s_BHKV + (left_HT1 * k_BHTK).transpose(2, 3) @ v_BHTV
        back_K = turns_TK[-1].conj()
        return y_BHTV, (rotate(s_BHKV.transpose(2, 3), back_K).transpose(2, 3),)


def turns(steps: int, size: int, like: Tensor) -> Tensor:
    """Return the complex rotations e^{i t θ} of positions 0..steps-1: (steps, size / 2).

    θ falls from 1 to 10000^(−1), both of them included, which rotary attention never reaches.
    """
    dtype, device = torch.promote_types(like.dtype, torch.float32), like.device
    rate_K = 10000.0 ** -torch.linspace(0, 1, size // 2, dtype=dtype, device=device)
    angle_TK = torch.arange(steps, dtype=dtype, device=device)[:, None] * rate_K
    return torch.polar(torch.ones_like(angle_TK), angle_TK)


@dataclass(frozen=True)
class RetNet(Architecture):
    """Residual blocks of multi-scale retention and a gated MLP.

    S_t = γ S_{t-1} + k_t v_t^T / √K,   y_t = q_t S_t   in each head, where q and k are turned by
    their positions t, pair j of n by the angle t · 10000^(−j/(n−1)), and γ = 1 − 2^(−5−h) in head
    h = 0, 1, … Outputs are normalised head by head (RMSNorm without a gain) and gated by
    SiLU(W_g x). Values are `values` times as wide as keys, and nothing has a bias.

    Blocks, γ, angles and starts are those of the authors' code (torchscale): q, k, v and gate start
    Xavier-uniform with gain 2^(−5/2), W_o with gain 1/2; tables of tokens N(0, 1), which theirs are
    after the factor √H. Their code divides scores by sums over the past besides, for half
    precision, which the norm of the outputs takes back; here sums are in float32 and need no such
    thing.

    Source: Sun et al. (2023), arXiv:2307.08621, eqs. 5-8; github.com/microsoft/torchscale.
    """

    name: ClassVar[str] = "retnet"
    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "layers": 1, "heads": 2, "expand": 1}

    hidden: int = setting(128, "model width", unit="units", low=2, search=(32, 256, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    heads: int = setting(4, "heads; hidden / heads is even", low=1)
    values: int = setting(2, "width of the values over that of the keys", low=1, high=4)
    expand: int = setting(2, "inner width of the MLP over `hidden`", low=1, high=8)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_uneven_heads(self.name, self.hidden, self.heads, of=2)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        parts: list[Backbone] = []
        for _ in range(self.layers):
            parts.append(Retention(self.hidden, self.heads, self.values))
            mlp = GatedMLP(self.hidden, self.expand * self.hidden, bias=False)
            parts.append(EachStep(mlp, self.hidden))
        return tower(d_in, parts, self.dropout, always_mapped=False)
