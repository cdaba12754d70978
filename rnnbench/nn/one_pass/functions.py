"""Gates, norms and short convolutions: `plain` in torch, and the same in C where that may run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnbench.nn.one_pass.calls import RowFunction, call, dense_like, place, run

Bend = Literal["sigmoid", "silu", "gelu", "tanh_gelu"]
BENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "tanh_gelu": lambda x: F.gelu(x, approximate="tanh"),
}


def gated(bend: Bend, gate_BTN: Tensor, x_BTN: Tensor) -> Tensor:
    """Return f(gate) ⊙ x."""
    return run(GATES[bend], gate_BTN, x_BTN)


def gated_halves(bend: Bend, p_BTG: Tensor, gate_first: bool = True) -> Tensor:
    """Return f(gate) ⊙ x of the halves gate and x of p, or x and gate."""
    return run(HALVES[bend, gate_first], p_BTG)


def rms_norm(x_BTN: Tensor, gain_N: Tensor, eps: float) -> Tensor:
    """Return x / √(mean x² + eps) ⊙ gain, the mean over a row."""
    return run(norm_of(eps), x_BTN, gain_N)


def short_convolution(
    x_BTN: Tensor, past_BKN: Tensor, weight_KN: Tensor, bias_N: Tensor, bent: bool = False
) -> Tensor:
    """Return y_t = Σ_{k<K} w_k ⊙ x_{t-k} + b, or SiLU of it, each channel alone.

    Args:
        past_BKN: the K - 1 inputs before the first.
        bent: with SiLU.
    """
    return run(CONVOLUTIONS[bent], x_BTN, past_BKN, weight_KN, bias_N)


def scaled_sum(a_BTN: Tensor, scale_N: Tensor, x_BTN: Tensor) -> Tensor:
    """Return a + scale ⊙ x."""
    return run(SCALED_SUM, a_BTN, scale_N, x_BTN)


def block_map(x_BTN: Tensor, weight_NKK: Tensor) -> Tensor:
    """Return x mapped in blocks of K numbers, each by its own matrix (K, K), without a bias."""
    if weight_NKK.shape[1] not in (1, 2, 4):
        return BLOCKS.plain(x_BTN, weight_NKK)
    return run(BLOCKS, x_BTN, weight_NKK)


def _gate(bend: str) -> RowFunction:
    def forward(gate: Tensor, x: Tensor) -> Tensor:
        y = dense_like(gate)
        call(gate, f"{bend}_times", *gate.shape, *place(gate), *place(x), *place(y))
        return y

    def backward(dy: Tensor, gate: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        of_gate, of_x = dense_like(gate), dense_like(x)
        read = *place(gate), *place(x), *place(dy)
        call(gate, f"{bend}_times_back", *gate.shape, *read, *place(of_gate), *place(of_x))
        return of_gate, of_x

    return RowFunction(
        f"gate {bend}", lambda gate, x: BENDS[bend](gate) * x, forward, backward, "rr"
    )


def _halves(bend: str, gate_first: bool) -> RowFunction:
    def halves(p: Tensor) -> tuple[Tensor, Tensor]:
        first, second = p.chunk(2, -1)
        return (first, second) if gate_first else (second, first)

    def plain(p: Tensor) -> Tensor:
        return GATES[bend].plain(*halves(p))

    def forward(p: Tensor) -> Tensor:
        return GATES[bend].forward(*halves(p))

    def backward(dy: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        of_p, (gate, x) = dense_like(p), halves(p)
        read = *place(gate), *place(x), *place(dy)
        of_gate, of_x = halves(of_p)
        call(p, f"{bend}_times_back", *gate.shape, *read, *place(of_gate), *place(of_x))
        return (of_p,)

    return RowFunction(f"gate {bend} of halves", plain, forward, backward, "h")


GATES = {bend: _gate(bend) for bend in BENDS}
HALVES = {(bend, first): _halves(bend, first) for bend in BENDS for first in (True, False)}
_norms: dict[float, RowFunction] = {}


def norm_of(eps: float) -> RowFunction:
    def forward(x: Tensor, gain: Tensor) -> Tensor:
        y = dense_like(x)
        call(x, "norm", *x.shape, x.new_tensor(eps), gain, *place(x), *place(y))
        return y

    def backward(dy: Tensor, x: Tensor, gain: Tensor) -> tuple[Tensor, ...]:
        of_x, of_gain, room = dense_like(x), torch.zeros_like(gain), torch.empty_like(gain)
        read = x.new_tensor(eps), gain, *place(x), *place(dy)
        call(x, "norm_back", *x.shape, *read, *place(of_x), of_gain, room)
        return of_x, of_gain

    def plain(x: Tensor, gain: Tensor) -> Tensor:
        return F.rms_norm(x, gain.shape, gain, eps)

    if eps not in _norms:
        _norms[eps] = RowFunction("norm", plain, forward, backward, "rv")
    return _norms[eps]


def _convolution(bent: bool) -> RowFunction:
    def plain(x: Tensor, past: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        whole, steps, first = torch.cat([past, x], 1), x.shape[1], past.shape[1]
        # A sum of shifted products: on the CPU faster than grouped convolutions of torch.
        y = torch.addcmul(bias, whole[:, first:], weight[0])
        for k in range(1, first + 1):
            y = torch.addcmul(y, whole[:, first - k : first - k + steps], weight[k])
        return F.silu(y) if bent else y

    def forward(x: Tensor, past: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = dense_like(x)
        sizes = *x.shape, weight.shape[0], int(bent)
        call(x, "convolution", *sizes, weight, bias, past, *place(x), *place(y))
        return y

    def backward(
        dy: Tensor, x: Tensor, past: Tensor, weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, ...]:
        of_x, of_past = dense_like(x), torch.empty_like(past)
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        sizes = *x.shape, weight.shape[0], int(bent)
        read = weight, bias, past, *place(x), *place(dy)
        room = x.new_empty((weight.shape[0] + 1) * x.shape[2])
        call(x, "convolution_back", *sizes, *read, of_weight, of_bias, of_past, *place(of_x), room)
        return of_x, of_past, of_weight, of_bias

    return RowFunction("short convolution", plain, forward, backward, "rpkv")


CONVOLUTIONS = {bent: _convolution(bent) for bent in (False, True)}


def _blocks() -> RowFunction:
    def plain(x: Tensor, weight: Tensor) -> Tensor:
        blocks = x.unflatten(-1, weight.shape[:2])
        return torch.einsum("...ni,noi->...no", blocks, weight).flatten(-2)

    def mapped(x: Tensor, columns: Tensor) -> Tensor:
        y = dense_like(x)
        call(x, "block_map", *x.shape, columns.shape[1], columns, *place(x), *place(y))
        return y

    def forward(x: Tensor, weight: Tensor) -> Tensor:
        return mapped(x, weight.transpose(1, 2).contiguous())

    def backward(dy: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        of_weight = torch.zeros_like(weight)
        sizes = *x.shape, weight.shape[1]
        call(x, "block_map_outer", *sizes, *place(x), *place(dy), of_weight)
        return mapped(dy, weight), of_weight

    return RowFunction("map in blocks", plain, forward, backward, "xb")


BLOCKS = _blocks()


def _scaled_sum() -> RowFunction:
    def plain(a: Tensor, scale: Tensor, x: Tensor) -> Tensor:
        return a + scale * x

    def forward(a: Tensor, scale: Tensor, x: Tensor) -> Tensor:
        y = dense_like(a)
        call(a, "scaled_sum", *a.shape, scale, *place(a), *place(x), *place(y))
        return y

    def backward(dy: Tensor, a: Tensor, scale: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        of_x, of_scale = dense_like(x), torch.zeros_like(scale)
        read = scale, *place(x), *place(dy)
        call(x, "scaled_sum_back", *x.shape, *read, *place(of_x), of_scale)
        return dy, of_scale, of_x

    return RowFunction("scaled sum", plain, forward, backward, "rvr")


SCALED_SUM = _scaled_sum()
