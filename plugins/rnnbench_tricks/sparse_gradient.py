"""Back-propagation of the largest components only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from rnnbench.contract import Cell, Layout, Refusal, State, Trick, setting
from rnnbench.nn import CellWrapper
from rnnbench.nn.scan.choice import operators_are_watched
from rnnbench.nn.scan.unsupported import Unsupported

PRODUCTS = {
    F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm, torch.addmm,
    Tensor.addmm, torch.bmm, Tensor.bmm, torch.baddbmm, Tensor.baddbmm, torch.einsum,
}  # fmt: skip


class TopK(torch.autograd.Function):
    """The identity forwards; backwards the k components of each row of largest magnitude."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, k: int) -> Tensor:
        ctx.k = k
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        kept = g.abs().topk(ctx.k, -1, sorted=False).indices
        return g * torch.zeros_like(g).scatter(-1, kept, 1.0), None


class SparseProducts(TorchFunctionMode):
    """A context in which the result of every matrix product passes through `sparse`."""

    def __init__(self, sparse: Callable[[Tensor], Tensor]):
        super().__init__()
        self.sparse = sparse

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return self.sparse(result) if func in PRODUCTS else result


class SparseCell(CellWrapper):
    """A cell wrapper that sparsifies what comes back to the products of the cell inside."""

    def __init__(self, inner: Cell, keep: float):
        super().__init__(inner)
        self.keep = keep

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        if self.training and torch.is_grad_enabled():
            return super().forward(x_BTD, state, layout)
        return self.inner(x_BTD, state, layout)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        p_BTG = super().project(x_BTD, state)
        projects = type(innermost(self)).project is not Cell.project
        return self.sparse(p_BTG) if projects and self.training else p_BTG

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if not self.training:
            return super().advance(p_BG, state, seen_BH)
        if torch._C._functorch.peek_interpreter_stack() is not None:
            raise Refusal(
                "sparse-gradient acts on what is propagated back, and here a cell's derivative is "
                "taken in another way.\n  Drop sparse-gradient, or the estimator."
            )
        if operators_are_watched(p_BG):
            raise Unsupported("its derivative is not that of its values (sparse-gradient)")
        with SparseProducts(self.sparse):
            return super().advance(p_BG, state, seen_BH)

    def sparse(self, y: Tensor) -> Tensor:
        k = max(1, round(self.keep * y.shape[-1]))
        return TopK.apply(y, k) if y.requires_grad else y


def innermost(cell: Cell) -> Cell:
    while isinstance(cell, CellWrapper):
        cell = cell.inner
    return cell


@dataclass(frozen=True)
class SparseGradient(Trick):
    """In a recurrent cell only the largest components of the gradient are propagated back.

    For each matrix product y = W x of a cell, and each row of the batch and time step, all but the
    k components of ∂L/∂y that are largest in magnitude become 0 before ∂L/∂W and ∂L/∂x are made.
    Forward nothing changes. y is all gates together. Since training has to see every product,
    cells run step by step, which is slower: it is the effect on learning that can be studied.

    Null value: keep = 1.

    Source: Sun, Ren, Ma & Wang (2017), arXiv:1706.06197, section 2 (meProp).
    """

    null: ClassVar[Mapping[str, Any] | None] = {"keep": 1.0}

    keep: float = setting(
        0.1, "k, as a share of the components of y; at least one is kept", low=0.0, high=1.0,
        search=(0.01, 0.5, "log"),
    )  # fmt: skip

    def sites(self) -> tuple[str, ...]:
        return () if self.keep == 1 else super().sites()

    def cell(self, cell: Cell) -> Cell:
        return SparseCell(cell, self.keep)
