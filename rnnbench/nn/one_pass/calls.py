"""Calls of the C of row functions: where it may run, whether it agrees, and derivatives."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnnbench.nn.one_pass.source import SOURCE
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

NAME = "rows between recurrences"
ROWS, STEPS, WIDTH, TAPS, BLOCKS = 3, 5, 19, 3, 5  # of the comparison with the plain functions


@dataclass(frozen=True, eq=False)
class RowFunction:
    """A function of rows (n0, n1, N) and of parameters.

    Attributes:
        plain: in torch; the reference, and what second derivatives are taken of.
        forward: the same in C.
        backward: in C: the output's gradient and the inputs -> the inputs' gradients.
        kinds: of the inputs, a letter each: r rows, h rows of two halves, x rows of even blocks, p
            the K - 1 rows before them, k (K, N), v (N,), b matrices of blocks.
    """

    name: str
    plain: Callable[..., Tensor]
    forward: Callable[..., Tensor]
    backward: Callable[..., tuple[Tensor, ...]]
    kinds: str


def run(function: RowFunction, *inputs: Tensor) -> Tensor:
    """Return the function's value, from C where it may run."""
    if not _fits(function, inputs):
        return function.plain(*inputs)
    pairs = zip(function.kinds, inputs, strict=True)
    ready = (_by_rows(x) if kind in "rhx" else x.contiguous() for kind, x in pairs)
    return _RowFunction.apply(function, *ready)


def _fits(function: RowFunction, inputs: tuple[Tensor, ...]) -> bool:
    x = inputs[0]
    if (
        x.device.type != "cpu"
        or x.dim() != 3
        or x.numel() == 0
        or x.dtype not in TOLERANCE
        or any(v.dtype is not x.dtype for v in inputs)
        or torch.get_num_threads() != 1  # torch's functions use them all
        or torch.is_autocast_enabled("cpu")
        or operators_are_watched(x)
    ):
        return False
    if chosen() not in ("auto", "c"):
        return False
    reason = agreed(function, x.dtype)
    note_named(NAME, "eager" if reason else "c", reason)
    return not reason


@functools.cache
def agreed(function: RowFunction, dtype: torch.dtype) -> str:
    """Return why the C cannot run, or how it differs from the plain function; "": it agrees."""
    try:
        _library(dtype)
        reason = _difference(function, dtype)
    except KernelFailed as error:
        reason = str(error)
    except Unsupported as error:
        return str(error)
    if reason:
        warn_once(f"A function of rows ({function.name}) does not run in C: {reason}")
    return reason


def _difference(function: RowFunction, dtype: torch.dtype) -> str:
    """Return how outputs or gradients differ on random values, or ""."""
    random = torch.Generator().manual_seed(5)
    shapes = {
        "r": (ROWS, STEPS, WIDTH), "h": (ROWS, STEPS, 2 * WIDTH),
        "p": (ROWS, TAPS - 1, WIDTH), "k": (TAPS, WIDTH), "v": (WIDTH,),
        "x": (ROWS, STEPS, 4 * BLOCKS), "b": (BLOCKS, 4, 4),
    }  # fmt: skip
    values = [torch.randn(shapes[k], generator=random, dtype=dtype) for k in function.kinds]
    with torch.no_grad():
        weight = torch.cos(torch.arange(function.plain(*values).numel(), dtype=dtype))
    results = []
    with torch.enable_grad():
        for compute in (function.plain, functools.partial(_RowFunction.apply, function)):
            inputs = [v.clone().requires_grad_() for v in values]
            y = compute(*inputs)
            results.append([y.detach(), *torch.autograd.grad(y, inputs, weight.view_as(y))])
    for i, (expected, computed) in enumerate(zip(*results, strict=True)):
        worst, scale = float((expected - computed).abs().max()), float(expected.abs().max())
        if not worst <= TOLERANCE[dtype] * scale:  # also where it is NaN
            what = f"the gradient of input {i}" if i else "its value"
            return f"{what} differs by {worst:.2g}, of values up to {scale:.2g}"
    return ""


@functools.cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    return library(SOURCE, dtype is torch.float64)


def _by_rows(x: Tensor) -> Tensor:
    return x if x.stride(2) == 1 or x.shape[2] == 1 else x.contiguous()


def dense_like(x: Tensor) -> Tensor:
    """Return an empty tensor of this shape, its steps and rows in the same order in memory."""
    rows, steps, width = x.shape
    if x.stride(0) < x.stride(1):
        return x.new_empty(steps, rows, width).transpose(0, 1)
    return x.new_empty(x.shape)


def place(x: Tensor) -> tuple[Tensor, int, int]:
    """Return a tensor of rows as the C takes it: where it is, and the distances between rows."""
    return x, x.stride(0), x.stride(1)


def call(like: Tensor, name: str, *arguments: int | Tensor) -> None:
    """Call a function of the library for numbers of this type."""
    getattr(_library(like.dtype), name)(
        *(
            ctypes.c_int64(a) if isinstance(a, int) else ctypes.c_void_p(a.data_ptr())
            for a in arguments
        )
    )


class _RowFunction(torch.autograd.Function):
    """A function in C in the graph of autograd; second derivatives are those of the plain one."""

    @staticmethod
    def forward(ctx: Any, function: RowFunction, *inputs: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(*inputs)
        return function.forward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        inputs, needed = ctx.saved_tensors, ctx.needs_input_grad[1:]
        if not gradient_is_watched(dy):
            return None, *ctx.function.backward(_by_rows(dy), *inputs)
        twice = torch.is_grad_enabled()  # create_graph
        with torch.enable_grad():
            # Fresh names: a gradient must not run on into the history of another input.
            own = [v.view_as(v) if twice else v.detach().requires_grad_() for v in inputs]
            wanted = [v for v, need in zip(own, needed, strict=True) if need]
            y = ctx.function.plain(*own)
        found = iter(torch.autograd.grad(y, wanted, dy, create_graph=twice))
        return None, *(next(found) if need else None for need in needed)
