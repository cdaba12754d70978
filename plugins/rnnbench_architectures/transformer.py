"""The transformer, with a key-value state that obeys the chunk law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Layout, Refusal, State, setting
from rnnbench.nn import rotate, rotations, valid


class Seen(NamedTuple):
    """The part of a pass that all blocks share: rotations of all positions, and who sees whom."""

    rotations_TK: Tensor
    mask: Tensor


class SelfAttention(nn.Module):
    """An attention of several heads with rotary positions over a sliding window.

    The state is the last `window - 1` keys (before rotation) and values, so that positions
    count from the oldest one kept and a stream of any length needs no growing counter.
    """

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, state: State, seen: Seen) -> tuple[Tensor, State]:
        q, k, v = self.qkv(x_BTD).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if state is not None:
            k_past, v_past = state
            k, v = torch.cat([k_past, k], 2), torch.cat([v_past, v], 2)
        q, k_at = rotate(q, seen.rotations_TK[-q.shape[2] :]), rotate(k, seen.rotations_TK)
        y = F.scaled_dot_product_attention(q, k_at, v, attn_mask=seen.mask)
        keep = max(0, k.shape[2] - (self.window - 1))
        return self.out(y.transpose(1, 2).flatten(2)), (k[:, :, keep:], v[:, :, keep:])


class CrossAttention(nn.Module):
    """An attention of several heads over a memory, without positions."""

    def __init__(self, width: int, memory_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.kv = nn.Linear(memory_width, 2 * width)

    def forward(self, x_BSD: Tensor, m_BTE: Tensor, mask_BT: Tensor) -> Tensor:
        q = self.q(x_BSD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(m_BTE).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_BT[:, None, None])
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-norm residual block: self-attention, cross-attention where there is a memory, MLP."""

    def __init__(self, cfg: Transformer, memory_width: int | None):
        super().__init__()
        h = cfg.hidden
        self.attend = SelfAttention(h, cfg.heads, cfg.window)
        self.cross = None if memory_width is None else CrossAttention(h, memory_width, cfg.heads)
        self.norms = nn.ModuleList(nn.LayerNorm(h) for _ in range(2 if self.cross is None else 3))
        self.mlp = nn.Sequential(nn.Linear(h, 4 * h), nn.GELU(), nn.Linear(4 * h, h))
        self.dropout = cfg.dropout

    def forward(
        self, x: Tensor, state: State, seen: Seen, memory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, State]:
        y, state = self.attend(self.norms[0](x), state, seen)
        x = x + F.dropout(y, self.dropout, self.training)
        if self.cross is not None and memory is not None:
            x = x + F.dropout(self.cross(self.norms[2](x), *memory), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.norms[1](x)), self.dropout, self.training), state


class TransformerStack(Backbone):
    """A backbone of blocks and a last norm.

    The state has one (keys, values) a block, and the memory of a decoder.
    """

    def __init__(self, cfg: Transformer, d_in: int, causal: bool, memory_width: int | None = None):
        super().__init__()
        self.width, self.causal = cfg.hidden, causal
        self.window, self.head_width = cfg.window, cfg.hidden // cfg.heads
        self.enter = nn.Linear(d_in, cfg.hidden) if d_in != cfg.hidden else nn.Identity()
        self.blocks = nn.ModuleList(Block(cfg, memory_width) for _ in range(cfg.layers))
        self.norm = nn.LayerNorm(cfg.hidden)

    def attend_to(self, m_BTE: Tensor, mask_BT: Tensor) -> State:
        """Return the state with which a decoder begins to read the memory."""
        return (None,) * len(self.blocks), (m_BTE, mask_BT)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        caches, memory = ((None,) * len(self.blocks), None) if state is None else state
        x, new = self.enter(x_BTD), []
        past = 0 if caches[0] is None or not self.causal else caches[0][0].shape[2]
        seen = self.seen(x, past, layout)
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block(x, cache if self.causal else None, seen, memory)
            new.append(cache)
        return self.norm(x), (tuple(new), memory)

    def seen(self, x_BTD: Tensor, past: int, layout: Layout | None) -> Seen:
        """Return who sees whom, for all blocks: `past` kept positions, then those of x."""
        steps = x_BTD.shape[1]
        turns = rotations(past + steps, self.head_width, x_BTD)
        if not self.causal:
            mask = valid(layout.len_B if layout else None, x_BTD, steps)[:, None, None]
            return Seen(turns, mask)
        query = torch.arange(past, past + steps, device=x_BTD.device)[:, None]
        key = torch.arange(past + steps, device=x_BTD.device)
        return Seen(turns, (key <= query) & (key > query - self.window))


@dataclass(frozen=True)
class Transformer(Architecture):
    """Pre-norm transformer with rotary positions and a sliding window of attention.

    y = x + Attention(LN(x)),   z = y + MLP(LN(y)); a decoder attends to the encoder's
    outputs between the two. Each position sees the last `window` positions; the carried
    state is their keys and values, so two chunks equal one pass.

    Source: Vaswani et al. (2017), arXiv:1706.03762; pre-norm: Xiong et al. (2020),
    arXiv:2002.04745; rotary positions: Su et al. (2021), arXiv:2104.09864.
    """

    hidden: int = setting(256, "model width", unit="units", low=2, search=(32, 512, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    heads: int = setting(4, "attention heads; hidden / heads is even", low=1)
    window: int = setting(256, "positions that each position sees", unit="steps", low=1)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden % (2 * self.heads):
            raise Refusal(
                f"transformer: hidden = {self.hidden} is not an even multiple of heads = "
                f"{self.heads}, which rotary positions need.\n"
                f"  Choose hidden as a multiple of {2 * self.heads}, or other heads."
            )

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        return TransformerStack(self, d_in, causal)

    def decoder(self, d_in: int, memory_width: int) -> Backbone:
        return TransformerStack(self, d_in, causal=True, memory_width=memory_width)
