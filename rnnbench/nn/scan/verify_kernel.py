"""The check that a kernel gives the outputs, last state and gradients of the eager loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnbench.contract import Cell, State
from rnnbench.nn.scan.cell_snapshot import CellSnapshot, replaced
from rnnbench.nn.scan.eager import unroll
from rnnbench.nn.scan.trace_step import TracedStep
from rnnbench.nn.scan.unsupported import KernelFailed

STEPS = 3
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}  # of the greatest value of a tensor
OTHERS = 0.05  # bfloat16 and float16

Apply = Callable[..., tuple[Tensor, State]]


def check(
    apply: Apply, cell: Cell, inside: CellSnapshot, kernel: Any, step: TracedStep, p_BTG: Tensor,
    state: State, noise: Any,
) -> None:  # fmt: skip
    """Compare a kernel with the loop over the cell's own steps, on random values.

    Gradients decide: a loss may agree while gradients do not.

    Args:
        apply: runs all steps by the kernel.
    Raises:
        KernelFailed: they differ, or there is nothing finite to compare.
    """
    with torch.inference_mode(False), torch.enable_grad():
        for spread in (0.1, 0.0):
            expected, computed = (
                _outcome(apply, cell, inside, kernel, step, p_BTG, state, noise, spread, fast=fast)
                for fast in (False, True)
            )
            if all(bool(e.isfinite().all()) for _, e in expected):
                return _compare(expected, computed, p_BTG.dtype)
        raise KernelFailed("its values are not finite, so that it cannot be checked")


def _outcome(
    apply: Apply, cell: Cell, inside: CellSnapshot, kernel: Any, step: TracedStep, p_BTG: Tensor,
    state: State, noise: Any, spread: float, *, fast: bool,
) -> list[tuple[str, Tensor]]:  # fmt: skip
    """Return the named outputs and gradients of the kernel (`fast`) or of the loop.

    Both get the same random values.

    Args:
        spread: how far parameters are moved from their values.
    """
    random = torch.Generator(p_BTG.device).manual_seed(7)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=random, dtype=like.dtype, device=like.device)

    def moved(t: Tensor, by: float, learns: bool) -> Tensor:
        if not t.is_floating_point():
            return t.detach().clone()
        return (t.detach() + by * normal(t)).requires_grad_(learns)

    steps = min(STEPS, p_BTG.shape[1])
    p = moved(torch.zeros_like(p_BTG[:, :steps]), 0.5, True)
    held = [
        moved(t, spread if isinstance(t, nn.Parameter) else 0.0, t.requires_grad)
        for t in inside.tensors
    ]
    leaves, form = pytree.tree_flatten(state)
    start = [
        moved(s, 0.5 if v else 0.0, v or s.requires_grad)
        for s, v in zip(leaves, step.varying, strict=True)
    ]
    draws = pytree.tree_map(lambda n: n[:steps].detach().clone(), noise)
    begun = pytree.tree_unflatten(start, form)
    with replaced(inside.slots, held):
        if fast:
            y, final = apply(kernel, step, inside, p, begun, draws)
        else:
            y, final = unroll(cell, p, begun, draws)
    values = [("its output", y)]
    values += [(f"state {i}", s) for i, s in enumerate(pytree.tree_leaves(final))]
    weights = [normal(v) if v.is_floating_point() else None for _, v in values]
    total = torch.zeros((), dtype=p.dtype, device=p.device)
    for (_, v), w in zip(values, weights, strict=True):
        if w is not None and v.requires_grad:
            total = total + (v * w).sum()
    inputs = [("the gradient of its input", p)]
    inputs += [(f"the gradient of start state {i}", s) for i, s in enumerate(start)]
    inputs += [
        (f"the gradient of {slot.name}", t) for slot, t in zip(inside.slots, held, strict=True)
    ]
    inputs = [(name, t) for name, t in inputs if t.requires_grad]
    grads = torch.autograd.grad(total, [t for _, t in inputs], allow_unused=True)
    for (name, t), g in zip(inputs, grads, strict=True):
        values.append((name, torch.zeros_like(t) if g is None else g))
    return [(name, v.detach()) for name, v in values if v.is_floating_point()]


def _compare(
    expected: list[tuple[str, Tensor]], computed: list[tuple[str, Tensor]], dtype: torch.dtype
) -> None:
    """Raise KernelFailed where values differ by more than their precision allows."""
    limit = TOLERANCE.get(dtype, OTHERS)
    for (name, e), (_, f) in zip(expected, computed, strict=True):
        scale = max(float(e.abs().max()), 1e-3)
        worst = float((e - f).abs().max())
        if not worst <= limit * scale:  # also where it is NaN
            raise KernelFailed(
                f"{name} differs from the eager loop by {worst:.2g}, of values up to {scale:.2g}"
            )
