"""Distributions of real values, as a model puts them out: normal, Student's t, and quantiles.

P counts parameters, V values, Q levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnbench.contract import Distribution

__all__ = ["LEVELS", "Forecaster", "Gaussian", "Quantiles", "StudentT", "distribution"]

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))
TINY = 1e-30  # in place of a distance of 0, by which nothing can be divided
SMALLEST = 1e-4  # of a scale, so that a density stays finite where errors are zero


class Forecaster(Distribution):
    """A distribution that can also be scored. `out` is (..., P * V), as in `Distribution`."""

    def crps(self, out: Tensor, y: Tensor) -> Tensor:
        """Return the continuous ranked probability score (..., V), in the unit of y."""
        raise NotImplementedError

    def quantile(self, out: Tensor, level: float) -> Tensor:
        """Return what a value stays below with probability `level`: (..., V)."""
        raise NotImplementedError

    def blocks(self, out: Tensor) -> tuple[Tensor, ...]:
        """Return the P parameters, each (..., V)."""
        return out.chunk(self.parameters, -1)

    def point(self, out: Tensor) -> Tensor:
        return self.blocks(out)[0]

    def around(self, y: Tensor) -> Tensor:
        return torch.cat([y, *[torch.zeros_like(y)] * (self.parameters - 1)], -1)


@dataclass(frozen=True)
class Gaussian(Forecaster):
    """Normal with mean μ and standard deviation σ = softplus(s) + 1e-4; out is μ, s.

    -ln p(y) = ln σ + ½ ln 2π + ½ z²,  z = (y - μ) / σ
    CRPS = σ [z (2 Φ(z) - 1) + 2 φ(z) - 1/√π]

    Source of CRPS: Gneiting & Raftery (2007), J. Am. Stat. Assoc. 102(477), section 4.2.
    """

    parameters = 2

    def nll(self, out: Tensor, y: Tensor) -> Tensor:
        mean, scale = self._read(out)
        return scale.log() + 0.5 * math.log(2 * math.pi) + 0.5 * ((y - mean) / scale).square()

    def crps(self, out: Tensor, y: Tensor) -> Tensor:
        mean, scale = self._read(out)
        z = (y - mean) / scale
        density = (-0.5 * z.square()).exp() / math.sqrt(2 * math.pi)
        below = torch.special.ndtr(z)
        return scale * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))

    def quantile(self, out: Tensor, level: float) -> Tensor:
        mean, scale = self._read(out)
        return mean + scale * torch.special.ndtri(torch.tensor(level, dtype=torch.float64)).item()

    def _read(self, out: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.blocks(out)
        return mean, F.softplus(raw) + SMALLEST


@dataclass(frozen=True)
class StudentT(Forecaster):
    """Student's t with location μ, scale σ = softplus(s) + 1e-4 and ν = 2 + softplus(d) + 1e-4
    degrees of freedom; out is μ, s, d. With ν > 2 mean μ and variance are finite.

    -ln p(y) = ln σ + ½ ln(ν π) + ln Γ(ν/2) - ln Γ((ν+1)/2) + ½ (ν+1) ln(1 + z²/ν)
    CRPS = σ [z (2 F(z) - 1) + 2 f(z) (ν + z²)/(ν - 1)
              - 2 √ν/(ν - 1) B(½, ν - ½) / B(½, ν/2)²],  f and F of the standard t

    Source of CRPS: Jordan, Krüger & Lerch (2019), J. Stat. Softw. 90(12), arXiv:1709.04743,
    appendix A.
    """

    parameters = 3

    def nll(self, out: Tensor, y: Tensor) -> Tensor:
        mean, scale, nu = self._read(out)
        return scale.log() - _log_density((y - mean) / scale, nu)

    def crps(self, out: Tensor, y: Tensor) -> Tensor:
        from scipy.special import stdtr  # torch has no distribution function of t

        mean, scale, nu = self._read(out)
        z = (y - mean) / scale
        below = _by_scipy(stdtr, nu, z)
        half = torch.full_like(nu, 0.5)
        spread = (_log_beta(half, nu - 0.5) - 2 * _log_beta(half, nu / 2)).exp()
        tail = 2 * _log_density(z, nu).exp() * (nu + z.square()) / (nu - 1)
        return scale * (z * (2 * below - 1) + tail - 2 * nu.sqrt() / (nu - 1) * spread)

    def quantile(self, out: Tensor, level: float) -> Tensor:
        from scipy.special import stdtrit

        mean, scale, nu = self._read(out)
        return mean + scale * _by_scipy(stdtrit, nu, torch.full_like(nu, level))

    def _read(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, raw, freedom = self.blocks(out)
        return mean, F.softplus(raw) + SMALLEST, 2 + F.softplus(freedom) + SMALLEST


@dataclass(frozen=True)
class Quantiles(Forecaster):
    """Quantiles at the levels 0.05, 0.10 … 0.95, which never cross.

    out is the median m and 18 steps: q at the level τ is m plus (above ½) or minus (below) the sum
    of softplus of the steps between. The loss is twice the mean pinball loss over the levels,
    2/Q Σ_τ (τ - [y < q_τ]) (y - q_τ).

    CRPS = ∫ (F(x) - [y ≤ x])² dx, exact for the distribution whose F goes straight from quantile to
    quantile and has exponential tails, each through the outermost two on its side. If the quantiles
    are those of a normal, Laplace, t (3 degrees of freedom), Gumbel, exponential, log-normal or
    uniform distribution, it is within 1% of that distribution's CRPS at every y between its
    percentiles 0.5 and 99.5, and within 0.1% of its mean over y. (The mean pinball loss over the
    levels leaves out the tails, where it is small, and is 5% too high.)

    Source: Koenker & Bassett (1978), Econometrica 46(1), for the loss; Gneiting & Raftery (2007),
    J. Am. Stat. Assoc. 102(477), section 4.2, for CRPS; tails: Park et al. (2022), Learning
    quantile functions without quantile crossing, AISTATS, arXiv:2111.06581.
    """

    parameters = len(LEVELS)

    def nll(self, out: Tensor, y: Tensor) -> Tensor:
        total = torch.zeros_like(y)
        for level, q in zip(LEVELS, self._read(out), strict=True):
            error = y - q
            total = total + torch.maximum(level * error, (level - 1) * error)
        return 2 / len(LEVELS) * total

    def crps(self, out: Tensor, y: Tensor) -> Tensor:
        q = self._read(out)
        total = _tail(q[0] - y, q[1] - q[0]) + _tail(y - q[-1], q[-1] - q[-2])
        for a, b, low, high in zip(LEVELS, LEVELS[1:], q, q[1:], strict=False):
            width = high - low
            share = ((y - low) / width.clamp(min=TINY)).clamp(0, 1)
            at_y = a + (b - a) * share  # F at y, or at the end of the piece that is nearer to y
            cubes = at_y**3 - a**3 + (1 - at_y) ** 3 - (1 - b) ** 3
            total = total + width * cubes / (3 * (b - a))
        return total

    def quantile(self, out: Tensor, level: float) -> Tensor:
        if level not in LEVELS:
            raise ValueError(f"there is no quantile at {level}; there are {LEVELS}")
        return self._read(out)[LEVELS.index(level)]

    def _read(self, out: Tensor) -> list[Tensor]:
        """Return the quantiles, from the lowest up."""
        median, *steps = self.blocks(out)
        half = len(LEVELS) // 2
        steps = [F.softplus(step) for step in steps]
        above, below = [median], [median]
        for i in range(half):
            above.append(above[-1] + steps[i])
            below.append(below[-1] - steps[half + i])
        return [*reversed(below[1:]), *above]


def distribution(name: Literal["gaussian", "student-t", "quantiles"]) -> Forecaster:
    """Return a distribution by its name."""
    return {"gaussian": Gaussian(), "student-t": StudentT(), "quantiles": Quantiles()}[name]


def _tail(beyond: Tensor, gap: Tensor) -> Tensor:
    """Return the part of CRPS beyond the outermost quantile, of the level 0.05 on its side.

    Args:
        beyond: how far y lies beyond that quantile; negative where it does not.
        gap: distance to the next quantile, of the level 0.10.
    """
    tau = LEVELS[0]
    scale = gap.clamp(min=TINY) / math.log(LEVELS[1] / tau)
    beyond = beyond.clamp(min=0)
    left = tau * (-beyond / scale).exp()  # the probability beyond y
    return beyond - 2 * scale * (tau - left) + scale * tau**2 / 2


def _log_density(z: Tensor, nu: Tensor) -> Tensor:
    constant = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - 0.5 * (nu * math.pi).log()
    return constant - (nu + 1) / 2 * torch.log1p(z.square() / nu)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def _by_scipy(function: Callable[..., Any], *arguments: Tensor) -> Tensor:
    first = arguments[0]
    values = function(*(a.detach().double().cpu().numpy() for a in arguments))
    return torch.from_numpy(values).to(first)
