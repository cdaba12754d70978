"""The diagonal structured state-space model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, Layout, Refusal, State, setting, undecayed
from rnnbench.nn import ComplexCell, GLUMixer, linear_scan, one_pass, oscillate, tower

BLOCK = 64  # steps that are made by one product


class S4DCell(ComplexCell):
    """The cell of `S4D`: a channel has N complex numbers, which stand for their conjugates too.

    Its steps need no scan over (B, T, H, N): within a block of steps the output is a product of
    the input by the powers of λ, and only the states between blocks are kept.
    """

    def __init__(self, width: int, units: int, spectrum: str, slowest: float, fastest: float):
        super().__init__(width, (width, units))
        low, high = math.log(slowest), math.log(fastest)
        self.log_step = nn.Parameter(torch.empty(width).uniform_(low, high))
        n = torch.arange(units)
        if spectrum == "linear":
            frequency = math.pi * n
        else:
            frequency = 2 * units / math.pi * (2 * units / (2 * n + 1) - 1)
        self.log_decay = nn.Parameter(torch.full((width, units), math.log(0.5)))  # -Re A = 1/2
        self.frequency = nn.Parameter(frequency.float().repeat(width, 1))  # Im A
        self.out = nn.Parameter(torch.randn(width, units, 2) / math.sqrt(2))  # C
        self.around = nn.Parameter(torch.randn(width))  # D
        for p in (self.log_step, self.log_decay, self.frequency):
            undecayed(p)

    def discrete(self) -> tuple[Tensor, Tensor]:
        """Return log λ = Δ A and C (exp(ΔA) - 1) / A, both (H, N): zero-order hold, with B = 1."""
        a_HN = torch.complex(-self.log_decay.exp(), self.frequency)
        log_HN = self.log_step.exp()[:, None] * a_HN
        return log_HN, torch.view_as_complex(self.out) * torch.expm1(log_HN) / a_HN

    def factors(self, p: Tensor) -> tuple[Tensor, Tensor]:
        log_HN, _ = self.discrete()
        return torch.exp(log_HN), torch.complex(p, torch.zeros_like(p))[..., None]

    def read(self, h: Tensor, p: Tensor) -> Tensor:
        _, c_HN = self.discrete()
        return 2 * (c_HN * h).sum(-1).real + self.around * p

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        if x_BTD.shape[-1] != self.width:
            raise ValueError(f"an input of width {x_BTD.shape[-1]} for {self.width} channels")
        return x_BTD.float() if x_BTD.dtype in (torch.float16, torch.bfloat16) else x_BTD

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial(x_BTD[:, 0]) if state is None else state
        x_BTH = self.project(x_BTD, state)
        done = self.one_pass(x_BTH, state[0])
        if done is not None:
            return done
        h_BHN = torch.view_as_complex(state[0].contiguous())
        whole = x_BTH.shape[1] - x_BTH.shape[1] % BLOCK
        outputs = []
        for part in (x_BTH[:, :whole], x_BTH[:, whole:]):
            if part.shape[1]:
                y_BTH, h_BHN = self.blocks(part, h_BHN, min(BLOCK, part.shape[1]))
                outputs.append(y_BTH)
        return torch.cat(outputs, 1) + self.around * x_BTH, (torch.view_as_real(h_BHN),)

    def one_pass(self, x_BTH: Tensor, h_BHN2: Tensor) -> tuple[Tensor, State] | None:
        """Run all steps in C; None where it does not run."""
        log_HN, c_HN = self.discrete()
        a_HN2 = torch.view_as_real(torch.exp(log_HN))
        c_HN2 = 2 * torch.view_as_real(c_HN.conj().resolve_conj())
        done = oscillate(x_BTH, a_HN2, c_HN2, h_BHN2)
        if done is None:
            return None
        y_BTH, h_BHN2 = done
        return one_pass.scaled_sum(y_BTH, self.around, x_BTH), (h_BHN2,)

    def blocks(self, x_BTH: Tensor, h_BHN: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Run a whole number of blocks of L = `steps`, without the part of D."""
        log_HN, c_HN = self.discrete()
        j = torch.arange(steps + 1, device=x_BTH.device)
        power_HNL = torch.exp(log_HN[..., None] * j.to(x_BTH.dtype))  # λ^0 … λ^L
        u_HLM = x_BTH.unflatten(1, (-1, steps)).permute(3, 2, 0, 1).flatten(2)  # M = B·C blocks
        # What a block leaves behind: Σ_s λ^(L-1-s) x_s.
        left_HNL = power_HNL[..., :-1].flip(-1)
        z_HNM = torch.complex(left_HNL.real @ u_HLM, left_HNL.imag @ u_HLM)
        z_BCHN = z_HNM.unflatten(2, (x_BTH.shape[0], -1)).permute(2, 3, 0, 1)
        ends_BCHN = linear_scan(power_HNL[..., -1], z_BCHN, h_BHN)
        begin_BCHN = torch.cat([h_BHN[:, None], ends_BCHN[:, :-1]], 1)
        # What a block makes of its own input, y_t = Σ_{s≤t} K_{t-s} x_s, and of what it began with.
        kernel_HL = 2 * (c_HN[..., None] * power_HNL[..., :-1]).sum(1).real
        lag_LL = j[:-1, None] - j[None, :-1]
        toeplitz_HLL = kernel_HL[:, lag_LL.clamp(min=0)] * (lag_LL >= 0)
        seen_HLN = 2 * (c_HN[..., None] * power_HNL[..., 1:]).transpose(1, 2)
        begin_HNM = begin_BCHN.permute(2, 3, 0, 1).flatten(2)
        y_HLM = toeplitz_HLL @ u_HLM
        y_HLM = y_HLM + seen_HLN.real @ begin_HNM.real - seen_HLN.imag @ begin_HNM.imag
        y_BTH = y_HLM.unflatten(2, (x_BTH.shape[0], -1)).permute(2, 3, 1, 0).flatten(1, 2)
        return y_BTH, ends_BCHN[:, -1]


@dataclass(frozen=True)
class S4D(Architecture):
    """Diagonal state-space model: each channel is filtered by a sum of damped oscillations.

    h′ = A h + x,   y = 2 Re(C h) + D x   in each channel, with diagonal complex A,
    sampled by zero-order hold at a step Δ of the channel's own:
    h_t = exp(ΔA) ⊙ h_{t-1} + x_t,   y_t = 2 Re((C ⊙ (exp(ΔA) − 1) / A) · h_t) + D x_t

    A_n starts as −1/2 + iπn (spectrum=linear, S4D-Lin) or −1/2 + i (N/π)(N/(2n+1) − 1)
    (spectrum=inverse, S4D-Inv; N = 2 · units). Δ starts log-uniform in [slowest, fastest]. A block
    is x + GLU(GELU(S4D(norm(x)))), the norm being RMSNorm (LayerNorm after the sum in the authors'
    example). A and Δ never decay with the weights, as in the authors' code; the paper also trains
    them at a smaller learning rate, here all parameters have the optimiser's.

    Source: Gu, Gupta, Goel & Ré (2022), On the parameterization and initialization of diagonal
    state space models, arXiv:2206.11893, section 3 and eqs. 7-9.
    """

    name: ClassVar[str] = "s4d"
    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6, "layers": 1, "units": 3}

    hidden: int = setting(128, "model width", unit="units", low=1, search=(32, 256, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    units: int = setting(32, "complex numbers in the state of a channel", low=1, search=(8, 64))
    spectrum: Literal["linear", "inverse"] = setting("linear", "imaginary parts of A at the start")
    slowest: float = setting(0.001, "least Δ at the start", low=1e-6, high=1.0)
    fastest: float = setting(0.1, "greatest Δ at the start", low=1e-6, high=1.0)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slowest > self.fastest:
            raise Refusal(
                f"s4d: slowest = {self.slowest} is above fastest = {self.fastest}.\n"
                "  Choose slowest <= fastest."
            )

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        mixers = (
            GLUMixer(
                S4DCell(self.hidden, self.units, self.spectrum, self.slowest, self.fastest)
            )
            for _ in range(self.layers)
        )  # fmt: skip
        return tower(d_in, mixers, self.dropout, always_mapped=False)
