"""A linear map of all time steps by the products of the C tier; elsewhere torch's own."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnbench.nn.scan.c.compiler import library
from rnnbench.nn.scan.c.matmul_source import SOURCE
from rnnbench.nn.scan.choice import chosen, operators_are_watched
from rnnbench.nn.scan.unsupported import Unsupported

PANEL = 64  # no tile is wider


def linear(x_BTD: Tensor, weight_GD: Tensor, bias_G: Tensor | None) -> Tensor:
    """Return W x + b for all steps: (B, T, G), time first in memory, as a scan reads it."""
    x_TBD = x_BTD.transpose(0, 1)
    if _fits(x_BTD, weight_GD, bias_G):
        p_TBG = _Linear.apply(x_TBD.contiguous(), weight_GD, bias_G)
    else:
        p_TBG = F.linear(x_TBD, weight_GD, bias_G)
    return p_TBG.transpose(0, 1)


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Tell whether the C products can compute this map."""
    return (
        x.device.type == "cpu"
        and chosen() in ("auto", "c")
        and x.dtype in (torch.float32, torch.float64)
        and weight.dtype is x.dtype
        and (bias is None or bias.dtype is x.dtype)
        and x.shape[1] > 1
        and x.numel() > 0
        and torch.get_num_threads() == 1  # torch's product uses them all
        and not torch.is_autocast_enabled("cpu")
        and not operators_are_watched(x)
        and agrees(x.dtype)
    )


@functools.cache
def agrees(dtype: torch.dtype) -> bool:
    """Tell whether the library can be built and gives torch's results on this machine."""
    try:
        kernels(dtype)
    except Unsupported:
        return False
    random = torch.Generator().manual_seed(3)
    for m, n, k in ((1, 1, 1), (37, 75, 300), (300, 8, 33)):
        x, w, b, g = (
            torch.randn(shape, generator=random, dtype=dtype)
            for shape in ((m, k), (n, k), n, (m, n))
        )
        expected = (F.linear(x, w, b), g @ w, g.t() @ x)
        computed = (affine(x, w.t(), b), affine(g, w, None), outer(g, x))
        limit = 1e-4 if dtype is torch.float32 else 1e-12
        if any(
            not (a - b).abs().max() <= limit * b.abs().max()
            for a, b in zip(computed, expected, strict=True)
        ):
            return False
    return True


@functools.cache
def kernels(dtype: torch.dtype) -> ctypes.CDLL:
    """Return the library of products in a precision.

    Raises:
        Unsupported: they cannot be built here.
    """
    built = library(SOURCE, dtype is torch.float64)
    built.packed.restype = ctypes.c_int64
    return built


def packed(n: int, k: int, dtype: torch.dtype) -> int:
    """Return the number of elements of a packed (k, n) matrix."""
    return int(kernels(dtype).packed(ctypes.c_int64(n), ctypes.c_int64(k)))


def affine(x_MK: Tensor, w_KN: Tensor, bias_N: Tensor | None) -> Tensor:
    """Return x @ w + bias (M, N) for a contiguous x and a w of any strides."""
    (m, k), n = x_MK.shape, w_KN.shape[1]
    out, room = x_MK.new_empty(m, n), x_MK.new_empty(packed(n, k, x_MK.dtype) + n + PANEL)
    _call(x_MK.dtype, "affine", m, n, k, x_MK, w_KN, *w_KN.stride(), bias_N, out, room)
    return out


def outer(a_KM: Tensor, b_KN: Tensor) -> Tensor:
    """Return aᵀ @ b (M, N) for contiguous a and b; it packs the narrower of them."""
    (k, m), n = a_KM.shape, b_KN.shape[1]
    if n > m:
        return outer(b_KN, a_KM).t()
    out, room = a_KM.new_empty(m, n), a_KM.new_empty(packed(n, 256, a_KM.dtype))
    _call(a_KM.dtype, "outer", m, n, k, a_KM, b_KN, out, room)
    return out


def _call(dtype: torch.dtype, name: str, *arguments: int | Tensor | None) -> None:
    """Call a function of the library; None is a null pointer."""
    getattr(kernels(dtype), name)(
        *(
            ctypes.c_int64(a)
            if isinstance(a, int)
            else ctypes.c_void_p(None if a is None else a.data_ptr())
            for a in arguments
        )
    )


class _Linear(torch.autograd.Function):
    """The linear map in the graph of autograd, twice differentiable."""

    @staticmethod
    def forward(ctx: Any, x_TBD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_TBD, weight)
        flat = x_TBD.flatten(0, 1)
        bias = None if bias is None else bias.contiguous()
        return affine(flat, weight.t(), bias).unflatten(0, x_TBD.shape[:2])

    @staticmethod
    def backward(ctx: Any, dp_TBG: Tensor) -> Any:
        x_TBD, weight = ctx.saved_tensors
        dp, x = dp_TBG.flatten(0, 1), x_TBD.flatten(0, 1)
        twice = torch.is_grad_enabled()  # create_graph: only torch's operators have derivatives
        dx = dw = db = None
        if not twice:
            dp = dp.contiguous()
        if ctx.needs_input_grad[0]:
            dx = (dp @ weight if twice else affine(dp, weight, None)).view(x_TBD.shape)
        if ctx.needs_input_grad[1]:
            dw = dp.t() @ x if twice else outer(dp, x)
        if ctx.needs_input_grad[2]:
            db = dp.sum(0)
        return dx, dw, db
