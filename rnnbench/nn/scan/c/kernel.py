"""The C tier: all steps of a scan in one call, forward and backward. CPU only."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rnnbench.nn.scan.autograd import ScanOutput
from rnnbench.nn.scan.c.compiler import library
from rnnbench.nn.scan.c.emit_forward import emit
from rnnbench.nn.scan.c.linear import kernels, outer, packed
from rnnbench.nn.scan.c.loops import MatrixProduct, make_plan
from rnnbench.nn.scan.trace_step import TracedStep, Unsupported


class Native:
    """A step as machine code.

    Args:
        wanted: which consts need a gradient.
    Raises:
        Unsupported: the step is not elementwise between its products, or cannot be built.
    """

    tier = "c"

    def __init__(self, step: TracedStep, wanted: tuple[bool, ...]):
        value = step.p.meta["val"]
        if value.device.type != "cpu":
            raise Unsupported("the C tier is for the CPU")
        if value.dtype not in (torch.float32, torch.float64):
            raise Unsupported(f"the C tier computes in float32 or float64, not {value.dtype}")
        double = value.dtype is torch.float64
        self.step = step
        self.plan = make_plan(step, wanted)
        self.source = emit(self.plan)
        self.scan = library(self.source.text, double)
        products = kernels(value.dtype)
        self.entries = [
            ctypes.cast(f, ctypes.c_void_p).value for f in (products.multiply, products.pack)
        ]
        self.rows = self.plan.rows
        self.room = {
            p.index: max(packed(p.n, p.k, value.dtype), packed(p.k, p.n, value.dtype))
            for p in self.plan.products
        }

    def forward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor],
    ) -> ScanOutput:  # fmt: skip
        """Run all steps; what backward needs is in `kept`."""
        plan, steps = self.plan, p.shape[0]
        buffers: dict[str, Tensor] = {"p": p}
        for i, start in enumerate(states):
            buffers[f"s{i}"] = p.new_empty(steps, *start.shape)
            buffers[f"os{i}"] = start.contiguous()
        buffers |= {f"n{i}": n for i, n in enumerate(noise)}
        buffers |= self._read(consts)
        for q in plan.products:
            buffers[f"q{q.index}"] = p.new_empty(steps, self.rows, q.n)
            buffers[f"g{q.index}"] = p.new_empty(self.room[q.index])
            if q.u[0] == "u":
                buffers[q.u] = p.new_empty(steps, self.rows, q.k)
        if plan.y == "y":
            shape = self.step.outputs[0].meta["val"].shape
            buffers["y"] = p.new_empty(steps, *shape)
        self._call(self.scan.forward, self.source.forward, buffers, consts, steps)
        finals = tuple(buffers[f"s{i}"][-1].clone() for i in range(plan.states))
        names = [f"s{i}" for i in range(plan.states)]
        names += [f"q{q.index}" for q in plan.products]
        names += [q.u for q in plan.products if q.u[0] == "u"]
        return ScanOutput(buffers[plan.y], finals, [buffers[name] for name in names])

    def backward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor], kept: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:  # fmt: skip
        """The gradients of p, of the states at the start, and of the consts."""
        plan, steps = self.plan, p.shape[0]
        names = [f"s{i}" for i in range(plan.states)]
        names += [f"q{q.index}" for q in plan.products]
        names += [q.u for q in plan.products if q.u[0] == "u"]
        buffers = {"p": p, **dict(zip(names, kept, strict=True))}
        buffers |= {f"os{i}": start.contiguous() for i, start in enumerate(states)}
        buffers |= {f"n{i}": n for i, n in enumerate(noise)}
        buffers |= self._read(consts)
        buffers["dy"] = dy.contiguous()
        for i, d in enumerate(dfinals):
            buffers[f"d{i}"] = d.clone(memory_format=torch.contiguous_format)
            buffers[f"e{i}"] = torch.empty_like(buffers[f"d{i}"])
        for q in plan.products:
            buffers[f"dq{q.index}"] = torch.empty_like(buffers[f"q{q.index}"])
            buffers[f"g{q.index}"] = p.new_empty(self.room[q.index])
            if q.u[0] == "u":
                buffers[f"du{q.index}"] = p.new_empty(self.rows, q.k)
        if not plan.merged:
            buffers["dp"] = torch.empty_like(p)
        for c, width in self.source.sums.items():
            if plan.kinds[int(c[1:])] == "full":
                buffers[f"f{c}"] = p.new_zeros(self.rows, width)
            else:
                buffers[f"r{c}"], buffers[f"t{c}"] = p.new_zeros(width), p.new_zeros(width)
        self._call(self.scan.backward, self.source.backward, buffers, consts, steps)
        # The two buffers of a state's adjoint change places at every step.
        last = "e" if steps % 2 else "d"
        starts = [buffers[f"{last}{i}"] for i in range(plan.states)]
        dp = buffers["dq0"] if plan.merged else buffers["dp"]
        grads: list[Tensor | None] = [None] * len(consts)
        for c in self.source.sums:
            i = int(c[1:])
            total = buffers[f"f{c}"] if plan.kinds[i] == "full" else buffers[f"r{c}"]
            if plan.kinds[i] == "scalar":
                total = total.sum()
            grads[i] = total.view(consts[i].shape)
        for q in plan.products:
            if wanted[q.weight]:
                found, so_far = self._outer(q, buffers, steps), grads[q.weight]
                grads[q.weight] = found if so_far is None else so_far + found
        return dp.view(p.shape), starts, grads

    def _read(self, consts: Sequence[Tensor]) -> dict[str, Tensor]:
        """Consts as the loops read them; matrices keep their strides."""
        kinds = self.plan.kinds
        return {
            f"c{i}": c if kinds[i] == "weight" else c.contiguous() for i, c in enumerate(consts)
        }

    def _outer(self, q: MatrixProduct, buffers: dict[str, Tensor], steps: int) -> Tensor:
        """The gradient of a matrix (K, N): one product over all steps."""
        u = buffers[q.u].view(steps * self.rows, q.k)
        dq = buffers[f"dq{q.index}"].view(steps * self.rows, q.n)
        if q.u[0] == "u":
            return outer(u, dq)
        # A state is read a step after it was made.
        start = buffers[f"o{q.u}"].view(self.rows, q.k)
        return outer(start, dq[: self.rows]) + outer(u[: -self.rows], dq[self.rows :])

    def _call(
        self, function: Any, names: list[str], buffers: dict[str, Tensor],
        consts: Sequence[Tensor], steps: int,
    ) -> None:  # fmt: skip
        plan, numbers = self.plan, []
        for name in self.source.numbers:
            if name == "T":
                numbers.append(steps)
            elif name == "B":
                numbers.append(self.rows)
            elif name.startswith("unit:"):
                numbers.append(int(name[5:]))
            elif name.startswith("w_"):
                numbers.append(plan.widths[name[2:]])
            else:
                weight = consts[plan.products[int(name[3:])].weight]
                numbers.append(weight.stride(0 if name.startswith("rs") else 1))
        pointers = [*self.entries, *(buffers[name].data_ptr() for name in names)]
        function(
            (ctypes.c_int64 * len(numbers))(*numbers), (ctypes.c_void_p * len(pointers))(*pointers)
        )
