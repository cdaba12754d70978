"""Measures how much gradient reaches each layer: one norm a layer, logged at each validation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from rnnbench.results.record import FLOW

LAYERS = 8  # most layers that are measured apart


def gradient_flow(model: nn.Module) -> dict[str, float]:
    """Return ‖g‖₂ of each layer's `.grad` as it stands, tricks on the gradient included.

    A layer is named by the first parts of its parameters' names, as many as give `LAYERS` layers
    or fewer; parameters without a gradient are left out. Reads, and changes nothing.

    Returns:
        {"gradient norm of readout": 0.013, …}.
    """
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if not gradients:
        return {}
    norms = torch.stack([n.float() for n in torch._foreach_norm(list(gradients.values()))])
    squares = norms.double().square().tolist()
    layers = layers_of(gradients)
    square_by_layer: dict[str, float] = {}
    for name, square in zip(gradients, squares, strict=True):
        square_by_layer[layers[name]] = square_by_layer.get(layers[name], 0.0) + square
    return {FLOW + layer: square**0.5 for layer, square in square_by_layer.items()}


def layers_of(names: Iterable[str]) -> dict[str, str]:
    """Return the layer's name for each parameter's name."""
    parts = {name: name.split(".")[:-1] or [name] for name in names}
    deepest = max(map(len, parts.values()))
    for depth in range(deepest, 0, -1):
        layers = {name: ".".join(part[:depth]) for name, part in parts.items()}
        if len(set(layers.values())) <= LAYERS or depth == 1:
            return layers
    raise AssertionError("every name has a part")
