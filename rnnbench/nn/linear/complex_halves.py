"""Linear recurrences of complex numbers whose factors stay fixed over time, in real arithmetic.

Complex numbers are kept as halves: (..., 2N), real parts first, then imaginary ones, as real
matrices around a recurrence make and read them, so that nothing is laid out anew for it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rnnbench.contract import Cell
from rnnbench.nn import scan
from rnnbench.nn.linear.scan import linear_scan


class FixedFactors(Cell):
    """One step h ← a ⊙ h + p; the state is (h, Re a, Im a), of which a stays fixed."""

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BG, real_N, imaginary_N = state
        (h_re, h_im), (p_re, p_im) = h_BG.chunk(2, -1), p_BG.chunk(2, -1)
        new_re = real_N * h_re - imaginary_N * h_im + p_re
        new_im = real_N * h_im + imaginary_N * h_re + p_im
        h_BG = torch.cat([new_re, new_im], -1)
        return h_BG, (h_BG, real_N, imaginary_N)


_FIXED = FixedFactors()


def complex_scan(real_N: Tensor, imaginary_N: Tensor, b_BTG: Tensor, start_BG: Tensor) -> Tensor:
    """Return h_1 … h_T of h_t = a ⊙ h_{t-1} + b_t as halves, (B, T, 2N).

    Args:
        real_N, imaginary_N: parts of a.
        b_BTG: halves of b.
        start_BG: halves of h_0.
    Returns:
        h, in float32 at least.
    """
    exact = torch.promote_types(b_BTG.dtype, torch.float32)
    real_N, imaginary_N, b_BTG, start_BG = (
        v.to(exact) for v in (real_N, imaginary_N, b_BTG, start_BG)
    )
    done = scan.run_linear(_FIXED, b_BTG, (start_BG, real_N, imaginary_N))
    if done is not None:
        return done[0]
    a_N = torch.complex(real_N, imaginary_N)
    b_BTN, start_BN = (torch.complex(*v.chunk(2, -1)) for v in (b_BTG, start_BG))
    h_BTN = linear_scan(a_N, b_BTN, start_BN)
    return torch.cat([h_BTN.real, h_BTN.imag], -1)
