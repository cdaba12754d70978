"""Recursive network over trees."""

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


class RecursiveLayer(TreeLayer):
    """The layer of `Recursive`.

    weight_h is (H, K * H) by position, the first child's matrix first; (H, H) for a sum.
    """

    def __init__(self, cfg: Recursive, d_in: int):
        super().__init__(cfg.name, cfg.hidden, states=1, arity=cfg.arity)
        self.leaves_only = cfg.labels == "leaves"
        bound = 1 / math.sqrt(cfg.hidden)
        self.weight_h = nn.Parameter(torch.empty(cfg.hidden, (cfg.arity or 1) * cfg.hidden))
        self.bias = nn.Parameter(torch.empty(cfg.hidden))
        for p in self.parameters():
            nn.init.uniform_(p, -bound, bound)
        # Leaves are their embeddings; a matrix is needed only where the widths differ.
        same = self.leaves_only and d_in == cfg.hidden
        self.label = nn.Identity() if same else nn.Linear(d_in, cfg.hidden, bias=False)

    def project(self, x_ND: Tensor) -> Tensor:
        return self.label(x_ND)

    def compose(self, p_MG: Tensor, inner: int, children: Children) -> tuple[Tensor, ...]:
        (h_CH,) = children.states
        if self.arity is None:
            below = summed(h_CH, children.parent_C, inner)
        else:
            below = side_by_side(h_CH, children, inner, self.arity)
        q_IH = F.linear(below, self.weight_h)
        if self.leaves_only:
            return (torch.cat([torch.tanh(q_IH + self.bias), p_MG[inner:]]),)
        return (torch.tanh(p_MG + self.bias + with_leaves(q_IH, len(p_MG))),)


@dataclass(frozen=True)
class Recursive(Architecture):
    """Recursive network: a node's vector is composed of those of its children.

    h_j = tanh(V x_j + Σ_k W_k h_{jk} + b),  with W_k the matrix of the k-th child

    `labels: leaves` is the recursive autoencoder's encoder: a leaf's vector is its embedding,
    h_j = x_j, and an inner node reads its children only, h_j = tanh(Σ_k W_k h_{jk} + b), which
    for two children is tanh(W [c_1; c_2] + b). `kind: child-sum` has one matrix W for the sum
    of all children, so that a node may have any number of them. Layers are stacked as in deep
    recursive networks: each reads at a node what the one below says of it.

    Source: Goller & Küchler (1996), Learning task-dependent distributed representations by
    backpropagation through structure, doi:10.1109/ICNN.1996.548916; labels at leaves only: Socher
    et al. (2011), Semi-supervised recursive autoencoders for predicting sentiment distributions,
    section 2.2; stacked: Irsoy & Cardie (2014), Deep recursive neural networks for
    compositionality in language.
    """

    layouts: ClassVar[tuple[str, ...]] = ("tree",)

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    kind: Literal["child-sum", "n-ary"] = setting("child-sum", "one matrix, or one a place")
    arity: int | None = setting(None, "n-ary: most children of a node", low=2)
    labels: Literal["all", "leaves"] = setting("all", "which nodes read their input")
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)
        refuse_arity(self.name, self.kind, self.arity)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((RecursiveLayer(self, d) for d in widths), self.dropout)
