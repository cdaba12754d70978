"""A kernel's forward and backward as one function of autograd, twice differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, fx, nn

from rnnbench.nn.scan.trace_step import TracedStep


class ScanOutput(NamedTuple):
    """The results of all steps.

    Attributes:
        y: outputs (T, B, H).
        finals: the last state.
        kept: what backward needs besides the inputs.
    """

    y: Tensor
    finals: tuple[Tensor, ...]
    kept: list[Tensor]


class Kernel(Protocol):
    """A step as a tier has built it: all steps forwards, and their gradients."""

    step: TracedStep
    tier: str

    def forward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor],
    ) -> ScanOutput:  # fmt: skip
        """Run all steps."""
        ...

    def backward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor], kept: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor],
        needs_grad: Sequence[bool],
    ) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor | None]]:  # fmt: skip
        """Return the gradients of p, of the states at the start, and of the consts.

        Args:
            kept: of `forward`.
            dy, dfinals: the gradients of its outputs.
            needs_grad: which consts need a gradient.
        """
        ...


def scan_function(
    kernel: Kernel, p_TBG: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
    consts: Sequence[Tensor],
) -> tuple[Tensor, tuple[Tensor, ...]]:  # fmt: skip
    """Return outputs (T, B, H) and the last state, differentiable in p, states and consts."""
    sizes = len(states), len(noise), len(consts)
    y, *finals = _Scan.apply(kernel, sizes, p_TBG, *states, *noise, *consts)
    return y, tuple(finals)


def _parts(sizes: tuple[int, ...], tensors: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """Cut a sequence of tensors into parts of the given sizes."""
    parts, at = [], 0
    for size in sizes:
        parts.append(tensors[at : at + size])
        at += size
    return parts


class _Scan(torch.autograd.Function):
    """A kernel in the graph of autograd."""

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
        p, *saved = ctx.saved_tensors
        sizes = ctx.sizes
        states, noise, consts, kept = _parts((*sizes, len(saved) - sum(sizes)), saved)
        needs_grad = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # create_graph: the gradient will be differentiated again
            return (
                None,
                None,
                *_eager_gradients(
                    ctx.kernel.step, needs_grad, p, states, noise, consts, dy, dfinals
                ),
            )
        first_const = 1 + sizes[0] + sizes[1]
        dp, starts, grads = ctx.kernel.backward(
            p, states, noise, consts, kept, dy, dfinals, needs_grad[first_const:]
        )
        return None, None, dp, *starts, *(None for _ in noise), *grads


def _eager_gradients(
    step: TracedStep, needs_grad: Sequence[bool], p: Tensor, states: Sequence[Tensor],
    noise: Sequence[Tensor], consts: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor],
) -> list[Tensor | None]:  # fmt: skip
    """Compute the gradients by the eager loop, so that autograd can follow them."""
    # Fresh names of the inputs: a gradient of one must not run on into the history of another.
    inputs = [t.view_as(t) for t in (p, *states, *noise, *consts)]
    (own_p,), own_states, own_noise, own_consts = _parts(
        (1, len(states), len(noise), len(consts)), inputs
    )
    outputs = unroll_graph(step, own_p, own_states, own_noise, own_consts)
    roots = [(o, d) for o, d in zip(outputs, (dy, *dfinals), strict=True) if o.requires_grad]
    learnt = [i for i, needed in enumerate(needs_grad) if needed]
    computed = torch.autograd.grad(
        [o for o, _ in roots], [inputs[i] for i in learnt], [d for _, d in roots],
        create_graph=True, allow_unused=True,
    )  # fmt: skip
    gradients: list[Tensor | None] = [None] * len(inputs)
    for i, g in zip(learnt, computed, strict=True):
        gradients[i] = g
    return gradients


def unroll_graph(
    step: TracedStep, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
    consts: Sequence[Tensor],
) -> tuple[Tensor, ...]:  # fmt: skip
    """Run the traced step in a loop of torch operators; return outputs and last state."""
    module = fx.GraphModule(nn.Module(), step.graph)
    state, outputs = tuple(states), []
    for t in range(p.shape[0]):
        y, *state = module(p[t], *state, *(n[t] for n in noise), *consts)
        outputs.append(y)
    return torch.stack(outputs), *state
