"""The laws of recurrent cells: the step, and the paths that must agree with it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Cell, Refusal, State
from rnnbench.testing.fixtures.backbones import EXACT, ROWS, STEPS, WIDTH, either_backbone, leaves
from rnnbench.testing.law import Broken, DoesNotApply, Laws, differ
from rnnbench.training.determinism import seed_torch

LAWS = Laws()


def cells_of(plugin: Architecture) -> list[Cell]:
    """Return every cell of the plugin's backbone, inner ones of wrappers included."""
    cells = [m for m in either_backbone(plugin).modules() if isinstance(m, Cell)]
    if not cells:
        raise DoesNotApply("it has no recurrent cell")
    return cells


def cell_input(cell: Cell) -> int:
    """Return D of a cell: the width that its `step` accepts; `input_width` where it says so."""
    while hasattr(cell, "inner"):
        cell = cell.inner  # type: ignore[assignment]
    if hasattr(cell, "input_width"):
        return int(cell.input_width)  # type: ignore[arg-type]
    if hasattr(cell, "weight_x"):
        return int(cell.weight_x.shape[1])  # type: ignore[index]
    for width in (WIDTH, cell.width, WIDTH + cell.width):
        x = torch.randn(1, width, dtype=torch.float64)
        try:
            cell.step(x, cell.initial(x))
        except (RuntimeError, ValueError):
            continue
        return width
    raise Broken(f"{type(cell).__name__}.step takes neither the input's width nor its own")


def outcome(cell: Cell, path: Callable[..., Any], x: Tensor, state: State) -> list[Any]:
    """Run one path; return outputs, final state and all gradients (input, start, parameters)."""
    x = x.clone().requires_grad_()
    start = None
    if state is not None:  # counters are integers, which have no gradient
        start = tuple(s.clone().requires_grad_(s.is_floating_point()) for s in state)
    cell.zero_grad()
    seed_torch(5)
    y, final = path(x, start)
    seed_torch(6)  # the same random weights for either path
    total = (y * torch.randn(y.shape, dtype=y.dtype)).sum()
    for leaf in leaves(final):
        if leaf.requires_grad:
            total = total + (leaf * torch.randn(leaf.shape, dtype=leaf.dtype)).sum()
    total.backward()
    gradients = {f"the gradient of {k}": p.grad for k, p in cell.named_parameters()}
    gradients["the gradient of the input"] = x.grad
    for i, leaf in enumerate(start or ()):
        gradients[f"the gradient of start state {i}"] = leaf.grad
    return [("y", y.detach()), ("the final state", [s.detach() for s in leaves(final)]),
            *gradients.items()]  # fmt: skip


@LAWS.law(
    "A fused path equals the scan of the step: outputs, final state and all gradients.",
    "Compare forward with scan term by term; read the weights anew at every call.",
    everywhere=True,
)
def fused_equals_scan(plugin: Architecture) -> None:
    cells = [c for c in cells_of(plugin) if type(c).forward is not Cell.forward]
    if not cells:
        raise DoesNotApply("no cell overrides forward")
    for cell in cells:
        # After an update in place too, as an optimiser makes it: a kept copy would be stale.
        for when in ("", " after its weights were updated"):
            for rows, steps in ((ROWS, STEPS), (1, 1)):
                x = torch.randn(rows, steps, cell_input(cell), dtype=torch.float64)
                with torch.no_grad():
                    _, state = cell.scan(x)
                for start in (None, state):
                    for training in (False, True):
                        cell.train(training)
                        paths = [outcome(cell, p, x, start) for p in (cell.forward, cell.scan)]
                        for (what, a), (_, b) in zip(*paths, strict=True):
                            gap = differ(a, b, 1e-9)
                            if gap:
                                raise Broken(
                                    f"{type(cell).__name__}: {what} of forward and scan differ "
                                    f"{gap}{when} ({rows} x {steps} steps)"
                                )
            with torch.no_grad():
                for p in cell.parameters():
                    p.add_(torch.randn_like(p) * 0.1)


@LAWS.law(
    "Stepping by hand equals forward, and a step changes neither its input nor its state.",
    "step must be pure: no in-place change, nothing remembered on self.",
    everywhere=True,
)
def step_is_pure(plugin: Architecture) -> None:
    for cell in cells_of(plugin):
        name = type(cell).__name__
        cell.requires_grad_(False)
        x = torch.randn(ROWS, STEPS, cell_input(cell), dtype=torch.float64)
        whole, _ = cell(x)
        state, outputs = cell.initial(x[:, 0]), []
        for leaf in leaves(state):
            if leaf.is_floating_point() and leaf.dtype != x.dtype:
                raise Broken(f"{name}.initial gives {leaf.dtype} for an input of {x.dtype}")
        for t in range(STEPS):
            kept = copy.deepcopy((x[:, t], state))
            y, after = cell.step(x[:, t], state)
            if differ(kept, (x[:, t], state)):
                raise Broken(f"{name}.step changes its arguments in place")
            again, _ = cell.step(x[:, t], state)
            if differ(y, again):
                raise Broken(f"{name}.step gives another result the second time")
            outputs.append(y)
            state = after
        gap = differ(torch.stack(outputs, 1), whole, EXACT)
        if gap:
            raise Broken(f"{name}: steps and forward differ {gap}")


@LAWS.law(
    "A cell runs under torch.func: functional_call, and vmap over rows.",
    "Avoid in-place writes, .item(), and control flow that reads values in step.",
    everywhere=True,
)
def torch_func(plugin: Architecture) -> None:
    for cell in cells_of(plugin):
        name = type(cell).__name__
        x = torch.randn(ROWS, cell_input(cell), dtype=torch.float64)
        _, state = cell.step(x, cell.initial(x))
        others = {k: p.detach() + 0.1 * torch.randn_like(p) for k, p in cell.named_parameters()}
        stepper = _Stepper(cell)

        def call(x_D: Tensor, state_H: State, _stepper: _Stepper = stepper,
                 _others: dict[str, Tensor] = others) -> State:  # fmt: skip
            state_1H = tuple(s[None] for s in state_H)
            y, after = torch.func.functional_call(
                _stepper, {f"cell.{k}": p for k, p in _others.items()}, (x_D[None], state_1H)
            )
            return y[0], tuple(s[0] for s in after)

        result_by_rows = torch.func.vmap(call)(x, state)
        with torch.no_grad():  # the same parameters, really in place
            for k, p in cell.named_parameters():
                p.copy_(others[k])
        gap = differ(result_by_rows, cell.step(x, state), EXACT)
        if gap:
            raise Broken(f"{name}: functional_call and vmap over rows differ {gap} from a batch")


@LAWS.law(
    "What a trick lets the recurrent product read in place of h is read, or is refused.",
    "advance must use seen_BH where it is given, for the products only, or raise Refusal.",
    everywhere=True,
)
def seen_state_is_read(plugin: Architecture) -> None:
    for cell in cells_of(plugin):
        # So many rows that in some of them even a single unit of a ReLU is on.
        x = torch.randn(64, 2, cell_input(cell), dtype=torch.float64)
        _, state = cell.scan(x)
        p_BG = cell.project(x, state)[:, 0]
        try:
            masked = cell.advance(p_BG, state, torch.zeros_like(state[0]))
        except Refusal:
            continue
        plain = cell.advance(p_BG, state)
        name = type(cell).__name__
        if not differ(masked, plain):
            raise Broken(f"{name}.advance ignores seen_BH")
        gap = differ(cell.advance(p_BG, state, state[0]), plain, EXACT)
        if gap:
            raise Broken(f"{name}.advance differs {gap} when seen_BH is the hidden state itself")


class _Stepper(torch.nn.Module):
    def __init__(self, cell: Cell):
        super().__init__()
        self.cell = cell

    def forward(self, x_BD: Tensor, state: State) -> State:
        return self.cell.step(x_BD, state)
