"""Attention over a memory: scores, weights, and core's own; rotary positions, and masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def valid(len_B: Tensor | None, like: Tensor, steps: int) -> Tensor:
    """Return a (B, steps) mask, True where a row's position is not padding."""
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
        a_BST = weights(scores_BST, mask_BT[:, None])
        return torch.tanh(self.mix(torch.cat([a_BST @ m_BTE, h_BSH], -1))), a_BST


class Dot(nn.Module):
    """e_ts = h_tᵀ m_s. Source: Luong et al. (2015), arXiv:1508.04025, eq. 8 ("dot")."""

    def keys(self, m_BTE: Tensor) -> Tensor:
        """Return what the scores read of the memory, computed once for all steps: (B, T, K)."""
        return m_BTE

    def forward(self, h_BSH: Tensor, k_BTK: Tensor, covered_BT: Tensor | None = None) -> Tensor:
        """Return scores (B, S, T)."""
        return h_BSH @ k_BTK.transpose(1, 2)


class General(Dot):
    """e_ts = h_tᵀ W m_s. Source: Luong et al. (2015), eq. 8 ("general")."""

    def __init__(self, query_width: int, memory_width: int):
        super().__init__()
        self.map = nn.Linear(memory_width, query_width, bias=False)

    def keys(self, m_BTE: Tensor) -> Tensor:
        return self.map(m_BTE)


class Additive(Dot):
    """e_ts = vᵀ tanh(W h_t + U m_s + w_c c_ts + b), where c_ts = Σ_{t' < t} a_t's is the coverage.

    Without coverage it is what Bahdanau et al. score with the decoder's previous state, and, since
    W h + U m = [W U] [h; m], what Luong et al. call "concat" and score with the present one.

    Source: Bahdanau, Cho & Bengio (2015), arXiv:1409.0473, appendix A.1.2; Luong et al. (2015),
    eq. 8; coverage: See, Liu & Manning (2017), arXiv:1704.04368, eqs. 10-11.
    """

    def __init__(self, query_width: int, memory_width: int, width: int, coverage: bool = False):
        super().__init__()
        self.query = nn.Linear(query_width, width)
        self.memory = nn.Linear(memory_width, width, bias=False)
        self.v = nn.Linear(width, 1, bias=False)
        self.covered = nn.Linear(1, width, bias=False) if coverage else None

    def keys(self, m_BTE: Tensor) -> Tensor:
        return self.memory(m_BTE)

    def forward(self, h_BSH: Tensor, k_BTK: Tensor, covered_BT: Tensor | None = None) -> Tensor:
        sum_BSTK = self.query(h_BSH)[:, :, None] + k_BTK[:, None]
        if self.covered is not None and covered_BT is not None:
            sum_BSTK = sum_BSTK + self.covered(covered_BT[:, None, :, None])
        return self.v(torch.tanh(sum_BSTK))[..., 0]


class Positional(Additive):
    """e_ij = vᵀ tanh(W s_{i-1} + U (π_{lag(i, j)} ⊙ h_j) + b), with lag(i, j) = i + T - j.

    π has a vector for each distance between an output i = 1, 2, … and an input j = 1 … T, and is
    all ones at first, so that it begins as additive attention. Distances beyond `reach` share one.

    Source: Cinar et al. (2017), Position-based content attention for time series forecasting with
    sequence-to-sequence RNNs, doi:10.1007/978-3-319-70139-4_54, arXiv:1703.10089.
    """

    def __init__(self, query_width: int, memory_width: int, width: int, reach: int):
        super().__init__(query_width, memory_width, width)
        self.gates = nn.Parameter(torch.ones(reach, memory_width))

    def keys(self, m_BTE: Tensor) -> Tensor:
        return m_BTE

    def at_lags(self, m_BTE: Tensor, lag_BT: Tensor) -> Tensor:
        """Return what `forward` takes as keys, U (π ⊙ h), for lags from 1."""
        gate_BTE = self.gates[(lag_BT - 1).clamp(max=len(self.gates) - 1)]
        return self.memory(gate_BTE * m_BTE)


class Window(nn.Module):
    """A Gaussian window around a position that the query predicts ("local-p").

    p_t = T σ(v_pᵀ tanh(W_p h_t)),  a_ts = softmax_{|s - p_t| <= D}(e_ts) exp(-(s - p_t)² / 2σ²)

    with σ = D / 2 and T the row's length. The weights add up to less than 1.

    Source: Luong et al. (2015), arXiv:1508.04025, eqs. 9 and 10.
    """

    def __init__(self, query_width: int, reach: int):
        super().__init__()
        self.reach = reach
        self.map = nn.Linear(query_width, query_width, bias=False)
        self.v = nn.Linear(query_width, 1, bias=False)

    def forward(self, h_BSH: Tensor, scores_BST: Tensor, mask_BT: Tensor) -> Tensor:
        """Return weights (B, S, T)."""
        length_B11 = mask_BT.sum(1)[:, None, None]
        p_BS1 = length_B11 * torch.sigmoid(self.v(torch.tanh(self.map(h_BSH))))
        distance_BST = torch.arange(mask_BT.shape[1], device=h_BSH.device) - p_BS1
        near_BST = mask_BT[:, None] & (distance_BST.abs() <= self.reach)
        a_BST = weights(scores_BST, near_BST)
        return a_BST * torch.exp(-distance_BST.square() / (2 * (self.reach / 2) ** 2))


def weights(scores_BST: Tensor, mask_BST: Tensor) -> Tensor:
    """Return the softmax over the last dimension where the mask is True, and 0 elsewhere."""
    return scores_BST.masked_fill(~mask_BST, -torch.inf).softmax(-1)


def rotations(steps: int, width: int, like: Tensor) -> Tensor:
    """Return the complex rotations e^{i t θ_k} of positions 0..steps-1: (steps, width / 2).

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
    """Turn pairs (2k, 2k + 1) of the last dimension by t θ_k: rotary position encoding."""
    wide = x_BNTK.to(rotations_TK.real.dtype)
    pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * rotations_TK).flatten(-2).to(x_BNTK.dtype)
