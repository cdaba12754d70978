"""The choice whether kernels run the linear scan on a GPU: where Triton is, and they agree."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from rnnbench.nn.scan.choice import chosen as chosen_tier
from rnnbench.nn.scan.choice import note_named
from rnnbench.nn.scan.verify_kernel import TOLERANCE

Scan = Callable[[Tensor, Tensor, Tensor, bool], Tensor]  # of a, b, start, backwards
NAME = "linear scan"
STEPS = 150  # of the comparison: several chunks and an uneven last one


def chosen(b: Tensor, plain: Scan) -> Scan | None:
    """Return the kernel for tensors like b, or None where `plain` has to run; report which."""
    if chosen_tier() == "eager":
        note_named(NAME, "eager")
        return None
    kernel, reason = agreed(b.device, b.dtype, plain)
    note_named(NAME, "triton" if kernel else "eager", reason)
    return kernel


@functools.cache
def agreed(device: torch.device, dtype: torch.dtype, plain: Scan) -> tuple[Scan | None, str]:
    """Return the kernel if it agrees with `plain` on random values, else why there is none."""
    try:
        from rnnbench.nn.linear.triton_kernels import scan
    except ImportError:
        return None, "triton is not installed"
    try:
        reason = difference(scan, plain, device, dtype)
    except Exception as error:  # a compiler, a driver: whatever it is, the plain scan runs
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if not reason:
        return scan, ""
    warnings.warn(
        f"The kernels of the linear scan do not run on {device}: {reason}. A slower tier runs it.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None, reason


def difference(kernel: Scan, plain: Scan, device: torch.device, dtype: torch.dtype) -> str:
    """Return how two scans differ on random values, or ""."""
    random = torch.Generator(device).manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=dtype, device=device)

    b, start = normal(2, STEPS, 3), normal(2, 3)
    factors = normal(2, STEPS, 3) / 2
    for what, a in (("", factors), (" of factors in common", factors[:, :, :1].expand_as(b))):
        for backwards in (False, True):
            expected, computed = (f(a, b, start, backwards) for f in (plain, kernel))
            real = expected.real.dtype if dtype.is_complex else dtype
            worst = float((expected - computed).abs().max())
            scale = float(expected.abs().max())
            if not worst <= TOLERANCE[real] * scale:  # also where it is NaN
                way = "backwards" if backwards else "forwards"
                return f"{way}, a scan{what} differs by {worst:.2g}, of values up to {scale:.2g}"
    return ""
