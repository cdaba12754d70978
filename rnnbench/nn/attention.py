"""Attention over a memory, rotary positions, and masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def valid(len_B: Tensor | None, like: Tensor, steps: int) -> Tensor:
    """(B, steps) mask, True where a row's position is not padding."""
    if len_B is None:
        return torch.ones(like.shape[0], steps, dtype=torch.bool, device=like.device)
    return torch.arange(steps, device=like.device) < len_B[:, None]


class Attention(nn.Module):
    """Luong's "general" attention with its attentional hidden state.

    a_ts = softmax_s(h_tᵀ W m_s),  c_t = Σ_s a_ts m_s,  h̃_t = tanh(W_c [c_t; h_t])

    Source: Luong et al. (2015), arXiv:1508.04025, eqs. 5, 7 and 8.
    """

    def __init__(self, query_width: int, memory_width: int):
        super().__init__()
        self.score = nn.Linear(memory_width, query_width, bias=False)
        self.mix = nn.Linear(memory_width + query_width, query_width)

    def forward(self, h_BSH: Tensor, m_BTE: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return h̃ (B, S, H) and the weights (B, S, T)."""
        scores_BST = h_BSH @ self.score(m_BTE).transpose(1, 2)
        a_BST = scores_BST.masked_fill(~mask_BT[:, None], -torch.inf).softmax(-1)
        return torch.tanh(self.mix(torch.cat([a_BST @ m_BTE, h_BSH], -1))), a_BST


def rotate(x_BNTK: Tensor, offset: int = 0) -> Tensor:
    """Rotary position encoding of the last dimension's pairs (k, k + K/2).

    Source: Su et al. (2021), arXiv:2104.09864, eq. 34.

    Args:
        x_BNTK: queries or keys, K even.
        offset: position of the first step.
    """
    steps, width = x_BNTK.shape[-2:]
    half = width // 2
    # Angles in at least float32: in bfloat16 neighbouring positions would coincide.
    dtype, device = torch.promote_types(x_BNTK.dtype, torch.float32), x_BNTK.device
    rate_K = 10000.0 ** (-torch.arange(half, dtype=dtype, device=device) / half)
    t_T = torch.arange(offset, offset + steps, dtype=dtype, device=device)
    angle_TK = t_T[:, None] * rate_K
    cos, sin = angle_TK.cos().to(x_BNTK.dtype), angle_TK.sin().to(x_BNTK.dtype)
    a, b = x_BNTK[..., :half], x_BNTK[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
