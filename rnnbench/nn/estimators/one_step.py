"""One step of a model as autograd sees it: what forward-mode estimators are made of.

Shape suffixes: S numbers of the state of a row, N of a parameter, C cotangents.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnbench.contract import Batch, EstimatorInput, Refusal, Result, State, detach
from rnnbench.nn.cells.gated import FusedCell

Gradients = list[Tensor | None]  # of each parameter, in its shape; None where there is none


def cut(batch: Batch, begin: int, end: int) -> Batch:
    """Return steps `begin` to `end` of a batch; rows that have ended have no targets in it."""
    part = batch._replace(x=batch.x[:, begin:end], y=batch.y[:, begin:end], x_len=None)
    if batch.y_len is not None:
        part = part._replace(y_len=(batch.y_len - begin).clamp(0, end - begin))
    return part


def length_of(batch: Batch) -> int:
    """Return the number of steps until the last target of the longest row."""
    if batch.y_len is None or batch.y_len.is_meta:
        return batch.y.shape[1]
    return int(batch.y_len.max())


def targets_of(batch: Batch) -> int:
    """Count the targets that the mean loss of a batch is over: neither padding nor missing."""
    y = batch.y
    if y.is_meta:
        return y.numel()
    counted = ~y.isnan()
    if batch.y_len is not None:
        within_BT = torch.arange(y.shape[1], device=y.device) < batch.y_len[:, None]
        counted &= within_BT.view(*within_BT.shape, *[1] * (y.dim() - 2))
    return int(counted.sum())


@contextlib.contextmanager
def stepwise(model: nn.Module) -> Iterator[None]:
    """Run cells by their own steps, since fused kernels have no second or batched derivative."""
    fused = [(cell, cell.kernel) for cell in model.modules() if isinstance(cell, FusedCell)]
    try:
        for cell, _ in fused:
            cell.kernel = None
        yield
    finally:
        for cell, kernel in fused:
            cell.kernel = kernel


class DifferentiableStep(NamedTuple):
    """A step of the model as autograd sees it.

    Attributes:
        loss: the mean over this step's targets.
        parameters: those that learn.
        old_BS: s_{t-1} of floating point, a leaf of the graph; None where the stream begins.
        new_BS: s_t.
        result: what the model said.
        seen: what `Online.watching` saw of this step.
    """

    loss: Tensor
    parameters: list[nn.Parameter]
    old_BS: Tensor | None
    new_BS: Tensor
    result: Result
    seen: Any

    def direct(self) -> tuple[Gradients, Tensor | None]:
        """Return ∂L_t/∂θ with s_{t-1} fixed, and ∂L_t/∂s_{t-1} (B, S) where there is an s_{t-1}."""
        wanted = [*self.parameters, *([] if self.old_BS is None else [self.old_BS])]
        gradients: Gradients = list(
            torch.autograd.grad(self.loss, wanted, retain_graph=True, allow_unused=True)
        )
        if self.old_BS is None:
            return gradients, None
        last = gradients.pop()
        return gradients, torch.zeros_like(self.old_BS) if last is None else last

    def reached(self) -> list[int]:
        """Return the indices of the parameters that s_t depends on directly."""
        ones_BS = torch.ones_like(self.new_BS)
        gradients = torch.autograd.grad(
            self.new_BS, self.parameters, ones_BS, retain_graph=True, allow_unused=True
        )
        return [k for k, g in enumerate(gradients) if g is not None]

    def transition(self) -> Tensor | None:
        """Return F_s (B, S, S); rows are independent, so S products give it for all of them."""
        if self.old_BS is None:
            return None
        rows, size = self.new_BS.shape
        eye_SBS = torch.eye(size, dtype=self.new_BS.dtype, device=self.new_BS.device)
        (transition_SBS,) = self._pulled(eye_SBS[:, None].expand(-1, rows, -1), [self.old_BS])
        if transition_SBS is None:
            return self.new_BS.new_zeros(rows, size, self.old_BS.shape[1])
        return transition_SBS.transpose(0, 1)

    def influence(self) -> dict[int, Tensor]:
        """Return F_θ (B, S, N) of each parameter that this step's state depends on, by index."""
        rows, size = self.new_BS.shape
        eye = torch.eye(rows * size, dtype=self.new_BS.dtype, device=self.new_BS.device)
        influences = self._pulled(eye.view(-1, rows, size), self.parameters)
        return {k: g.reshape(rows, size, -1) for k, g in enumerate(influences) if g is not None}

    def pulled_back(self, cotangents_CBS: Tensor) -> dict[int, Tensor]:
        """Return cᵀF_θ (C, B, N) of each row by itself, for C cotangents, by parameter index."""
        many, rows, size = cotangents_CBS.shape
        apart = torch.eye(rows, dtype=cotangents_CBS.dtype, device=cotangents_CBS.device)
        each = cotangents_CBS[:, None] * apart[None, :, :, None]  # (C, B, B, S)
        products = self._pulled(each.reshape(-1, rows, size), self.parameters)
        return {k: g.reshape(many, rows, -1) for k, g in enumerate(products) if g is not None}

    def pushed_forward(self, v_BS: Tensor) -> Tensor:
        """Return F_s v (B, S), by differentiating the left product (Pearlmutter's trick)."""
        assert self.old_BS is not None
        left_BS = torch.zeros_like(self.new_BS, requires_grad=True)
        (product,) = torch.autograd.grad(
            self.new_BS, self.old_BS, left_BS, create_graph=True, allow_unused=True
        )
        if product is None:
            return torch.zeros_like(v_BS)
        (pushed,) = torch.autograd.grad(product, left_BS, v_BS, retain_graph=True)
        return pushed

    def slope(self, activation: Tensor) -> Tensor:
        """Return ∂s_t/∂a (B, S, A) of an activation (B, 1, A) within this step."""
        rows, size = self.new_BS.shape
        eye_SBS = torch.eye(size, dtype=self.new_BS.dtype, device=self.new_BS.device)
        (slopes,) = self._pulled(eye_SBS[:, None].expand(-1, rows, -1), [activation])
        if slopes is None:
            return self.new_BS.new_zeros(rows, size, activation.shape[-1])
        return slopes[:, :, 0].transpose(0, 1)

    def _pulled(self, cotangents: Tensor, inputs: list[Any]) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(
            self.new_BS, inputs, cotangents, retain_graph=True, allow_unused=True,
            is_grads_batched=True,
        )  # fmt: skip


def _number(leaf: Any) -> bool:
    """Tell whether a leaf of a state has a derivative; a clock has none."""
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _numbers(state: State) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(state) if _number(leaf)]


def take_step(
    name: str,
    learning: EstimatorInput,
    state: State,
    part: Batch,
    report: bool = True,
    seen: Any = None,
) -> tuple[DifferentiableStep, State]:
    """Take one step from a state; return it and the state after it, cut off from the graph.

    Raises:
        Refusal: the model carries no state, or one whose size changes.
    """
    old_BS = None
    if state is not None:
        leaves, form = pytree.tree_flatten(state)
        numbers = _numbers(state)
        old_BS = torch.cat([leaf.detach().flatten(1) for leaf in numbers], 1).requires_grad_()
        pieces = iter(old_BS.split([leaf[0].numel() for leaf in numbers], 1))
        leaves_in_graph = [
            next(pieces).view(leaf.shape).to(leaf.dtype) if _number(leaf) else leaf
            for leaf in leaves
        ]
        state = pytree.tree_unflatten(leaves_in_graph, form)
    loss, result = learning.forward(state, part, report)
    numbers = _numbers(result.state)
    if not numbers:
        raise Refusal(
            f"{name} follows how a state depends on the parameters, and this model carries none "
            "from step to step.\n  Choose a recurrent architecture, such as lstm."
        )
    sizes = [tuple(leaf.shape) for leaf in numbers]
    if state is not None and sizes != [tuple(leaf.shape) for leaf in _numbers(state)]:
        raise Refusal(
            f"{name} follows a state of fixed size, and this model's grows while it reads.\n"
            "  Choose a recurrent architecture, such as lstm."
        )
    new_BS = torch.cat([leaf.flatten(1) for leaf in numbers], 1)
    learnt = [p for p in learning.model.parameters() if p.requires_grad]
    step = DifferentiableStep(loss, learnt, old_BS, new_BS, result, seen)
    return step, detach(result.state)
