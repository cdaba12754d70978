"""The selective scan of state-space models, whose states are never laid out for all steps.

    h_t = exp(Δ_t A) ⊙ h_{t-1} + Δ_t x_t B_t,   y_t = C_t h_t

for E channels with N numbers each. On the CPU it runs in C in one pass, where a compiler is and the
result agrees with the plain one; elsewhere by `linear_scan`, which lays out (B, T, E, N) numbers,
256 steps at a time.

Source: Gu & Dao (2023), arXiv:2312.00752, algorithm 2 and section 3.3.2.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rnnbench.nn.linear.scan import linear_scan
from rnnbench.nn.linear.selective_source import CHUNK, LANES, source
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

NAME = "selective scan"
KEPT = 256  # steps whose expanded states the plain scan keeps; those of others are made anew


def selective_scan(
    x_BTE: Tensor,
    step_BTE: Tensor,
    b_BTN: Tensor,
    c_BTN: Tensor,
    rate_EN: Tensor,
    start_BEN: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return y (B, T, E) and the last state (B, E, N).

    Args:
        step_BTE: Δ_t, not below 0.
        rate_EN: A, below 0.
    """
    inputs = x_BTE, step_BTE, b_BTN, c_BTN, rate_EN, start_BEN
    if x_BTE.device.type != "cpu" or x_BTE.shape[1] < 2:
        return plain(*inputs)
    reason = _why_not(inputs)
    note_named(NAME, "eager" if reason is not None else "c", reason or "")
    if reason is not None:
        return plain(*inputs)
    return _SelectiveScan.apply(*(v.contiguous() for v in inputs))


def plain(
    x_BTE: Tensor, step_BTE: Tensor, b_BTN: Tensor, c_BTN: Tensor, rate_EN: Tensor, h_BEN: Tensor
) -> tuple[Tensor, Tensor]:
    """Do the same by `linear_scan`, on any device."""
    outputs, steps = [], x_BTE.shape[1]
    # Not slices, whose gradients are as long as the whole sequence, each.
    cut = [v.split(KEPT, 1) for v in (x_BTE, step_BTE, b_BTN, c_BTN)]
    for x, step, b, c in zip(*cut, strict=True):
        parts = x, step, b, c, rate_EN, h_BEN
        if steps > KEPT and torch.is_grad_enabled():
            y_BTE, h_BEN = checkpoint(
                _expanded, *parts, use_reentrant=False, preserve_rng_state=False
            )
        else:
            y_BTE, h_BEN = _expanded(*parts)
        outputs.append(y_BTE)
    return torch.cat(outputs, 1), h_BEN


def _expanded(
    x_BTE: Tensor, step_BTE: Tensor, b_BTN: Tensor, c_BTN: Tensor, rate_EN: Tensor, h_BEN: Tensor
) -> tuple[Tensor, Tensor]:
    a_BTEN = torch.exp(step_BTE[..., None] * rate_EN)
    h_BTEN = linear_scan(a_BTEN, (step_BTE * x_BTE)[..., None] * b_BTN[:, :, None], h_BEN)
    return (h_BTEN @ c_BTN[..., None]).squeeze(-1), h_BTEN[:, -1]


def _why_not(inputs: tuple[Tensor, ...]) -> str | None:
    """Return why C does not run these inputs, "" where it was not asked to; None: it does."""
    x_BTE, rate_EN = inputs[0], inputs[4]
    if chosen() not in ("auto", "c"):
        return ""
    if x_BTE.numel() == 0 or any(v.dtype is not x_BTE.dtype for v in inputs):
        return "its inputs are of several types, or empty"
    if x_BTE.dtype not in (torch.float32, torch.float64):
        return f"it is not written for {x_BTE.dtype}"
    if any(operators_are_watched(v.data if type(v) is torch.nn.Parameter else v) for v in inputs):
        return "something looks into its operators"
    return agreed(x_BTE.dtype, rate_EN.shape[1]) or None


@functools.cache
def agreed(dtype: torch.dtype, units: int) -> str:
    """Return why the kernel cannot run, or how it differs from the plain scan; "": it agrees."""
    try:
        _library(dtype, units)
        reason = _difference(dtype, units)
    except KernelFailed as error:
        reason = str(error)
    except Unsupported as error:
        return str(error)
    if reason:
        warn_once(f"The selective scan does not run in C: {reason}")
    return reason


def _difference(dtype: torch.dtype, units: int) -> str:
    """Return how outputs or gradients differ on random values, or ""."""
    random = torch.Generator().manual_seed(11)
    rows, steps, width = 2, CHUNK + 3, LANES + 1

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=dtype)

    values = [
        normal(rows, steps, width), normal(rows, steps, width).abs() / 4,
        normal(rows, steps, units), normal(rows, steps, units),
        -normal(width, units).abs(), normal(rows, width, units),
    ]  # fmt: skip
    results = []
    with torch.enable_grad():
        for scan in (plain, _SelectiveScan.apply):
            inputs = [v.clone().requires_grad_() for v in values]
            outputs = scan(*inputs)
            weights = [torch.cos(torch.arange(o.numel(), dtype=dtype)).view_as(o) for o in outputs]
            gradients = torch.autograd.grad(outputs, inputs, weights)
            results.append([v.detach() for v in (*outputs, *gradients)])
    names = "y", "the last state", *(f"the gradient of {n}" for n in ("x", "Δ", "B", "C", "A", "h"))
    for name, expected, computed in zip(names, *results, strict=True):
        worst, scale = float((expected - computed).abs().max()), float(expected.abs().max())
        if not worst <= TOLERANCE[dtype] * scale:  # also where it is NaN
            return f"{name} differs by {worst:.2g}, of values up to {scale:.2g}"
    return ""


@functools.cache
def _library(dtype: torch.dtype, units: int) -> ctypes.CDLL:
    built = library(source(units), dtype is torch.float64)
    built.backward.restype = ctypes.c_int
    built.forward.restype = None
    return built


def _pointers(*tensors: Tensor | None) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors]


class _SelectiveScan(torch.autograd.Function):
    """The scan in C, in the graph of autograd; second derivatives are those of the plain scan."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, b: Tensor, c: Tensor, rate: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = x, step, b, c, rate, start
        rows, steps, width = x.shape
        sizes = [ctypes.c_int64(n) for n in (rows, steps, width)]
        units, kept = rate.shape[1], None
        if any(ctx.needs_input_grad):
            chunks, blocks = -(-steps // CHUNK), -(-width // LANES)
            kept = x.new_empty(rows, chunks, blocks, units, LANES)
        y, end = torch.empty_like(x), torch.empty_like(start)
        _library(x.dtype, units).forward(*sizes, *_pointers(*inputs, y, end, kept))
        if kept is not None:
            ctx.save_for_backward(*inputs, kept)
        return y, end

    @staticmethod
    def backward(ctx: Any, dy: Tensor, dend: Tensor) -> Any:
        *inputs, kept = ctx.saved_tensors
        if gradient_is_watched(dy, dend):
            twice = torch.is_grad_enabled()  # create_graph
            with torch.enable_grad():
                own = inputs if twice else [v.detach().requires_grad_() for v in inputs]
                wanted = [v for v, need in zip(own, ctx.needs_input_grad, strict=True) if need]
                outputs = plain(*own)
            found = iter(
                torch.autograd.grad(
                    outputs, wanted, (dy, dend), create_graph=twice, materialize_grads=True
                )
            )
            return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)
        x, step, b, c, rate, start = inputs
        sizes = [ctypes.c_int64(n) for n in x.shape]
        of_x, of_step, of_start = (torch.empty_like(v) for v in (x, step, start))
        of_b, of_c, of_rate = (torch.zeros_like(v) for v in (b, c, rate))
        above = dy.contiguous(), dend.contiguous()
        failed = _library(x.dtype, rate.shape[1]).backward(
            *sizes,
            *_pointers(x, step, b, c, rate, kept, *above),
            *_pointers(of_x, of_step, of_b, of_c, of_rate, of_start),
        )
        if failed:
            raise MemoryError("the selective scan has no memory for its backward pass")
        return of_x, of_step, of_b, of_c, of_rate, of_start
