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


def rotations(steps: int, width: int, like: Tensor) -> Tensor:
    """The complex rotations e^{i t θ_k} of positions 0..steps-1: (steps, width / 2).

    θ_k = 10000^(-2k / width). Source: Su et al. (2021), arXiv:2104.09864, eqs. 15 and 34.

    Args:
        width: K of the vectors to rotate, even.
        like: a tensor on the device and of the precision to use.
    """
    # Angles in at least float32: in bfloat16 neighbouring positions would coincide.
    dtype, device = torch.promote_types(like.dtype, torch.float32), like.device
    half = width // 2
    rate_K = 10000.0 ** (-torch.arange(half, dtype=dtype, device=device) / half)
    angle_TK = torch.arange(steps, dtype=dtype, device=device)[:, None] * rate_K
    return torch.polar(torch.ones_like(angle_TK), angle_TK)


def rotate(x_BNTK: Tensor, rotations_TK: Tensor) -> Tensor:
    """Rotary position encoding: pairs (2k, 2k + 1) of the last dimension turned by t θ_k."""
    wide = x_BNTK.to(rotations_TK.real.dtype)
    pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * rotations_TK).flatten(-2).to(x_BNTK.dtype)
