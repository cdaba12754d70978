"""The scan of linear recurrences, h_t = a_t ⊙ h_{t-1} + b_t, over all time steps at once.

A gated cell's steps have to wait for each other; those of a linear recurrence do not. Time is cut
into C blocks of L steps, of which C·L is T or a little less:

    within blocks   h̃_{c,l} = a_{c,l} ⊙ h̃_{c,l-1} + b_{c,l},   p_{c,l} = a_{c,l} ⊙ p_{c,l-1}
    between them    s_c = h̃_{c,L} + p_{c,L} ⊙ s_{c-1}
    together        h_{c,l} = h̃_{c,l} + p_{c,l} ⊙ s_{c-1}

so that L + C calls on large tensors do what T calls on small ones would. There is no division and
no logarithm: it is as exact as the loop, for complex numbers, and for factors of 0. Time and
memory are linear in T. The same on any device, though on a GPU kernels run it where they agree
(`kernel_choice`); the derivative is the same scan backwards,

    g_t = ∂L/∂h_t + conj(a_{t+1}) ⊙ g_{t+1},   ∂L/∂b_t = g_t,   ∂L/∂a_t = g_t ⊙ conj(h_{t-1}),

which has a derivative too.

Source: Martin & Cundy (2018), Parallelizing linear recurrent neural nets over sequence length,
arXiv:1709.04057; the two levels are those of Blelloch (1990), Prefix sums and their applications.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rnnbench.nn.linear import kernel_choice

WIDE = 8192  # numbers a step from which a call's overhead on the CPU no longer counts
SHORT = 32  # steps below which there is nothing to gain from blocks


def linear_scan(a_BTN: Tensor, b_BTN: Tensor, start_BN: Tensor | None = None) -> Tensor:
    """Return all states of h_t = a_t ⊙ h_{t-1} + b_t.

    Args:
        a_BTN: factors, real or complex, of a shape that expands to that of b.
        b_BTN: what is added, (B, T, ...).
        start_BN: h_0, (B, ...); None is 0.
    Returns:
        h_BTN, h_1 … h_T, of the type of a ⊙ b. In half precision it is computed in float32.
    Raises:
        ValueError: there is no step, or a has another shape.
    """
    if b_BTN.dim() < 2 or not b_BTN.shape[1]:
        raise ValueError(f"b of shape {tuple(b_BTN.shape)} has no time steps in dimension 1")
    dtype = torch.result_type(a_BTN, b_BTN)
    exact = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    b_BTN = b_BTN.to(exact)
    try:
        a_BTN = a_BTN.to(exact).expand_as(b_BTN)
    except RuntimeError as error:
        shapes = f"{tuple(a_BTN.shape)} and {tuple(b_BTN.shape)}"
        raise ValueError(f"a and b have the shapes {shapes}; a's does not expand to b's") from error
    start_BN = b_BTN.new_zeros(b_BTN[:, 0].shape) if start_BN is None else start_BN.to(exact)
    return _LinearScan.apply(a_BTN, b_BTN, start_BN, False).to(dtype)


class _LinearScan(torch.autograd.Function):
    """The scan forwards, or backwards in time: h_t = a_t ⊙ h_{t+1} + b_t from h_{T+1} = start."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, start: Tensor, backwards: bool) -> Tensor:
        h = _scan(a, b, start, backwards)
        ctx.save_for_backward(a, start, h)
        ctx.backwards = backwards
        return h

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        a, start, h = ctx.saved_tensors
        first = start[:, None]
        # Each state's gradient comes from its own output and from the state that was made of it.
        if ctx.backwards:
            later = _apply(a[:, :-1].conj(), dy[:, 1:], dy[:, 0], False)
            g = torch.cat([dy[:, :1], later], 1)
            before, entry = torch.cat([h[:, 1:], first], 1), -1
        else:
            later = _apply(a[:, 1:].conj(), dy[:, :-1], dy[:, -1], True)
            g = torch.cat([later, dy[:, -1:]], 1)
            before, entry = torch.cat([first, h[:, :-1]], 1), 0
        da = g * before.conj() if ctx.needs_input_grad[0] else None
        dstart = a[:, entry].conj() * g[:, entry] if ctx.needs_input_grad[2] else None
        return da, g, dstart, None


def _apply(a: Tensor, b: Tensor, start: Tensor, backwards: bool) -> Tensor:
    return _LinearScan.apply(a, b, start, backwards) if b.shape[1] else b


def _scan(a: Tensor, b: Tensor, start: Tensor, backwards: bool) -> Tensor:
    kernel = kernel_choice.chosen(b, _in_blocks) if _on_gpu(b) else None
    return (kernel or _in_blocks)(a, b, start, backwards)


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda


def _in_blocks(a: Tensor, b: Tensor, start: Tensor, backwards: bool) -> Tensor:
    steps = b.shape[1]
    h = torch.empty_like(b, memory_format=torch.contiguous_format)
    blocks = _blocks(steps, start.numel(), b.is_cuda)
    whole = steps - steps % blocks
    spans = [(slice(0, whole), blocks), (slice(whole, steps), 1)]
    for span, count in spans[::-1] if backwards else spans:
        if span.start < span.stop:
            a_part, b_part, h_part = (x[:, span].unflatten(1, (count, -1)) for x in (a, b, h))
            start = _scan_blocks(a_part, b_part, h_part, start, backwards)
    return h


def _blocks(steps: int, width: int, on_gpu: bool) -> int:
    if steps < SHORT or (width >= WIDE and not on_gpu):
        return 1
    return math.isqrt(steps)


def _scan_blocks(a: Tensor, b: Tensor, h: Tensor, start: Tensor, backwards: bool) -> Tensor:
    """Fill h, (B, C, L, ...), and return the last state."""
    blocks, length = b.shape[1:3]
    step = -1 if backwards else 1
    a_l, b_l, h_l = (x.unbind(2)[::step] for x in (a, b, h))
    if blocks == 1:
        before = start[:, None]
        for a_t, b_t, h_t in zip(a_l, b_l, h_l, strict=True):
            before = torch.addcmul(b_t, a_t, before, out=h_t)
        return before[:, 0]
    p = torch.empty_like(h)
    p_l = p.unbind(2)[::step]
    h_l[0].copy_(b_l[0])
    p_l[0].copy_(a_l[0])
    for i in range(1, length):
        torch.addcmul(b_l[i], a_l[i], h_l[i - 1], out=h_l[i])
        torch.mul(a_l[i], p_l[i - 1], out=p_l[i])
    starts = torch.empty_like(b_l[0], memory_format=torch.contiguous_format)
    for before, factor, end in zip(*(x.unbind(1)[::step] for x in (starts, p_l[-1], h_l[-1])),
                                   strict=True):  # fmt: skip
        before.copy_(start)
        start = torch.addcmul(end, factor, start)
    h.addcmul_(p, starts[:, :, None])
    return start
