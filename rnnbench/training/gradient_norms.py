"""How much gradient reaches each layer: one norm a layer, told with each validation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from rnnbench.results.record import FLOW

LAYERS = 8  # most layers that are told apart


def gradient_flow(model: nn.Module) -> dict[str, float]:
    """‖g‖₂ of each layer's `.grad` as it stands, tricks on the gradient included.

    A layer is named by the first parts of its parameters' names, as many as give `LAYERS` layers
    or fewer; parameters without a gradient are left out. Reads, and changes nothing.

    Returns:
        {"gradient norm of readout": 0.013, …}.
    """
    found = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    if not found:
        return {}
    norms = torch.stack([n.float() for n in torch._foreach_norm([g for _, g in found])])
    squares = norms.double().square().tolist()
    layers = layers_of(name for name, _ in found)
    told: dict[str, float] = {}
    for (name, _), square in zip(found, squares, strict=True):
        told[layers[name]] = told.get(layers[name], 0.0) + square
    return {FLOW + layer: square**0.5 for layer, square in told.items()}


def layers_of(names: Iterable[str]) -> dict[str, str]:
    """Parameter's name -> layer's name."""
    parts = {name: name.split(".")[:-1] or [name] for name in names}
    deepest = max(map(len, parts.values()))
    for depth in range(deepest, 0, -1):
        layers = {name: ".".join(part[:depth]) for name, part in parts.items()}
        if len(set(layers.values())) <= LAYERS or depth == 1:
            return layers
    raise AssertionError("every name has a part")
