"""The scan of linear recurrences as kernels of a GPU, in Triton; `linear_scan` says what it is.

Each program walks some steps of some channels. Where rows and channels are too few for a GPU, time
is cut into chunks: their ends are made side by side, scanned, and the chunks filled from there.
Importing this module needs Triton. With TRITON_INTERPRET=1 in the environment before that, the
kernels run on the CPU, for tests.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 64  # channels of a program
LANES = 2**16  # channels times chunks that fill a GPU
LEAST = 32  # steps of a chunk


@triton.jit
def _at(index, COMPLEX: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return where a number begins: a complex one is two."""
    return 2 * index if COMPLEX else index


@triton.jit
def _place(steps, chunks, length, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """A program's row, chunk and channels, and the first step and number of steps of the chunk."""
    program = tl.program_id(0).to(tl.int64)
    row, chunk = program // chunks, program % chunks
    unit = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    first = chunk * length
    return row, chunk, unit, first, tl.minimum(length, steps - first)


@triton.jit
def _ends(  # type: ignore[no-untyped-def]
    a, b, p_end, h_end, steps, width, chunks, length, a_row, a_step, a_unit,
    BACKWARDS: tl.constexpr, COMPLEX: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Store each chunk's product of factors, and its last state from a start of 0."""
    row, chunk, unit, first, count = _place(steps, chunks, length, BLOCK)
    inside = unit < width
    h = tl.zeros([BLOCK], dtype=b.dtype.element_ty)
    p = h + 1
    h_im, p_im = h, h
    for i in range(count):
        t = first + (count - 1 - i if BACKWARDS else i)
        from_a = a + row * a_row + t * a_step + unit * a_unit
        from_b = b + _at((row * steps + t) * width + unit, COMPLEX)
        a_t = tl.load(from_a, mask=inside, other=0.0)
        b_t = tl.load(from_b, mask=inside, other=0.0)
        if COMPLEX:
            a_im = tl.load(from_a + 1, mask=inside, other=0.0)
            b_im = tl.load(from_b + 1, mask=inside, other=0.0)
            h, h_im = a_t * h - a_im * h_im + b_t, a_t * h_im + a_im * h + b_im
            p, p_im = a_t * p - a_im * p_im, a_t * p_im + a_im * p
        else:
            h = a_t * h + b_t
            p = a_t * p
    to = _at((row * chunks + chunk) * width + unit, COMPLEX)
    tl.store(h_end + to, h, mask=inside)
    tl.store(p_end + to, p, mask=inside)
    if COMPLEX:
        tl.store(h_end + to + 1, h_im, mask=inside)
        tl.store(p_end + to + 1, p_im, mask=inside)


@triton.jit
def _fill(  # type: ignore[no-untyped-def]
    a, b, start, out, steps, width, chunks, length, a_row, a_step, a_unit,
    BACKWARDS: tl.constexpr, COMPLEX: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Store all states of each chunk, from the state before it."""
    row, chunk, unit, first, count = _place(steps, chunks, length, BLOCK)
    inside = unit < width
    begin = start + _at((row * chunks + chunk) * width + unit, COMPLEX)
    h = tl.load(begin, mask=inside, other=0.0)
    h_im = h
    if COMPLEX:
        h_im = tl.load(begin + 1, mask=inside, other=0.0)
    for i in range(count):
        t = first + (count - 1 - i if BACKWARDS else i)
        from_a = a + row * a_row + t * a_step + unit * a_unit
        here = _at((row * steps + t) * width + unit, COMPLEX)
        a_t = tl.load(from_a, mask=inside, other=0.0)
        b_t = tl.load(b + here, mask=inside, other=0.0)
        if COMPLEX:
            a_im = tl.load(from_a + 1, mask=inside, other=0.0)
            b_im = tl.load(b + here + 1, mask=inside, other=0.0)
            h, h_im = a_t * h - a_im * h_im + b_t, a_t * h_im + a_im * h + b_im
            tl.store(out + here + 1, h_im, mask=inside)
        else:
            h = a_t * h + b_t
        tl.store(out + here, h, mask=inside)


def scan(a: Tensor, b: Tensor, start: Tensor, backwards: bool) -> Tensor:
    """Return h_t = a_t ⊙ h_{t-1} + b_t for all t, or of h_{t+1} if `backwards`.

    Args:
        a, b: (B, T, ...), of one shape and type: float32, float64, complex64 or complex128.
        start: (B, ...).
    """
    rows, steps = b.shape[:2]
    h = torch.empty_like(b, memory_format=torch.contiguous_format)
    if not b.numel():
        return h
    a, b = a.reshape(rows, steps, -1), b.reshape(rows, steps, -1).contiguous()
    width, begin = b.shape[2], start.reshape(rows, 1, -1)
    chunks = max(1, min(LANES // (rows * width), steps // LEAST))
    length = -(-steps // chunks)
    chunks = -(-steps // length)
    form = (steps, width, chunks, length)
    if chunks > 1:
        p_end, h_end = (b.new_empty(rows, chunks, width) for _ in range(2))
        _launch(_ends, a, b, p_end, h_end, form, backwards)
        ends = scan(p_end, h_end, begin[:, 0], backwards)
        kept = (ends[:, 1:], begin) if backwards else (begin, ends[:, :-1])
        begin = torch.cat(kept, 1)
    _launch(_fill, a, b, begin.contiguous(), h, form, backwards)
    return h


def _launch(
    kernel: Any, a: Tensor, b: Tensor, one: Tensor, other: Tensor, form: tuple[int, ...],
    backwards: bool,
) -> None:  # fmt: skip
    _, width, chunks, _ = form
    whole = b.is_complex()
    a, b, one, other = (
        torch.view_as_real(x.resolve_conj()) if whole else x for x in (a, b, one, other)
    )
    grid = (b.shape[0] * chunks, -(-width // BLOCK))
    with torch.cuda.device_of(b):  # not always the current one
        kernel[grid](
            a, b, one, other, *form, *a.stride()[:3],
            BACKWARDS=backwards, COMPLEX=whole, BLOCK=BLOCK,
        )  # fmt: skip
