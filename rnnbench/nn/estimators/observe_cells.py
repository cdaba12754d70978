"""Looking at what gated cells and embeddings read and compute while a step is made."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Refusal
from rnnbench.nn.cells.gated import GatedCell
from rnnbench.nn.cells.wrapper import CellWrapper
from rnnbench.nn.models.base import Embed

LINEAR = {"weight_x", "weight_h", "bias_x", "bias_h"}


class CellObservation(NamedTuple):
    """The input of a cell at this step, and the pre-activations that it gave."""

    x_BD: Tensor
    state: tuple[Tensor, ...]  # before the step
    p_B1G: Tensor  # part of the graph


class EmbeddingObservation(NamedTuple):
    """The input of an embedding at this step, with its output, which is part of the graph."""

    x_BV: Tensor  # one-hot tokens, or values
    out_B1D: Tensor


@contextlib.contextmanager
def watched(name: str, model: nn.Module) -> Iterator[dict[nn.Module, Any]]:
    """Yield a dict that a step fills: cell -> CellObservation, embedding -> EmbeddingObservation.

    Empty it after each step.

    Raises:
        Refusal: within it, where one of them is run twice in a step.
    """
    seen: dict[nn.Module, Any] = {}
    cells = [m for m in model.modules() if isinstance(m, GatedCell)]

    def keep(part: nn.Module, saw: CellObservation | EmbeddingObservation) -> None:
        if part in seen:
            raise Refusal(
                f"{name} follows what enters each cell once a step, and {type(part).__name__} is "
                "run more than once.\n  Drop the other trick, or choose rtrl or uoro."
            )
        seen[part] = saw

    def note(embed: Any, arguments: tuple[Any, ...], out: Tensor) -> None:
        x = arguments[0][:, 0]
        if isinstance(embed.map, nn.Embedding):
            x = F.one_hot(x, embed.map.num_embeddings).to(out.dtype)
        keep(embed, EmbeddingObservation(x, out))

    def noting(cell: GatedCell) -> Any:
        def project(x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
            p_BTG = type(cell).project(cell, x_BTD, state)
            keep(cell, CellObservation(x_BTD[:, 0], state, p_BTG))
            return p_BTG

        return project

    hooks = [m.register_forward_hook(note) for m in model.modules() if type(m) is Embed]
    try:
        for cell in cells:
            cell.project = noting(cell)  # type: ignore[method-assign]
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
        for cell in cells:
            del cell.project  # the class's own is found again


def gated_cells(name: str, model: nn.Module, why: str) -> list[GatedCell]:
    """Return the cells of a model whose recurrent parameters are all those of plain gated cells.

    Plain: W_x x + b_x and W_h h + b_h, then an elementwise update; no projection, no wrapper.

    Args:
        why: what the trick needs them for, to end a sentence.
    Raises:
        Refusal: there are others, or none.
    """
    cells = [m for m in model.modules() if isinstance(m, GatedCell)]
    odd = [m for m in model.modules() if isinstance(m, CellWrapper)] + [
        c for c in cells
        if c.projection is not None or not plainly_gated(c)
    ]  # fmt: skip
    if not cells or odd:
        odd_name = type(odd[0]).__name__ if odd else "none"
        raise Refusal(
            f"{name} needs gated cells without projection or wrapper, {why}; here is {odd_name}.\n"
            "  Choose elman or lstm without tricks that change the cell."
        )
    return cells


def plainly_gated(cell: GatedCell) -> bool:
    """Tell whether `advance` is two products of the same gates and `update`, by trying numbers."""
    if (
        cell.weight_x.shape[0] != cell.weight_h.shape[0]
        or type(cell).update is GatedCell.update  # it has a step of its own and no update
    ):
        return False
    if type(cell).advance is GatedCell.advance:
        return True
    random = torch.Generator().manual_seed(11)
    tried = copy.deepcopy(cell).to_empty(device="cpu").double()
    with torch.no_grad():
        for p in (*tried.parameters(), *tried.buffers()):
            p.copy_(torch.randn(p.shape, dtype=p.dtype, generator=random, device="cpu"))
        p_1G = _drawn(cell.weight_x.shape[0], random)
        state = tuple(_drawn(cell.hidden, random) for _ in range(cell.states))
        one, two = tried.advance(p_1G, state)[1], GatedCell.advance(tried, p_1G, state)[1]
    return all(torch.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(one, two, strict=True))


def _drawn(size: int, random: torch.Generator) -> Tensor:
    return torch.randn(1, size, dtype=torch.float64, generator=random, device="cpu")


def has_own_weights(cell: GatedCell) -> bool:
    """Tell whether a cell has parameters besides its linear maps, such as peepholes."""
    return {n for n, _ in cell.named_parameters()} != LINEAR


def sums_its_products(cell: GatedCell) -> bool:
    """Tell whether `update` depends on the sum of both products alone, by trying numbers."""
    random = torch.Generator().manual_seed(11)
    p, q, moved = (_drawn(cell.weight_h.shape[0], random) for _ in range(3))
    state = tuple(_drawn(cell.hidden, random) for _ in range(cell.states))
    one, two = cell.update(p, q, state), cell.update(p + moved, q - moved, state)
    return all(torch.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(one, two, strict=True))
