"""What the laws of architectures are held on: backbones and models in float64, with inputs."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, Batch, Layout, Refusal, State
from rnnbench.nn import Model
from rnnbench.process import seed_torch
from rnnbench.step import Tricks, assemble
from rnnbench.testing.laws import Broken, DoesNotApply
from rnnbench.testing.toys import MORE_TOYS, TOYS, Toy

ROWS, STEPS, WIDTH = 3, 7, 5
EXACT = 1e-10  # in float64


def backbone_of(plugin: Architecture, causal: bool = True) -> Backbone:
    """In float64 and evaluation mode, from a fixed seed."""
    if "sequence" not in plugin.layouts:
        only = " and ".join(f"{layout}s" for layout in plugin.layouts)
        raise DoesNotApply(f"it reads {only} only, which whole models are held against")
    own_wiring = type(plugin).model is not Architecture.model
    if own_wiring and type(plugin).build is Architecture.build:
        raise DoesNotApply("it brings a whole model and builds no backbone")
    seed_torch(0)
    try:
        backbone = plugin.build(WIDTH, causal=causal)
    except Refusal as why:
        raise DoesNotApply(f"it refuses causal={causal}: {why}") from why
    if not isinstance(backbone, Backbone):
        raise Broken(f"build returned a {type(backbone).__name__}, which is no Backbone")
    return backbone.double().eval()


def either_backbone(plugin: Architecture) -> Backbone:
    """The causal one, or else the one that looks ahead."""
    try:
        return backbone_of(plugin, True)
    except DoesNotApply:
        return backbone_of(plugin, False)


def both_backbones(plugin: Architecture) -> Iterator[tuple[str, Backbone]]:
    """Those that it does not refuse, and what they were asked for."""
    refused = None
    for causal in (True, False):
        try:
            yield f"causal={causal}", backbone_of(plugin, causal)
        except DoesNotApply as why:
            if refused is not None:
                raise
            refused = why


def modes(backbone: Backbone) -> Iterator[tuple[str, Backbone]]:
    """A copy in evaluation and one in training, since training may go another way."""
    yield "at evaluation", copy.deepcopy(backbone).eval()
    yield "in training", copy.deepcopy(backbone).train()


def inputs(rows: int = ROWS, steps: int = STEPS, seed: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, steps, WIDTH, dtype=torch.float64, generator=g)


@torch.no_grad()
def run(
    module: nn.Module, x: Tensor, state: State = None, layout: Layout | None = None
) -> tuple[Tensor, State]:
    """Outputs and state; whatever noise there is, is the same at every call of one shape."""
    seed_torch(5)
    return module(x, state, layout)


def models_of(plugin: Architecture) -> list[tuple[str, Toy, Model, Batch]]:
    """The plugin on every toy that it does not refuse, in float64, with a batch."""
    found, why = [], None
    for name, toy in {**TOYS, **MORE_TOYS}.items():
        seed_torch(0)
        batch = doubled(toy.example())
        try:
            model = assemble(plugin, toy, Tricks()).double().eval()
            with torch.no_grad():
                model(batch)
        except Refusal as refusal:
            why = refusal
            continue
        found.append((f"{name} ({toy.kind.value})", toy, model, batch))
    if not found:
        raise Broken(f"it is refused on a task of every kind: {why}")
    return found


def doubled(batch: Batch) -> Batch:
    return batch._replace(
        x=batch.x.double() if batch.x.is_floating_point() else batch.x,
        y=batch.y.double() if batch.y.is_floating_point() else batch.y,
    )


def rows_of(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch, with their padding."""
    return Batch._make(v[rows] if isinstance(v, Tensor) else v for v in batch)


def row_of(state: State, row: int) -> State:
    """One row of every tensor of a nested state."""
    if isinstance(state, Tensor):
        return state[row : row + 1]
    if isinstance(state, (tuple, list)):
        return tuple(row_of(s, row) for s in state)
    return state


def leaves(state: State) -> list[Tensor]:
    """The tensors of a nested state.

    Raises:
        Broken: it is nested in something else than tuples, which nothing would carry or save.
    """
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, (tuple, list)):
        return [leaf for part in state for leaf in leaves(part)]
    if state is None or isinstance(state, (bool, int, float)):
        return []
    raise Broken(f"the state holds a {type(state).__name__}; it may hold tensors in nested tuples")
