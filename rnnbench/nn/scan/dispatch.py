"""Run a scan by the first tier that can: kernels are built, checked and kept here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rnnbench.contract import Cell, State
from rnnbench.nn.scan.autograd import Kernel, scan_function
from rnnbench.nn.scan.c.kernel import CKernel
from rnnbench.nn.scan.cell_snapshot import CellSnapshot, like, take_snapshot
from rnnbench.nn.scan.choice import (
    chosen,
    describe,
    is_long,
    note,
    operators_are_watched,
    warn_once,
)
from rnnbench.nn.scan.inductor import InductorKernel
from rnnbench.nn.scan.trace_step import TracedStep, capture
from rnnbench.nn.scan.unsupported import KernelFailed, Unsupported
from rnnbench.nn.scan.verify_kernel import check

KERNELS: dict[str, Callable[[TracedStep, tuple[bool, ...]], Any]] = {
    "c": CKernel,
    "inductor": InductorKernel,
}


@dataclass
class _BuildResult:
    """The outcome of building a kernel for a cell: a checked one, or the reason why there is none.

    `reason` beside a kernel says why a tier before it was not taken.
    """

    kernel: Kernel | None
    step: TracedStep | None
    reason: str


# Kernels of this process by cell, shapes and chosen tier.
_builds: dict[Any, _BuildResult] = {}


def run_linear(cell: Cell, p_BTG: Tensor, state: State) -> tuple[Tensor, State] | None:
    """Take all steps of a linear recurrence in C; None where it has to be scanned otherwise.

    Gates, scan and output are one pass over memory there. Elsewhere a loop over steps, compiled or
    not, is slower than `linear_scan`, so no other tier is tried.
    """
    if p_BTG.device.type != "cpu" or chosen() == "inductor":
        return None
    return run(cell, p_BTG, state, (), tiers=("c",))


def run(
    cell: Cell,
    p_BTG: Tensor,
    state: State,
    noise: Any,
    instead: str = "eager",
    tiers: tuple[str, ...] = ("c", "inductor"),
) -> tuple[Tensor, State] | None:
    """Take all steps of a cell on its projected input; None where the eager loop has to do it.

    Args:
        instead: what runs the cell where no kernel is built, for the report.
        tiers: that may be tried.
    Returns:
        The outputs (B, T, H) and the last state.
    Raises:
        RuntimeError: the tier was forced and cannot run this cell.
    """
    if p_BTG.is_meta or p_BTG.shape[1] < 2 or p_BTG.numel() == 0 or operators_are_watched(p_BTG):
        return None
    if chosen() == "eager":
        note(cell, "eager")
        return None
    inside = take_snapshot(cell)
    build, seconds = _find_or_build(cell, inside, p_BTG, state, noise, tiers)
    if build.kernel is None:
        if chosen() != "auto":
            raise RuntimeError(
                f"scan = {chosen()}: {describe(cell)} cannot run in this tier: {build.reason}.\n"
                "  Set trainer.scan to auto or eager."
            )
        note(cell, instead, build.reason, seconds)
        return None
    note(cell, build.kernel.tier, build.reason, seconds)
    assert build.step is not None
    return _apply(build.kernel, build.step, inside, p_BTG, state, noise)


def _apply(
    kernel: Any, step: TracedStep, inside: CellSnapshot, p_BTG: Tensor, state: State, noise: Any
) -> tuple[Tensor, State]:
    """Run all steps by a kernel, with the tensors that the cell holds now."""
    leaves, form = pytree.tree_flatten(state)
    fixed = [s for s, v in zip(leaves, step.varying, strict=True) if not v]
    moving = [s for s, v in zip(leaves, step.varying, strict=True) if v]
    consts = step.prologue(*fixed, *inside.tensors)
    draws = [n.contiguous() for n in pytree.tree_leaves(noise)]
    p_TBG = p_BTG.transpose(0, 1).contiguous()
    y_TBH, finals = scan_function(kernel, p_TBG, moving, draws, consts)
    last = iter(finals)
    after = [next(last) if v else s for s, v in zip(leaves, step.varying, strict=True)]
    return y_TBH.transpose(0, 1), pytree.tree_unflatten(after, form)


def _find_or_build(
    cell: Cell, inside: CellSnapshot, p: Tensor, state: State, noise: Any, tiers: tuple[str, ...]
) -> tuple[_BuildResult, float]:
    """Return the kernel for a cell and the seconds that were spent on building it now."""
    leaves, draws = pytree.tree_leaves(state), pytree.tree_leaves(noise)
    reason = inside.problem
    if not all(isinstance(s, Tensor) for s in (*leaves, *draws)):
        reason = "its state is not made of tensors alone"
    elif torch.is_autocast_enabled(p.device.type):
        reason = "autocast chooses precisions operator by operator"
    elif any(n.requires_grad for n in draws):
        reason = "its noise is learnt"
    if reason:
        return _BuildResult(None, None, reason), 0.0
    key = (
        chosen(), is_long(), tiers, inside.key, p.shape[0], p.shape[2:], p.dtype, p.device,
        tuple(like(s) for s in leaves), tuple((n.shape[1:], n.dtype) for n in draws),
        torch.are_deterministic_algorithms_enabled(),
    )  # fmt: skip
    build = _builds.get(key)
    if build is not None:
        return build, 0.0
    began = time.perf_counter()
    build = _builds[key] = _build(cell, inside, p, state, noise, tiers)
    return build, time.perf_counter() - began


def _tiers_to_try(device: torch.device) -> list[str]:
    """Return the tiers with kernels in the order in which they are tried."""
    if chosen() != "auto":
        return [chosen()]
    first = ["c"] if device.type == "cpu" else []
    return [*first, "inductor"] if is_long() else first


def _build(
    cell: Cell, inside: CellSnapshot, p: Tensor, state: State, noise: Any, tiers: tuple[str, ...]
) -> _BuildResult:
    """Trace a step and build it by the first tier whose kernel agrees with the eager loop."""
    reasons: list[str] = []
    try:
        step = capture(cell, inside, p[:, 0], state, pytree.tree_map(lambda n: n[0], noise))
    except Unsupported as why:
        return _BuildResult(None, None, str(why))
    fixed = [s for s, v in zip(pytree.tree_leaves(state), step.varying, strict=True) if not v]
    needs_grad = step.needs_grad([t.requires_grad for t in (*fixed, *inside.tensors)])
    for tier in _tiers_to_try(p.device):
        if tier not in tiers:
            continue
        try:
            kernel = KERNELS[tier](step, needs_grad)
            check(_apply, cell, inside, kernel, step, p, state, noise)
            return _BuildResult(kernel, step, "; ".join(reasons))
        except Unsupported as why:
            reasons.append(f"{tier}: {why}")
            if isinstance(why, KernelFailed):
                warn_once(f"{describe(cell)} does not run in the {tier} tier of the scan: {why}")
    if not reasons:
        reasons.append("no faster tier on this device" if is_long() else "a short run")
    return _BuildResult(None, None, "; ".join(reasons))
