"""RetNet: linear attention that fades at a fixed rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Layout, State, setting
from rnnbench.nn import (
    EachStep,
    GatedMLP,
    HeadNorm,
    in_chunks,
    refuse_uneven_heads,
    rotate,
    rotations,
    tower,
    unflat,
)

CHUNK = 64


class Retention(Backbone):
    """A mixer W_o (norm(retention(q, k, v)) ⊙ SiLU(W_g x)); the state is (K, V) of each head.

    Only distances count, so positions begin at 0 in every chunk, and the carried state's keys are
    turned back by the chunk's length: a stream of any length needs no counter.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.width, self.heads = width, heads
        self.into, self.out = nn.Linear(width, 4 * width, bias=False), nn.Linear(width, width)
        self.norm = HeadNorm(width, heads)
        at_H = torch.linspace(math.log(1 / 32), math.log(1 / 512), heads)
        self.register_buffer("log_decay_H", torch.log1p(-at_H.exp()))

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        q, k, v, gate_BTD = self.into(x_BTD).chunk(4, -1)
        q, k, v = (unflat(part, self.heads) for part in (q, k, v))
        if state is None:
            exact = torch.promote_types(k.dtype, torch.float32)
            state = (k.new_zeros(*k.shape[:2], k.shape[-1], k.shape[-1], dtype=exact),)
        y_BHTK, state = in_chunks(self.run, (q, k / math.sqrt(k.shape[-1]), v), state, CHUNK)
        y_BTD = self.norm(y_BHTK.transpose(1, 2).flatten(2))
        return self.out(y_BTD * F.silu(gate_BTD)), state

    def run(
        self, q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, state: State
    ) -> tuple[Tensor, State]:
        (s_BHKV,) = state
        steps, size = q_BHTK.shape[2:]
        turns_TK = rotations(steps + 1, size, q_BHTK)
        q_BHTK, k_BHTK = rotate(q_BHTK, turns_TK[:-1]), rotate(k_BHTK, turns_TK[:-1])
        log_H11 = self.log_decay_H.to(q_BHTK.dtype)[:, None, None]
        at_T = torch.arange(steps, device=q_BHTK.device)
        lag_TS = at_T[:, None] - at_T
        decay_HTS = torch.exp(log_H11 * lag_TS.clamp(min=0)) * (lag_TS >= 0)
        since_HT1 = torch.exp(log_H11 * (at_T + 1)[:, None])
        y_BHTK = ((q_BHTK @ k_BHTK.transpose(2, 3)) * decay_HTS) @ v_BHTK
        y_BHTK = y_BHTK + since_HT1 * (q_BHTK @ s_BHKV)
        left_HT1 = torch.exp(log_H11 * (steps - 1 - at_T)[:, None])
        s_BHKV = since_HT1[:, -1:] * s_BHKV + (left_HT1 * k_BHTK).transpose(2, 3) @ v_BHTK
        back_K = turns_TK[-1].conj()
        return y_BHTK, (rotate(s_BHKV.transpose(2, 3), back_K).transpose(2, 3),)


@dataclass(frozen=True)
class RetNet(Architecture):
    """Residual blocks of multi-scale retention and a gated MLP.

    S_t = γ S_{t-1} + k_t v_t^T,   y_t = q_t S_t   in each head, where q and k are turned by their
    positions as in rotary attention, and γ is 1 − 2^(−5) in the first head to 1 − 2^(−9) in the
    last. Outputs are normalised head by head and gated by SiLU(W_g x). Values are as wide as keys
    (twice as wide in the paper).

    Source: Sun et al. (2023), arXiv:2307.08621, eqs. 5-8.
    """

    name: ClassVar[str] = "retnet"
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "layers": 1, "heads": 2, "expand": 1}

    hidden: int = setting(128, "model width", unit="units", low=2, search=(32, 256, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    heads: int = setting(4, "heads; hidden / heads is even", low=1)
    expand: int = setting(2, "inner width of the MLP over `hidden`", low=1, high=8)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_uneven_heads(self.name, self.hidden, self.heads, of=2)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        parts: list[Backbone] = []
        for _ in range(self.layers):
            parts.append(Retention(self.hidden, self.heads))
            mlp = GatedMLP(self.hidden, self.expand * self.hidden)
            parts.append(EachStep(mlp, self.hidden))
        return tower(d_in, parts, self.dropout)
