"""Kronecker-factored real-time recurrent learning."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Refusal, Task
from rnnbench.nn import Embed, GatedCell
from rnnbench.nn.estimators.forward_mode import DifferentiableStep, Gradients, Online, add
from rnnbench.nn.estimators.observe_cells import (
    CellObservation,
    EmbeddingObservation,
    gated_cells,
    has_own_weights,
    sums_its_products,
)
from rnnbench.nn.estimators.observe_cells import watched as watch

EPSILON = 1e-7


@dataclass(frozen=True)
class KFRTRL(Online):
    """Real-time recurrent learning with the influence kept as a Kronecker product.

    Where the parameters of a step are one matrix W in a product W ĥ_t, ĥ_t = [x_t; h_{t-1}; 1],
    F_θ is ĥ_t ⊗ D_t with D_t = ∂s_t/∂(W ĥ_t), and J is replaced by u ⊗ A, whose mean it is:

    dL_t/dW ≈ ∂L_t/∂W + (∂L_t/∂s_{t-1} A)ᵀ uᵀ   with u and A of t - 1, and then
    u ← c1 p1 u + c2 p2 ĥ_t,   A ← c1 F_s A / p1 + c2 D_t / p2,   c1, c2 = ±1 at random,
    p1 = √(‖F_s A‖ / ‖u‖),   p2 = √(‖D_t‖ / ‖ĥ_t‖), each norm (of Frobenius) with 1e-7 added.

    It has less variance than uoro, as the noise is in two signs a step and not in one for each
    unit. It holds for cells whose gates depend on W_x x + W_h h alone, such as elman and lstm,
    one pair (u, A) a cell; the input's embedding, which is a product too, has a pair of its own.
    A gru uses both products apart, and peepholes are no product: they are refused. Every row of a
    batch has pairs and signs of its own.

    Null value: none.

    Source: Mujika, Meier & Steger (2018), arXiv:1805.10842, section 3 and algorithm 1.
    """

    name: ClassVar[str] = "kf-rtrl"

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        model = super().model(model, task)
        why = "since what enters them is to be one product"
        for cell in gated_cells(self.name, model, why):
            if has_own_weights(cell) or not sums_its_products(cell):
                raise Refusal(
                    f"{self.name} needs gates that depend on W_x x + W_h h alone; those of "
                    f"{type(cell).__name__} do not, so that F_θ is no Kronecker product.\n"
                    "  Choose elman or a plain lstm, or uoro, which takes any cell."
                )
        return model

    def watching(self, model: nn.Module) -> AbstractContextManager[Any]:
        return watch(self.name, model)

    def follow(self, step: DifferentiableStep, memory: dict[str, Any]) -> Gradients:
        gradients, ds_BS = step.direct()
        f_BSS = step.transition()
        old: dict[int, tuple[Tensor, Tensor]] = memory.get("pairs", {})
        # Of each pair its parameters: index, first and last column of W, whether it is a table.
        owned: dict[int, list[tuple[int, int, int, bool]]] = dict(memory.get("owned", {}))
        index = {id(p): k for k, p in enumerate(step.parameters)}
        fresh: dict[int, tuple[Tensor, Tensor]] = {}
        for part, saw in step.seen.items():
            parts, h_BM, activation = factors(part, saw)
            table = isinstance(part, Embed) and isinstance(part.map, nn.Embedding)
            pieces = [(index[id(p)], c.start, c.stop, table) for p, c in parts if id(p) in index]
            if pieces:
                pair = pieces[0][0]
                owned[pair], fresh[pair] = pieces, (h_BM, step.slope(activation))
        step.seen.clear()
        if not old:
            self.refuse_missed(step, {k for pieces in owned.values() for k, *_ in pieces})
        pairs: dict[int, tuple[Tensor, Tensor]] = {}
        for pair, (u_BM, a_BSG) in old.items():
            assert f_BSS is not None
            pairs[pair] = u_BM, f_BSS @ a_BSG
            g_GM = torch.einsum("bs,bsg->bg", ds_BS, a_BSG).t() @ u_BM
            for k, start, stop, table in owned[pair]:
                g = g_GM[:, start:stop]
                add(gradients, k, step.parameters[k], (g.t() if table else g).flatten())
        for pair, (h_BM, d_BSG) in fresh.items():  # a slow layer may stand still at this step
            pairs[pair] = mixed(h_BM, d_BSG, *pairs.get(pair, ()))
        memory["pairs"], memory["owned"] = pairs, owned
        return gradients

    def refuse_missed(self, step: DifferentiableStep, covered: set[int]) -> None:
        """Refuse a state that depends on what no pair follows."""
        missed = set(step.reached()) - covered
        if missed:
            shapes = ", ".join(str(tuple(step.parameters[k].shape)) for k in sorted(missed))
            raise Refusal(
                f"{self.name} follows cells and the input's embedding, and the state depends on "
                f"other parameters too, of shape {shapes}.\n"
                "  Choose elman or a plain lstm without tricks that change the embedding."
            )


def factors(
    part: nn.Module, saw: CellObservation | EmbeddingObservation
) -> tuple[list[tuple[nn.Parameter, slice]], Tensor, Tensor]:
    """Return parameters with their columns of W, ĥ (B, M), and the activation W ĥ (B, 1, G)."""
    if isinstance(saw, EmbeddingObservation):
        assert isinstance(part, Embed)
        wide = saw.x_BV.shape[1]
        columns: list[tuple[Any, slice]] = [(part.map.weight, slice(0, wide))]
        if not isinstance(part.map, nn.Linear):
            return columns, saw.x_BV, saw.out_B1D
        columns.append((part.map.bias, slice(wide, wide + 1)))
        one_B1 = torch.ones_like(saw.x_BV[:, :1])
        return columns, torch.cat([saw.x_BV, one_B1], 1), saw.out_B1D
    assert isinstance(part, GatedCell)
    x_BD = saw.x_BD.detach()
    h_BH = saw.state[0].detach()
    d, m = x_BD.shape[1], x_BD.shape[1] + h_BH.shape[1]
    h_BM = torch.cat([x_BD, h_BH, torch.ones_like(x_BD[:, :1])], 1)
    columns = [
        (part.weight_x, slice(0, d)),
        (part.weight_h, slice(d, m)),
        (part.bias_x, slice(m, m + 1)),
        (part.bias_h, slice(m, m + 1)),
    ]
    return columns, h_BM, saw.p_B1G


def mixed(
    h_BM: Tensor, d_BSG: Tensor, u_BM: Tensor | None = None, a_BSG: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the next (u, A); `a_BSG` is F_s A."""
    c2_B1 = torch.randint_like(h_BM[:, :1], 2) * 2 - 1
    p2_B1 = c2_B1 * balance(d_BSG, h_BM)
    u, a = p2_B1 * h_BM, d_BSG / p2_B1[..., None]
    if u_BM is None or a_BSG is None:
        return u, a
    c1_B1 = torch.randint_like(h_BM[:, :1], 2) * 2 - 1
    p1_B1 = c1_B1 * balance(a_BSG, u_BM)
    return p1_B1 * u_BM + u, a_BSG / p1_B1[..., None] + a


def balance(a_BSG: Tensor, u_BM: Tensor) -> Tensor:
    """Return √(‖a‖ / ‖u‖) of each row: (B, 1)."""
    norm_B1 = a_BSG.flatten(1).norm(dim=1, keepdim=True) + EPSILON
    return (norm_B1 / (u_BM.norm(dim=1, keepdim=True) + EPSILON)).sqrt()
