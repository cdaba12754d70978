"""The C tier: all steps of a scan in one call, forward and backward. CPU only."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rnnbench.nn.scan.autograd import ScanOutput
from rnnbench.nn.scan.c.buffers import (
    INPUT,
    INPUT_ADJOINT,
    OUTPUT,
    OUTPUT_ADJOINT,
    Buffer,
    BufferKind,
    Size,
    SizeKind,
)
from rnnbench.nn.scan.c.compiler import library
from rnnbench.nn.scan.c.emit_forward import emit
from rnnbench.nn.scan.c.linear import kernels, outer, packed
from rnnbench.nn.scan.c.loops import MatrixProduct, make_plan
from rnnbench.nn.scan.trace_step import TracedStep
from rnnbench.nn.scan.unsupported import Unsupported


class CKernel:
    """A step as machine code.

    Args:
        needs_grad: which consts need a gradient.
    Raises:
        Unsupported: the step is not elementwise between its products, or cannot be built.
    """

    tier = "c"

    def __init__(self, step: TracedStep, needs_grad: tuple[bool, ...]):
        value = step.p.meta["val"]
        if value.device.type != "cpu":
            raise Unsupported("the C tier is for the CPU")
        if value.dtype not in (torch.float32, torch.float64):
            raise Unsupported(f"the C tier computes in float32 or float64, not {value.dtype}")
        double = value.dtype is torch.float64
        self.step = step
        self.plan = make_plan(step, needs_grad)
        self.source = emit(self.plan)
        self.scan = library(self.source.text, double)
        products = kernels(value.dtype)
        self.entries = [
            ctypes.cast(f, ctypes.c_void_p).value for f in (products.multiply, products.pack)
        ]
        self.rows = self.plan.rows
        self.packed_sizes = [
            max(packed(p.n, p.k, value.dtype), packed(p.k, p.n, value.dtype))
            for p in self.plan.products
        ]
        # What does not depend on a call is put together once.
        plan = self.plan
        self.states = plan.buffers(BufferKind.STATE)
        self.starts = plan.buffers(BufferKind.START)
        self.noise = plan.buffers(BufferKind.NOISE)
        self.consts = plan.buffers(BufferKind.CONST)
        self.packed = plan.buffers(BufferKind.PACKED)
        self.adjoints = plan.buffers(BufferKind.STATE_ADJOINT)
        self.old_adjoints = plan.buffers(BufferKind.OLD_STATE_ADJOINT)
        self.kept = [*self.states, *plan.buffers(BufferKind.PRODUCT), *plan.factors]
        self.numbers = [self._number(size) for size in self.source.sizes]
        self.strides = [
            (place, plan.products[size.of].weight, int(size.kind is SizeKind.COLUMN_STRIDE))
            for place, size in enumerate(self.source.sizes)
            if size.kind in (SizeKind.ROW_STRIDE, SizeKind.COLUMN_STRIDE)
            if isinstance(size.of, int)
        ]
        self.steps_place = self.source.sizes.index(Size(SizeKind.STEPS))

    def forward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor],
    ) -> ScanOutput:  # fmt: skip
        """Run all steps; what backward needs is in `kept`."""
        plan, steps = self.plan, p.shape[0]
        buffers = self._inputs(p, states, noise, consts)
        for buffer, start in zip(self.states, states, strict=True):
            buffers[buffer] = p.new_empty(steps, *start.shape)
        for q in plan.products:
            buffers[q.q] = p.new_empty(steps, self.rows, q.n)
            if not q.reads_state:
                buffers[q.u] = p.new_empty(steps, self.rows, q.k)
        if plan.output == OUTPUT:
            shape = self.step.outputs[0].meta["val"].shape
            buffers[OUTPUT] = p.new_empty(steps, *shape)
        self._call(self.scan.forward, self.source.forward, buffers, consts, steps)
        finals = tuple(buffers[s][-1].clone() for s in self.states)
        return ScanOutput(buffers[plan.output], finals, [buffers[b] for b in self.kept])

    def backward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor], kept: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor],
        needs_grad: Sequence[bool],
    ) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:  # fmt: skip
        """Return the gradients of p, of the states at the start, and of the consts."""
        plan, steps = self.plan, p.shape[0]
        buffers = self._inputs(p, states, noise, consts)
        buffers |= dict(zip(self.kept, kept, strict=True))
        buffers[OUTPUT_ADJOINT] = dy.contiguous()
        for new, old, d in zip(self.adjoints, self.old_adjoints, dfinals, strict=True):
            buffers[new] = d.clone(memory_format=torch.contiguous_format)
            buffers[old] = torch.empty_like(buffers[new])
        for q in plan.products:
            buffers[q.q.of_kind(BufferKind.PRODUCT_ADJOINT)] = torch.empty_like(buffers[q.q])
            if not q.reads_state:
                buffers[q.u.of_kind(BufferKind.FACTOR_ADJOINT)] = p.new_empty(self.rows, q.k)
        if not plan.merged:
            buffers[INPUT_ADJOINT] = torch.empty_like(p)
        for c, width in self.source.sums.items():
            if plan.form_of(c) == "full":
                buffers[c.of_kind(BufferKind.ROW_SUM)] = p.new_zeros(self.rows, width)
            else:
                for kind in (BufferKind.TOTAL_SUM, BufferKind.STEP_SUM):
                    buffers[c.of_kind(kind)] = p.new_zeros(width)
        self._call(self.scan.backward, self.source.backward, buffers, consts, steps)
        # The two buffers of a state's adjoint change places at every step.
        starts = [buffers[b] for b in (self.old_adjoints if steps % 2 else self.adjoints)]
        dp = buffers[Buffer(BufferKind.PRODUCT_ADJOINT, 0) if plan.merged else INPUT_ADJOINT]
        grads: list[Tensor | None] = [None] * len(consts)
        for c in self.source.sums:
            full = plan.form_of(c) == "full"
            total = buffers[c.of_kind(BufferKind.ROW_SUM if full else BufferKind.TOTAL_SUM)]
            if plan.form_of(c) == "scalar":
                total = total.sum()
            grads[c.number] = total.view(consts[c.number].shape)
        for q in plan.products:
            if needs_grad[q.weight]:
                share, so_far = self._outer(q, buffers, steps), grads[q.weight]
                grads[q.weight] = share if so_far is None else so_far + share
        return dp.view(p.shape), starts, grads

    def _inputs(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor],
    ) -> dict[Buffer, Tensor]:  # fmt: skip
        """Return the buffers that both functions read, and room for packed matrices."""
        buffers = {INPUT: p}
        for buffer, start in zip(self.starts, states, strict=True):
            buffers[buffer] = start.contiguous()
        buffers |= dict(zip(self.noise, noise, strict=True))
        for buffer, const, form in zip(self.consts, consts, self.plan.const_forms, strict=True):
            # Packing reads a matrix by its strides.
            buffers[buffer] = const if form == "weight" else const.contiguous()
        for buffer, size in zip(self.packed, self.packed_sizes, strict=True):
            buffers[buffer] = p.new_empty(size)
        return buffers

    def _outer(self, q: MatrixProduct, buffers: dict[Buffer, Tensor], steps: int) -> Tensor:
        """Return the gradient of a matrix (K, N): one product over all steps."""
        u = buffers[q.u].view(steps * self.rows, q.k)
        dq = buffers[q.q.of_kind(BufferKind.PRODUCT_ADJOINT)].view(steps * self.rows, q.n)
        if not q.reads_state:
            return outer(u, dq)
        # A state is read a step after it was made.
        start = buffers[q.u.of_kind(BufferKind.START)].view(self.rows, q.k)
        return outer(start, dq[: self.rows]) + outer(u[: -self.rows], dq[self.rows :])

    def _call(
        self, function: Any, names: list[Buffer], buffers: dict[Buffer, Tensor],
        consts: Sequence[Tensor], steps: int,
    ) -> None:  # fmt: skip
        """Call a function of the library with its sizes and buffers."""
        numbers = self.numbers.copy()
        numbers[self.steps_place] = steps
        for place, const, dimension in self.strides:
            numbers[place] = consts[const].stride(dimension)
        pointers = [*self.entries, *(buffers[name].data_ptr() for name in names)]
        function(
            (ctypes.c_int64 * len(numbers))(*numbers), (ctypes.c_void_p * len(pointers))(*pointers)
        )

    def _number(self, size: Size) -> int:
        """Return a size that is the same in every call; 0 for steps and strides."""
        if size.kind is SizeKind.ROWS:
            return self.rows
        if size.kind is SizeKind.WIDTH and isinstance(size.of, Buffer):
            return self.plan.widths[size.of]
        if size.kind is SizeKind.UNIT and isinstance(size.of, int):
            return size.of
        return 0
