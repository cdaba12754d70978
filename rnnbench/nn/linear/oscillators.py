"""Channels that are filtered by damped oscillations, whose states are never laid out for all steps.

    h_t = a ⊙ h_{t-1} + x_t,   y_t = Σ_n Re(c̄_n h_{t,n})

for E channels with N complex numbers each. It runs in C in one pass on the CPU, where a compiler is
and the result agrees with `expanded`, which lays out (B, T, E, N) numbers.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from rnnbench.nn.linear.oscillators_source import CHUNK, LANES, SOURCE
from rnnbench.nn.linear.scan import linear_scan
from rnnbench.nn.scan.c.compiler import library
from rnnbench.nn.scan.choice import (
    chosen,
    gradient_is_watched,
    note_named,
    operators_are_watched,
    warn_once,
)
from rnnbench.nn.scan.unsupported import KernelFailed, Unsupported
from rnnbench.nn.scan.verify_kernel import TOLERANCE

NAME = "oscillators"
INPUTS = "x", "a", "c", "the first state"


def oscillate(
    x_BTE: Tensor, a_EN2: Tensor, c_EN2: Tensor, start_BEN2: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Return y (B, T, E) and the last state; None where C does not run it.

    Args:
        a_EN2, c_EN2, start_BEN2: real and imaginary parts.
    """
    inputs = x_BTE, a_EN2, c_EN2, start_BEN2
    if x_BTE.device.type != "cpu" or x_BTE.numel() == 0:
        return None
    reason = _why_not(inputs)
    note_named(NAME, "eager" if reason is not None else "c", reason or "")
    return None if reason is not None else _Oscillators.apply(*(v.contiguous() for v in inputs))


def expanded(
    x_BTE: Tensor, a_EN2: Tensor, c_EN2: Tensor, start_BEN2: Tensor
) -> tuple[Tensor, Tensor]:
    """Do the same by `linear_scan`."""
    x_BTE1 = x_BTE[..., None]
    b_BTEN = torch.complex(x_BTE1, torch.zeros_like(x_BTE1)).expand(*x_BTE.shape, a_EN2.shape[1])
    a_EN, start_BEN = (torch.view_as_complex(v.contiguous()) for v in (a_EN2, start_BEN2))
    h_BTEN = linear_scan(a_EN, b_BTEN, start_BEN)
    y_BTE = (torch.view_as_real(h_BTEN) * c_EN2).sum((-2, -1))
    return y_BTE, torch.view_as_real(h_BTEN[:, -1])


def _why_not(inputs: tuple[Tensor, ...]) -> str | None:
    """Return why C does not run these inputs, "" where it was not asked to; None: it does."""
    dtype = inputs[0].dtype
    if chosen() not in ("auto", "c"):
        return ""
    if any(v.dtype is not dtype for v in inputs) or dtype not in TOLERANCE:
        return f"it is not written for {dtype}"
    if any(operators_are_watched(v.data if type(v) is torch.nn.Parameter else v) for v in inputs):
        return "something looks into its operators"
    return agreed(dtype) or None


@functools.cache
def agreed(dtype: torch.dtype) -> str:
    """Return why the kernel cannot run, or how it differs from `expanded`; "": it agrees."""
    try:
        _library(dtype)
        reason = _difference(dtype)
    except KernelFailed as error:
        reason = str(error)
    except Unsupported as error:
        return str(error)
    if reason:
        warn_once(f"Channels filtered by oscillations do not run in C: {reason}")
    return reason


def _difference(dtype: torch.dtype) -> str:
    """Return how outputs or gradients differ on random values, or ""."""
    random = torch.Generator().manual_seed(13)
    rows, steps, width, units = 2, CHUNK + 3, LANES + 1, 3

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=dtype)

    values = [
        normal(rows, steps, width), normal(width, units, 2) / 2, normal(width, units, 2),
        normal(rows, width, units, 2),
    ]  # fmt: skip
    results = []
    with torch.enable_grad():
        for compute in (expanded, _Oscillators.apply):
            inputs = [v.clone().requires_grad_() for v in values]
            outputs = compute(*inputs)
            weights = [torch.cos(torch.arange(o.numel(), dtype=dtype)).view_as(o) for o in outputs]
            gradients = torch.autograd.grad(outputs, inputs, weights)
            results.append([v.detach() for v in (*outputs, *gradients)])
    names = "y", "the last state", *(f"the gradient of {name}" for name in INPUTS)
    for name, expected, computed in zip(names, *results, strict=True):
        worst, scale = float((expected - computed).abs().max()), float(expected.abs().max())
        if not worst <= TOLERANCE[dtype] * scale:  # also where it is NaN
            return f"{name} differs by {worst:.2g}, of values up to {scale:.2g}"
    return ""


@functools.cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    return library(SOURCE, dtype is torch.float64)


def _call(name: str, x: Tensor, units: int, *tensors: Tensor | None) -> None:
    sizes = (ctypes.c_int64(n) for n in (*x.shape, units))
    pointers = (ctypes.c_void_p(None if t is None else t.data_ptr()) for t in (x, *tensors))
    if getattr(_library(x.dtype), name)(*sizes, *pointers):
        raise MemoryError(f"{NAME}: no memory for a pass ({name})")


class _Oscillators(torch.autograd.Function):
    """The pass in C, in the graph of autograd; second derivatives are those of `expanded`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, c: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        rows, steps, width = x.shape
        units, kept = a.shape[1], None
        if any(ctx.needs_input_grad):
            chunks, blocks = -(-steps // CHUNK), -(-width // LANES)
            kept = x.new_empty(rows, chunks, blocks, units, 2, LANES)
        y, end = torch.empty_like(x), torch.empty_like(start)
        _call("forward", x, units, a, c, start, y, end, kept)
        if kept is not None:
            ctx.save_for_backward(x, a, c, start, kept)
        return y, end

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dend: Tensor) -> Any:
        *inputs, kept = ctx.saved_tensors
        needed = ctx.needs_input_grad
        if gradient_is_watched(dy, dend):
            twice = torch.is_grad_enabled()  # create_graph
            with torch.enable_grad():
                # Fresh names: a gradient must not run on into the history of another input.
                own = [v.view_as(v) if twice else v.detach().requires_grad_() for v in inputs]
                wanted = [v for v, need in zip(own, needed, strict=True) if need]
                outputs = expanded(*own)
            found = iter(
                torch.autograd.grad(
                    outputs, wanted, (dy, dend), create_graph=twice, materialize_grads=True
                )
            )
            return tuple(next(found) if need else None for need in needed)
        x, a, c, _ = inputs
        of_x, of_a, of_c, of_start = (torch.empty_like(v) for v in inputs)
        above = dy.contiguous(), dend.contiguous()
        _call("backward", x, a.shape[1], a, c, kept, *above, of_x, of_a, of_c, of_start)
        return of_x, of_a, of_c, of_start
