"""The tier that this process scans with, and the report of what ran: all of the room may import it.

`use` chooses a tier and begins a report; kernels and wrappers `note` in it what ran and why.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rnnbench.contract import Cell

Tier = Literal["auto", "eager", "inductor", "c"]


@dataclass
class ScanChoice:
    """The way in which this process scans.

    Attributes:
        tier: what `use` was given.
        long: the run is long enough to earn back some seconds of building by inductor.
        plain: cells of which torch has a kernel run in the C tier, where that is quicker.
        seconds: seconds of building by (cell, tier, reason), since `use` was last called.
        warned: warnings that were given already.
    """

    tier: Tier = "auto"
    long: bool = False
    plain: bool = False
    seconds: dict[tuple[str, str, str], float] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)


_choice = ScanChoice()


def use(tier: Tier = "auto", long: bool = False, *, plain: bool = False) -> None:
    """Choose how cells are scanned from now on, and begin a new report.

    Args:
        tier: "auto" takes C where the step is elementwise and a compiler is found, else
            inductor where the run is long, else the eager loop; the others force one.
        long: the run is long enough to earn back some seconds of building by inductor.
        plain: it is long enough for some tenths of a second of building by C, for cells of which
            torch has a kernel that is ready at once.
    Raises:
        ValueError: there is no such tier.
    """
    if tier not in get_args(Tier):
        raise ValueError(f"scan tier {tier!r}: choose auto, eager, inductor or c")
    _choice.tier, _choice.long, _choice.plain, _choice.seconds = tier, long, plain, {}


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Scan by the eager loop within it, which builds no kernel; then as before, report and all."""
    before = _choice.tier, _choice.seconds
    _choice.tier, _choice.seconds = "eager", {}
    try:
        yield
    finally:
        _choice.tier, _choice.seconds = before


def chosen() -> Tier:
    """Return the tier that `use` was given."""
    return _choice.tier


def is_long() -> bool:
    """Tell whether the run is long enough for inductor to pay."""
    return _choice.long


def takes_plain_cells(x_BTD: Tensor) -> bool:
    """Tell whether a cell of which torch has a kernel may run in the C tier on this input."""
    return (
        _choice.plain
        and _choice.tier == "auto"
        and x_BTD.device.type == "cpu"
        and x_BTD.dtype in (torch.float32, torch.float64)
        and x_BTD.shape[1] > 1
        and x_BTD.numel() > 0
        and torch.get_num_threads() == 1  # torch's kernels use them all
        and not torch.is_autocast_enabled("cpu")
        and not operators_are_watched(x_BTD)
    )


def report() -> list[dict[str, Any]]:
    """Return what ran since `use`: a row for each cell, tier and reason.

    `reason` is "" where the tier was the first choice; `build_seconds` were spent now (0 where the
    kernel had been built before).
    """
    return [
        {"cell": cell, "tier": tier, "reason": reason, "build_seconds": round(seconds, 3)}
        for (cell, tier, reason), seconds in sorted(_choice.seconds.items())
    ]


def note(cell: Cell, tier: str, reason: str = "", seconds: float = 0.0) -> None:
    """Add to the report that a cell ran in a tier."""
    note_named(describe(cell), tier, reason, seconds)


def note_named(name: str, tier: str, reason: str = "", seconds: float = 0.0) -> None:
    """Add to the report that something which is no cell ran in a tier."""
    key = (name, tier, reason)
    _choice.seconds[key] = _choice.seconds.get(key, 0.0) + seconds


def warn_once(message: str) -> None:
    """Warn that a slower tier runs, unless this was said before or a tier is forced."""
    if _choice.tier == "auto" and message not in _choice.warned:
        _choice.warned.add(message)
        warnings.warn(f"{message}. A slower tier runs it.", RuntimeWarning, stacklevel=2)


def describe(cell: Cell) -> str:
    """Return the classes of a cell and of what it wraps: `ZoneoutCell(LSTMCell)`."""
    inner = getattr(cell, "inner", None)
    name = type(cell).__name__
    return f"{name}({describe(inner)})" if isinstance(inner, Cell) else name


def operators_are_watched(p: Tensor) -> bool:
    """Tell whether something looks into or transforms the operators, which a kernel would hide.

    On the meta device no kernel runs, and what counts operators there may do so.
    """
    return (
        type(p) is not Tensor
        or (torch._C._len_torch_dispatch_stack() > 0 and not p.is_meta)
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch.autograd.forward_ad._current_level >= 0
    )


def gradient_is_watched(*gradients: Tensor) -> bool:
    """Tell whether a backward pass must take torch's operators: it is to be differentiated again,
    or it runs for many gradients at once, whose tensors have no memory that C could read."""
    return (
        torch.is_grad_enabled()
        or any(map(torch._C._functorch.is_legacy_batchedtensor, gradients))
        or torch._C._functorch.peek_interpreter_stack() is not None
    )
