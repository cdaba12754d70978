"""The eager tier: a loop over the cell's own steps. It runs every cell, and is the oracle."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rnnbench.contract import Cell, State


def tick(cell: Cell, p_BG: Tensor, state: State, noise: Any) -> tuple[Tensor, State]:
    """Take one step of any cell on a projected input and on noise that was drawn before."""
    own = getattr(cell, "tick", None)
    return cell.advance(p_BG, state) if own is None else own(p_BG, state, noise)


def unroll(cell: Cell, p_BTG: Tensor, state: State, noise: Any) -> tuple[Tensor, State]:
    """Return the outputs (B, T, H) of all steps and the last state.

    Args:
        noise: random numbers of all steps, a nested tuple of (T, B, ...).
    """
    outputs = []
    for t, p_BG in enumerate(p_BTG.unbind(1)):
        y_BH, state = tick(cell, p_BG, state, pytree.tree_map(lambda n, t=t: n[t], noise))
        outputs.append(y_BH)
    return torch.stack(outputs, 1), state
