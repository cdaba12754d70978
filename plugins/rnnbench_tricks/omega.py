"""The regulariser that keeps the gradient's norm from step to step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnbench.contract import Batch, Cell, Layout, Refusal, Result, State, Task, Trick, setting
from rnnbench.nn import CellWrapper, FastCell, Model


class Pass(NamedTuple):
    """The steps that one call of a cell has made: what is needed to make them again."""

    cell: Watched
    p: list[Tensor]  # (B, G) a step
    states: list[Any]  # one more than steps
    noise: Any  # (T, B, ...): drawn before the first step
    traces: Traces | None  # None: the steps drew nothing and wrote nothing


class Traces(NamedTuple):
    """The random generators and buffers that steps have changed, as they were before."""

    random: list[Tensor]  # of the generators
    written: list[tuple[Tensor, Tensor]]  # buffers and their values


class Watched(CellWrapper):
    """A cell wrapper that in training runs step by step and keeps the states."""

    def __init__(self, inner: Cell):
        super().__init__(inner)
        self.passes: list[Pass] = []

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        if not (self.training and torch.is_grad_enabled()):
            return self.inner(x_BTD, state, layout)
        state = self.inner.initial(x_BTD[:, 0]) if state is None else state
        return self.watch(self.inner.project(x_BTD, state), state)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if not (self.training and torch.is_grad_enabled()) or seen_BH is not None:
            return self.inner.advance(p_BG, state, seen_BH)
        y_BTH, state = self.watch(p_BG[:, None], state)
        return y_BTH[:, 0], state

    def watch(self, p_BTG: Tensor, state: State) -> tuple[Tensor, State]:
        if torch._C._functorch.peek_interpreter_stack() is not None:
            raise Refusal(
                "omega needs back-propagation through time, and here a cell's derivative is taken "
                "in another way.\n  Drop omega, or the estimator."
            )
        inner, steps = self.inner, p_BTG.shape[1]
        noise = inner.draw_noise(steps, state) if isinstance(inner, FastCell) else ()
        random, buffers = generators(p_BTG.device), list(self.buffers())
        before = [(b.clone(), b._version) for b in buffers]
        y, states = [], [state]
        for t, p_BG in enumerate(p_BTG.unbind(1)):
            y_BH, state = self.once(p_BG, state, pytree.tree_map(lambda n, t=t: n[t], noise))
            y.append(y_BH)
            states.append(state)
        written = [
            (b, value)
            for b, (value, version) in zip(buffers, before, strict=True)
            if b._version != version
        ]
        drew = not all(map(torch.equal, random, generators(p_BTG.device)))
        traces = Traces(random, written) if drew or written else None
        self.passes.append(Pass(self, list(p_BTG.unbind(1)), states, noise, traces))
        return torch.stack(y, 1), state

    def once(self, p_BG: Tensor, state: State, noise: Any) -> tuple[Tensor, State]:
        if isinstance(self.inner, FastCell):
            return self.inner.tick(p_BG, state, noise)
        return self.inner.advance(p_BG, state)

    def moving(self, state: State) -> list[Tensor]:
        """Return the leaves of a state that change and that a gradient flows through."""
        state = state[: -self.still] if self.still else state
        return [s for s in pytree.tree_leaves(state) if s.is_floating_point()]


def generators(device: torch.device) -> list[Tensor]:
    """Return the state of the random generators that a step may draw from."""
    more = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *more]


@contextmanager
def again(traces: Traces, device: torch.device) -> Iterator[None]:
    """Put draws and buffers back to those of a pass, and undo this at the end."""
    now = Traces(generators(device), [(b, b.clone()) for b, _ in traces.written])

    def put(these: Traces) -> None:
        torch.set_rng_state(these.random[0])
        if len(these.random) > 1:
            torch.cuda.set_rng_state(these.random[1], device)
        with torch.no_grad():
            for b, value in these.written:
                b.copy_(value)

    put(traces)
    try:
        yield
    finally:
        put(now)


def omega_of(passes: list[Pass], loss: Tensor) -> Tensor:
    """Return Ω of all steps that were watched, as a function of what the transitions hold."""
    after = [s for each in passes for state in each.states[1:] for s in each.cell.moving(state)]
    reached = [s for s in after if s.requires_grad]
    grads = torch.autograd.grad(loss, reached, retain_graph=True, allow_unused=True)
    gradients = {
        id(s): g for s, g in zip(reached, grads, strict=True) if g is not None
    }  # fmt: skip
    total = loss.new_zeros(())
    for each in passes:
        v = [
            [gradients.get(id(s), torch.zeros_like(s)) for s in each.cell.moving(state)]
            for state in each.states[1:]
        ]
        total = total + omega_of_pass(each, v)
    return total


def omega_of_pass(each: Pass, v: list[list[Tensor]]) -> Tensor:
    """Return Σ_k of the mean over rows.

    Args:
        v: for each step ∂L/∂s_{k+1}, by the parts of the state.
    """
    before = [pytree.tree_map(torch.Tensor.detach, s) for s in each.states[:-1]]
    p, rows = [p_BG.detach() for p_BG in each.p], each.p[0].shape[0]
    if each.traces is None:  # rows know nothing of each other: all steps at once, as rows
        state = pytree.tree_map(lambda *s: torch.cat(s), *before)
        noise = pytree.tree_map(lambda n: n.flatten(0, 1), each.noise)
        parts = [torch.cat(s) for s in zip(*v, strict=True)]
        return deviation(each.cell, torch.cat(p), state, noise, parts).sum() / rows
    total = p[0].new_zeros(())
    with again(each.traces, p[0].device):
        for k, p_BG in enumerate(p):
            noise = pytree.tree_map(lambda n, k=k: n[k], each.noise)
            total = total + deviation(each.cell, p_BG, before[k], noise, v[k]).sum() / rows
    return total


def deviation(cell: Watched, p_BG: Tensor, state: State, noise: Any, v: list[Tensor]) -> Tensor:
    """Return (‖v J‖ / ‖v‖ - 1)² (B,), 0 where v is 0; J is the Jacobian of a step from `state`."""
    before = cell.moving(state)
    for s in before:
        s.requires_grad_()
    after = cell.moving(cell.once(p_BG, state, noise)[1])
    # Vanishing gradients are what this is about: their squares must not underflow.
    greatest_B = torch.stack([s.flatten(1).abs().amax(1) for s in v]).amax(0)
    scale_B = torch.where(greatest_B > 0, greatest_B, 1.0)
    v = [s / scale_B.view(-1, *[1] * (s.dim() - 1)) for s in v]
    pairs = [(a, s) for a, s in zip(after, v, strict=True) if a.requires_grad]
    u = torch.autograd.grad(
        [a for a, _ in pairs], before, [s for _, s in pairs], create_graph=True, allow_unused=True
    )
    kept = [torch.zeros_like(s) if g is None else g for s, g in zip(before, u, strict=True)]
    ratio_B = norm(kept) / torch.where(greatest_B > 0, norm(v), 1.0)
    return torch.where(greatest_B > 0, (ratio_B - 1).square(), 0.0)


def norm(parts: list[Tensor]) -> Tensor:
    """Return ‖·‖ of every row over all parts (B,), with the derivative 0 where it is 0."""
    square_B = torch.stack([s.flatten(1).square().sum(1) for s in parts]).sum(0)
    return torch.where(square_B > 0, torch.where(square_B > 0, square_B, 1.0).sqrt(), 0.0)


@dataclass(frozen=True)
class Omega(Trick):
    """A penalty that asks of the step's Jacobian to keep the norm of the gradient it carries back.

    Ω = Σ_k ( ‖∂L/∂s_{k+1} · ∂s_{k+1}/∂s_k‖ / ‖∂L/∂s_{k+1}‖ - 1 )²

    `weight` · Ω is minimised with the loss L. s is the whole state of a cell (of an LSTM h and c);
    the mean over rows is taken, and the sum over the cells of a model. Steps that no gradient
    reaches, such as padding, are left out. As in the paper the derivative is the immediate one:
    s_k, ∂L/∂s_{k+1} and the input of each step are constants, so that Ω teaches what the
    transition itself holds, such as W_h. The loss that is differentiated is the bare one, and the
    gradient with respect to the states costs a second backward pass; cells run step by step.

    Null value: weight = 0.

    Source: Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, section 3.3, eqs. 9-10.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"weight": 0.0}

    weight: float = setting(1.0, "λ, of the penalty", low=0.0, search=(0.01, 10.0, "log"))

    def sites(self) -> tuple[str, ...]:
        return () if self.weight == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        watch_cells(model)
        if not any(isinstance(m, Watched) for m in model.modules()):
            raise Refusal(
                "omega acts on the Jacobian of a recurrent cell's step; this model has no cell.\n"
                "  Drop omega, or choose an architecture from: rnnbench list architectures "
                "--site cell"
            )
        assert isinstance(model, Model)
        model.register_forward_pre_hook(forget)
        model.register_forward_hook(self.penalise)
        return model

    def penalise(self, model: nn.Module, given: tuple[Any, ...], result: Result) -> Result:
        """Add the penalty to what the model says about a training batch."""
        if not (model.training and torch.is_grad_enabled()):
            return result
        batch: Batch = given[0]
        passes = [p for m in model.modules() if isinstance(m, Watched) for p in m.passes]
        forget(model, given)
        if not passes:
            raise Refusal(
                "omega watches the steps of a cell, and this model takes them in a way that it "
                "cannot see.\n  Drop omega."
            )
        assert isinstance(model, Model)
        penalty = self.weight * omega_of(passes, model.loss(result.out, batch))
        if not penalty.requires_grad:
            raise Refusal(
                "omega teaches what the step from state to state holds, and this one holds "
                "nothing: its gates see the input alone.\n"
                "  Drop omega, or choose a cell whose step has weights, such as lstm or gru."
            )
        whole = penalty if result.penalty is None else result.penalty + penalty
        return result._replace(penalty=whole)


def forget(model: nn.Module, inputs: Any) -> None:
    """Let go of the passes that were watched."""
    for module in model.modules():
        if isinstance(module, Watched):
            module.passes = []


def watch_cells(module: nn.Module) -> None:
    """Wrap every outermost cell of a model."""
    for name, child in list(module.named_children()):
        if isinstance(child, Cell):
            setattr(module, name, Watched(child))
        else:
            watch_cells(child)
