"""Long short-term memory over trees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import Stack, refuse_idle_dropout
from rnnbench.nn.layouts.trees import (
    Children,
    TreeLayer,
    refuse_arity,
    side_by_side,
    summed,
    with_leaves,
)


class TreeLSTMLayer(TreeLayer):
    """The gates of the input are stacked in the order i, o, u, f; a node's states are h and c."""

    def __init__(self, cfg: TreeLSTM, d_in: int):
        super().__init__(cfg.name, cfg.hidden, states=2, arity=cfg.arity)
        self.weight_x = nn.Parameter(torch.empty(4 * cfg.hidden, d_in))
        self.bias = nn.Parameter(torch.empty(4 * cfg.hidden))

    def start(self) -> None:
        """Draw the first weights, as in `torch.nn.LSTM`."""
        bound = 1 / math.sqrt(self.width)
        for p in self.parameters():
            nn.init.uniform_(p, -bound, bound)

    def project(self, x_ND: Tensor) -> Tensor:
        return F.linear(x_ND, self.weight_x, self.bias)

    def remember(self, iou_M3H: Tensor, kept_IH: Tensor) -> tuple[Tensor, ...]:
        """Return h = o ⊙ tanh(c) and c = i ⊙ u + what the forget gates kept of the children."""
        i, o, u = iou_M3H.chunk(3, -1)
        c_MH = torch.sigmoid(i) * torch.tanh(u) + with_leaves(kept_IH, len(iou_M3H))
        return torch.sigmoid(o) * torch.tanh(c_MH), c_MH


class ChildSum(TreeLSTMLayer):
    """A layer with one matrix for all children.

    weight_h is U for i, o, u and the sum of the children, weight_f for f and each child.
    """

    def __init__(self, cfg: TreeLSTM, d_in: int):
        super().__init__(cfg, d_in)
        self.weight_h = nn.Parameter(torch.empty(3 * cfg.hidden, cfg.hidden))
        self.weight_f = nn.Parameter(torch.empty(cfg.hidden, cfg.hidden))
        self.start()

    def compose(self, p_MG: Tensor, inner: int, children: Children) -> tuple[Tensor, ...]:
        h_CH, c_CH = children.states
        p_M3H, p_MH = p_MG.split((3 * self.width, self.width), -1)
        q_I3H = F.linear(summed(h_CH, children.parent_C, inner), self.weight_h)
        p_CH = p_MH.index_select(0, children.parent_C)
        f_CH = torch.sigmoid(p_CH + F.linear(h_CH, self.weight_f))
        kept_IH = summed(f_CH * c_CH, children.parent_C, inner)
        return self.remember(p_M3H + with_leaves(q_I3H, len(p_MG)), kept_IH)


class NAry(TreeLSTMLayer):
    """A layer with matrices for each child.

    weight_h stacks U for i, o, u and f_1 … f_K; its columns are the first child's h first.
    """

    def __init__(self, cfg: TreeLSTM, d_in: int):
        super().__init__(cfg, d_in)
        arity = self.arity or 0
        self.weight_h = nn.Parameter(torch.empty((3 + arity) * cfg.hidden, arity * cfg.hidden))
        self.start()

    def compose(self, p_MG: Tensor, inner: int, children: Children) -> tuple[Tensor, ...]:
        arity, width = self.arity or 0, self.width
        h_IKH, c_IKH = (side_by_side(s, children, inner, arity) for s in children.states)
        p_M3H, p_MH = p_MG.split((3 * width, width), -1)
        q_I3H, q_IKH = F.linear(h_IKH, self.weight_h).split((3 * width, arity * width), -1)
        f_IKH = torch.sigmoid(p_MH[:inner].repeat(1, arity) + q_IKH)
        kept_IH = (f_IKH * c_IKH).unflatten(-1, (arity, width)).sum(1)
        return self.remember(p_M3H + with_leaves(q_I3H, len(p_MG)), kept_IH)


@dataclass(frozen=True)
class TreeLSTM(Architecture):
    """LSTM over trees, with one forget gate for each child.

    Child-sum, for any number of children in no order:

    h̃_j = Σ_k h_k,   i_j = σ(W_i x_j + U_i h̃_j + b_i),   f_{jk} = σ(W_f x_j + U_f h_k + b_f)
    o_j = σ(W_o x_j + U_o h̃_j + b_o),   u_j = tanh(W_u x_j + U_u h̃_j + b_u)
    c_j = i_j ⊙ u_j + Σ_k f_{jk} ⊙ c_k,   h_j = o_j ⊙ tanh(c_j)

    N-ary, for up to `arity` children in order: each U h̃ is Σ_l U_l h_{jl}, and
    f_{jk} = σ(W_f x_j + Σ_l U_{f,kl} h_{jl} + b_f), with a matrix for each pair of k and l.
    Missing children are 0. Every node reads its input x_j.

    Source: Tai, Socher & Manning (2015), arXiv:1503.00075, eqs. 2-8 (child-sum) and 9-14 (N-ary).
    """

    layouts: ClassVar[tuple[str, ...]] = ("tree",)

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    kind: Literal["child-sum", "n-ary"] = setting("child-sum", "how children are read")
    arity: int | None = setting(None, "n-ary: most children of a node", low=2)
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)
        refuse_arity(self.name, self.kind, self.arity)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        layer = ChildSum if self.kind == "child-sum" else NAry
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((layer(self, d) for d in widths), self.dropout)
