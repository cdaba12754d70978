"""Which tier runs a scan: chosen by itself or forced, checked when it is built, and reported."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rnnbench.contract import Cell, State
from rnnbench.nn.scan.autograd import scan_function
from rnnbench.nn.scan.c.kernel import Native
from rnnbench.nn.scan.inductor import Compiled
from rnnbench.nn.scan.trace_step import (
    CellSnapshot,
    KernelFailed,
    TracedStep,
    Unsupported,
    capture,
    like,
    look_inside,
)
from rnnbench.nn.scan.verify_kernel import check

Tier = Literal["auto", "eager", "inductor", "c"]
TIERS: dict[str, Callable[[TracedStep, tuple[bool, ...]], Any]] = {
    "c": Native,
    "inductor": Compiled,
}


@dataclass
class _Made:
    """What a key led to: a kernel, or the reason why there is none."""

    kernel: Any
    step: TracedStep | None
    reason: str


@dataclass
class _Use:
    """How this process scans, and what it has used since `use` was last called."""

    tier: Tier = "auto"
    long: bool = False
    made: dict[Any, _Made] = field(default_factory=dict)
    used: dict[tuple[str, str, str], float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


_use = _Use()


def use(tier: Tier = "auto", long: bool = False) -> None:
    """Choose how cells are scanned from now on, and begin a new report.

    Args:
        tier: "auto" takes C where the step is elementwise and a compiler is found, else
            inductor where the run is long, else the eager loop; the others force one.
        long: the run is long enough to earn back some seconds of building by inductor.
    """
    if tier not in ("auto", "eager", "inductor", "c"):
        raise ValueError(f"scan tier {tier!r}: choose auto, eager, inductor or c")
    _use.tier, _use.long, _use.used = tier, long, {}


def chosen() -> Tier:
    """The tier that `use` was given."""
    return _use.tier


def report() -> list[dict[str, Any]]:
    """What was used since `use`: cell, tier, reason ("" where it was the first choice), and
    build_seconds that were spent now (0 where it had been built before)."""
    return [
        {"cell": cell, "tier": tier, "reason": reason, "build_seconds": round(seconds, 3)}
        for (cell, tier, reason), seconds in sorted(_use.used.items())
    ]


def note(cell: Cell, tier: str, reason: str = "", seconds: float = 0.0) -> None:
    """Put a use into the report."""
    note_named(describe(cell), tier, reason, seconds)


def note_named(name: str, tier: str, reason: str = "", seconds: float = 0.0) -> None:
    """`note`, of what is no cell."""
    key = (name, tier, reason)
    _use.used[key] = _use.used.get(key, 0.0) + seconds


def describe(cell: Cell) -> str:
    """The classes of a cell and of what it wraps: `ZoneoutCell(LSTMCell)`."""
    inner = getattr(cell, "inner", None)
    name = type(cell).__name__
    return f"{name}({describe(inner)})" if isinstance(inner, Cell) else name


def run(cell: Cell, p_BTG: Tensor, state: State, noise: Any) -> tuple[Tensor, State] | None:
    """All steps of a cell on its projected input, or None where the eager loop has to do it.

    Raises:
        RuntimeError: the tier was forced and cannot run this cell.
    """
    if p_BTG.is_meta or p_BTG.shape[1] < 2 or p_BTG.numel() == 0 or watched(p_BTG):
        return None
    if _use.tier == "eager":
        note(cell, "eager")
        return None
    inside = look_inside(cell)
    made, seconds = _kernel(cell, inside, p_BTG, state, noise)
    if made.kernel is None:
        if _use.tier != "auto":
            raise RuntimeError(
                f"scan = {_use.tier}: {describe(cell)} cannot run in this tier: {made.reason}.\n"
                "  Set trainer.scan to auto or eager."
            )
        note(cell, "eager", made.reason, seconds)
        return None
    note(cell, made.kernel.tier, made.reason, seconds)
    assert made.step is not None
    return _apply(made.kernel, made.step, inside, p_BTG, state, noise)


def _apply(
    kernel: Any, step: TracedStep, inside: CellSnapshot, p_BTG: Tensor, state: State, noise: Any
) -> tuple[Tensor, State]:
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


def watched(p: Tensor) -> bool:
    """Whether something looks into or transforms the operators, which a kernel would hide."""
    return (
        type(p) is not Tensor
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch.autograd.forward_ad._current_level >= 0
    )


def _kernel(
    cell: Cell, inside: CellSnapshot, p: Tensor, state: State, noise: Any
) -> tuple[_Made, float]:
    """The kernel of a key and the seconds that were spent on it now."""
    leaves, draws = pytree.tree_leaves(state), pytree.tree_leaves(noise)
    reason = inside.problem
    if not all(isinstance(s, Tensor) for s in (*leaves, *draws)):
        reason = "its state is not made of tensors alone"
    elif torch.is_autocast_enabled(p.device.type):
        reason = "autocast chooses precisions operator by operator"
    elif any(n.requires_grad for n in draws):
        reason = "its noise is learnt"
    if reason:
        return _Made(None, None, reason), 0.0
    key = (
        _use.tier, _use.long, inside.key, p.shape[0], p.shape[2:], p.dtype, p.device,
        tuple(like(s) for s in leaves), tuple((n.shape[1:], n.dtype) for n in draws),
        torch.are_deterministic_algorithms_enabled(),
    )  # fmt: skip
    made = _use.made.get(key)
    if made is not None:
        return made, 0.0
    began = time.perf_counter()
    made = _use.made[key] = _make(cell, inside, p, state, noise)
    return made, time.perf_counter() - began


def _order(device: torch.device) -> list[str]:
    if _use.tier != "auto":
        return [_use.tier]
    first = ["c"] if device.type == "cpu" else []
    return [*first, "inductor"] if _use.long else first


def _make(cell: Cell, inside: CellSnapshot, p: Tensor, state: State, noise: Any) -> _Made:
    """Try the tiers in their order; the first that agrees with the eager loop is taken."""
    reasons: list[str] = []
    try:
        step = capture(cell, inside, p[:, 0], state, pytree.tree_map(lambda n: n[0], noise))
    except Unsupported as why:
        return _Made(None, None, str(why))
    fixed = [s for s, v in zip(pytree.tree_leaves(state), step.varying, strict=True) if not v]
    wanted = step.wanted([t.requires_grad for t in (*fixed, *inside.tensors)])
    for tier in _order(p.device):
        try:
            kernel = TIERS[tier](step, wanted)
            check(_apply, cell, inside, kernel, step, p, state, noise)
            return _Made(kernel, step, "; ".join(reasons))
        except Unsupported as why:
            reasons.append(f"{tier}: {why}")
            if isinstance(why, KernelFailed):
                _tell(f"{describe(cell)} does not run in the {tier} tier of the scan: {why}")
    if not reasons:
        reasons.append("no faster tier on this device" if _use.long else "a short run")
    return _Made(None, None, "; ".join(reasons))


def _tell(message: str) -> None:
    if _use.tier == "auto" and message not in _use.told:
        _use.told.add(message)
        warnings.warn(f"{message}. A slower tier runs it.", RuntimeWarning, stacklevel=2)
