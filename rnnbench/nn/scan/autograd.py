"""A kernel's forward and backward as one function of autograd, twice differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, fx, nn

from rnnbench.nn.scan.trace_step import TracedStep


class ScanOutput(NamedTuple):
    """All steps: outputs (T, B, H), the last state, and what backward needs besides the inputs."""

    y: Tensor
    finals: tuple[Tensor, ...]
    kept: list[Tensor]


class Kernel(Protocol):
    """What a tier builds of a step."""

    step: TracedStep
    tier: str

    def forward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor],
    ) -> ScanOutput: ...  # fmt: skip

    def backward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor], kept: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor | None]]: ...  # fmt: skip


def scan_function(
    kernel: Kernel, p_TBG: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
    consts: Sequence[Tensor],
) -> tuple[Tensor, tuple[Tensor, ...]]:  # fmt: skip
    """Outputs (T, B, H) and the last state, differentiable in p, states and consts."""
    sizes = len(states), len(noise), len(consts)
    y, *finals = _Scan.apply(kernel, sizes, p_TBG, *states, *noise, *consts)
    return y, tuple(finals)


def _parts(sizes: tuple[int, ...], tensors: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    found, at = [], 0
    for size in sizes:
        found.append(tensors[at : at + size])
        at += size
    return found


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kernel: Kernel, sizes: tuple[int, ...], p: Tensor, *tensors: Tensor
    ) -> Any:
        states, noise, consts = _parts(sizes, tensors)
        done = kernel.forward(p, states, noise, consts)
        ctx.kernel, ctx.sizes = kernel, sizes
        ctx.save_for_backward(p, *tensors, *done.kept)
        return done.y, *done.finals

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *dfinals: Tensor) -> Any:
        p, *rest = ctx.saved_tensors
        sizes = ctx.sizes
        states, noise, consts, kept = _parts((*sizes, len(rest) - sum(sizes)), rest)
        wanted = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # create_graph: the gradient will be differentiated again
            return (
                None,
                None,
                *_again(ctx.kernel.step, wanted, p, states, noise, consts, dy, dfinals),
            )
        place = 1 + sizes[0] + sizes[1]
        dp, starts, grads = ctx.kernel.backward(
            p, states, noise, consts, kept, dy, dfinals, wanted[place:]
        )
        return None, None, dp, *starts, *(None for _ in noise), *grads


def _again(
    step: TracedStep, wanted: Sequence[bool], p: Tensor, states: Sequence[Tensor],
    noise: Sequence[Tensor], consts: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients by the eager loop, so that autograd can follow them."""
    # Fresh names of the inputs: a gradient of one must not run on into the history of another.
    inputs = [t.view_as(t) for t in (p, *states, *noise, *consts)]
    q, s, n, c = _parts((1, len(states), len(noise), len(consts)), inputs)
    outputs = [*unrolled(step, q[0], s, n, c)]
    roots = [(o, d) for o, d in zip(outputs, (dy, *dfinals), strict=True) if o.requires_grad]
    chosen = [i for i, w in enumerate(wanted) if w]
    found = torch.autograd.grad(
        [o for o, _ in roots], [inputs[i] for i in chosen], [d for _, d in roots],
        create_graph=True, allow_unused=True,
    )  # fmt: skip
    gradients: list[Tensor | None] = [None] * len(inputs)
    for i, g in zip(chosen, found, strict=True):
        gradients[i] = g
    return gradients


def unrolled(
    step: TracedStep, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
    consts: Sequence[Tensor],
) -> tuple[Tensor, ...]:  # fmt: skip
    """The traced step in a loop of torch operators: outputs and last state."""
    module = fx.GraphModule(nn.Module(), step.graph)
    state, outputs = tuple(states), []
    for t in range(p.shape[0]):
        y, *state = module(p[t], *state, *(n[t] for n in noise), *consts)
        outputs.append(y)
    return torch.stack(outputs), *state
