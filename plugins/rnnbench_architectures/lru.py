"""The linear recurrent unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Layout, Refusal, State, setting, undecayed
from rnnbench.nn import ComplexCell, GLUMixer, complex_scan, complexed, mapped, one_pass, tower


class LRUCell(ComplexCell):
    """The cell of `LRU`; B and C have their real parts first, then their imaginary ones."""

    def __init__(self, width: int, units: int, inner: float, outer: float, phase: float):
        super().__init__(width, (units,))
        square = inner**2 + torch.rand(units) * (outer**2 - inner**2)  # uniform on the ring's area
        angle = phase * torch.rand(units)
        self.log_rate = nn.Parameter(torch.log(-0.5 * torch.log(square)))  # ν
        self.log_angle = nn.Parameter(torch.log(angle.clamp(min=1e-6)))  # θ
        self.log_scale = nn.Parameter(0.5 * torch.log1p(-square))  # log γ
        self.into = nn.Parameter(torch.randn(2 * units, width) / math.sqrt(2 * width))  # B
        self.out = nn.Parameter(torch.randn(width, 2 * units) / math.sqrt(units))  # C
        self.around = nn.Parameter(torch.randn(width))  # D
        for p in (self.log_rate, self.log_angle, self.log_scale, self.into):
            undecayed(p)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([F.linear(x_BTD, self.into), x_BTD], -1)

    def factors(self, p: Tensor) -> tuple[Tensor, Tensor]:
        a_N = torch.exp(torch.complex(-self.log_rate.exp(), self.log_angle.exp()))
        return a_N, self.log_scale.exp() * complexed(p[..., : -self.width])

    def read(self, h: Tensor, p: Tensor) -> Tensor:
        parts = torch.cat([h.real, -h.imag], -1)  # Re(C h) = Re C Re h - Im C Im h
        return F.linear(parts, self.out) + self.around * p[..., -self.width :]

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        (h_BN2,) = self.initial(x_BTD[:, 0]) if state is None else state
        size_N, angle_N = torch.exp(-self.log_rate.exp()), self.log_angle.exp()
        real_N, imaginary_N = size_N * torch.cos(angle_N), size_N * torch.sin(angle_N)
        scaled_GD = self.log_scale.exp().repeat(2)[:, None] * self.into
        b_BTG = mapped(x_BTD, scaled_GD, None)
        h_BTG = complex_scan(real_N, imaginary_N, b_BTG, h_BN2.transpose(1, 2).flatten(1))
        real_HN, imaginary_HN = self.out.chunk(2, 1)
        y_BTH = mapped(h_BTG, torch.cat([real_HN, -imaginary_HN], 1), None)
        y_BTH = one_pass.scaled_sum(y_BTH, self.around, x_BTD)
        return y_BTH, (h_BTG[:, -1].unflatten(1, (2, -1)).transpose(1, 2),)


@dataclass(frozen=True)
class LRU(Architecture):
    """Linear recurrent unit: a diagonal complex recurrence between residual gated maps.

    h_t = λ ⊙ h_{t-1} + γ ⊙ (B x_t),   y_t = Re(C h_t) + D ⊙ x_t
    λ = exp(−exp(ν) + i·exp(θ)),   γ begins as √(1 − |λ|²) and is trained as its logarithm

    λ starts uniform on the ring r_min ≤ |λ| ≤ r_max, with an angle in [0, phase]. A block is
    x + GLU(GELU(LRU(norm(x)))), the norm being RMSNorm (batch norm in the paper, which would mix
    rows). ν, θ, γ and B never decay with the weights, as in the paper, which also trains them at a
    smaller learning rate; here all parameters have the optimiser's.

    Source: Orvieto et al. (2023), arXiv:2303.06349, section 3 and appendix A.
    """

    name: ClassVar[str] = "lru"
    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6, "layers": 1, "units": 4}

    hidden: int = setting(128, "model width", unit="units", low=1, search=(32, 256, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    units: int = setting(128, "complex numbers in the state", low=1, search=(32, 256, "log"))
    r_min: float = setting(0.9, "least |λ| at the start", low=0.0, high=0.9999)
    r_max: float = setting(0.999, "greatest |λ| at the start", low=0.0001, high=0.99999)
    phase: float = setting(6.283, "greatest angle of λ at the start", low=1e-4, high=6.3)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.r_min >= self.r_max:
            raise Refusal(
                f"lru: r_min = {self.r_min} is not below r_max = {self.r_max}.\n"
                "  Choose 0 <= r_min < r_max < 1."
            )

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        mixers = (
            GLUMixer(LRUCell(self.hidden, self.units, self.r_min, self.r_max, self.phase))
            for _ in range(self.layers)
        )
        return tower(d_in, mixers, self.dropout, always_mapped=False)
