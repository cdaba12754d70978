"""Trees, read level by level: all nodes at one depth of all trees of a batch at once.

Shape suffixes: N nodes of the batch, M nodes of a level, I those of them with children, C nodes
of the level below (each a child of one of the I).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnbench.contract import Layout, Refusal, State
from rnnbench.nn.attention import valid
from rnnbench.nn.whole_input import WholeInputBackbone


class Level(NamedTuple):
    """The nodes at one depth, those with children first.

    Attributes:
        size: M, how many nodes there are.
        inner: I, how many of them have children.
        parent_M: each one's parent, as its number among the nodes of the level above.
        place_M: which child of its parent it is, 0 the leftmost.
    """

    size: int
    inner: int
    parent_M: Tensor
    place_M: Tensor


class Forest(NamedTuple):
    """The trees of a batch.

    Attributes:
        order_N: where the nodes stand in the flattened (B * T) batch, level by level.
        levels: the deepest first; the last holds the roots, whose parents mean nothing.
    """

    order_N: Tensor
    levels: list[Level]


class Children(NamedTuple):
    """The level below, as the nodes above it see it.

    Attributes:
        states: what `compose` returned for it: tensors of (C, H).
        parent_C, place_C: as in `Level`.
    """

    states: tuple[Tensor, ...]
    parent_C: Tensor
    place_C: Tensor


def forest(parent_BT: Tensor, len_B: Tensor | None) -> Forest:
    """Sort the nodes of a batch by depth.

    Since a node's children are all one level below it, a level needs no other than the one below.

    Raises:
        ValueError: a row is not one tree with its children before their parents and its root last.
    """
    rows, steps = parent_BT.shape
    at_T = torch.arange(steps, device=parent_BT.device)
    mask_BT = valid(len_B, parent_BT, steps)
    last_B1 = mask_BT.sum(1, keepdim=True) - 1
    inside_BT = (parent_BT > at_T) & (parent_BT <= last_B1)
    good_BT = torch.where(at_T == last_B1, parent_BT == -1, inside_BT) | ~mask_BT
    if not bool(good_BT.all()):
        row, step = (~good_BT).nonzero()[0].tolist()
        raise ValueError(
            f"row {row} of parent_BT is not a tree: step {step} has parent "
            f"{int(parent_BT[row, step])}. Children stand before their parents, and the root "
            f"is the row's last step ({int(last_B1[row])}) with parent -1."
        )
    # Distance to the root by pointer doubling: each turn looks twice as far up.
    up_BT = torch.where(mask_BT & (parent_BT >= 0), parent_BT, at_T)
    depth_BT = (up_BT != at_T).long()
    for _ in range((steps - 1).bit_length()):
        depth_BT = depth_BT + depth_BT.gather(1, up_BT)
        up_BT = up_BT.gather(1, up_BT)

    nodes_N = mask_BT.flatten().nonzero()[:, 0]
    row_B1 = torch.arange(rows, device=parent_BT.device)[:, None] * steps
    parent_N = torch.where(parent_BT < 0, -1, parent_BT + row_B1).flatten()[nodes_N]
    is_child_N = parent_N >= 0
    has_child = torch.zeros(rows * steps, dtype=torch.bool, device=parent_BT.device)
    has_child[parent_N[is_child_N]] = True
    depth_N = depth_BT.flatten()[nodes_N]
    key_N = 2 * (depth_N.max() - depth_N) + (~has_child[nodes_N]).long()
    by_level_N = key_N.argsort(stable=True)
    counts = torch.bincount(key_N).tolist()

    order_N = nodes_N[by_level_N]
    rank = torch.zeros(rows * steps, dtype=torch.long, device=parent_BT.device)
    rank[order_N] = torch.arange(len(order_N), device=parent_BT.device)
    place_N = _places(parent_N)[by_level_N]
    parent_rank_N = rank[parent_N.clamp(min=0)][by_level_N]

    levels, start = [], 0
    for inner, leaves in itertools.zip_longest(counts[::2], counts[1::2], fillvalue=0):
        end = start + inner + leaves
        parent_M = parent_rank_N[start:end] - end  # the level above begins where this one ends
        levels.append(Level(end - start, inner, parent_M, place_N[start:end]))
        start = end
    return Forest(order_N, levels)


def _places(parent_N: Tensor) -> Tensor:
    """Return how many siblings stand before each node, which are numbered in their order."""
    sorted_N, index_N = parent_N.sort(stable=True)
    first_N = torch.searchsorted(sorted_N, sorted_N)
    place_N = torch.empty_like(parent_N)
    place_N[index_N] = torch.arange(len(parent_N), device=parent_N.device) - first_N
    return place_N


class TreeLayer(WholeInputBackbone):
    """A layer that composes each node from its children, level by level. Write `compose`.

    y_BTH has a node's hidden state at the node's step, and 0 on padding.

    Args:
        owner: the architecture, for messages.
        hidden: H.
        states: how many tensors of width H a node has; states[0] is its hidden state.
        arity: most children of a node, None for any number.
    """

    def __init__(self, owner: str, hidden: int, *, states: int, arity: int | None):
        super().__init__(owner)
        self.width, self.states, self.arity = hidden, states, arity

    def project(self, x_ND: Tensor) -> Tensor:
        """Compute what depends on the inputs alone, for all nodes at once: (N, G)."""
        raise NotImplementedError

    def compose(self, p_MG: Tensor, inner: int, children: Children) -> tuple[Tensor, ...]:
        """Return the states (M, H) of a level's nodes, the first `inner` of which have children."""
        raise NotImplementedError

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        self.refuse_state(state)
        if layout is None or layout.parent_BT is None:
            raise Refusal(
                f"{self.owner} reads trees, and what it is given here is a plain sequence.\n"
                "  It cannot be a decoder: choose a task that reads a tree and decodes nothing."
            )
        trees = forest(layout.parent_BT, layout.len_B)
        self.refuse_children(trees)
        p_NG = self.project(x_BTD.flatten(0, 1).index_select(0, trees.order_N))
        none_0 = trees.order_N[:0]
        children = Children((p_NG.new_zeros(0, self.width),) * self.states, none_0, none_0)
        outputs = []
        for p_MG, level in zip(
            p_NG.split([v.size for v in trees.levels]), trees.levels, strict=True
        ):
            states = self.compose(p_MG, level.inner, children)
            children = Children(states, level.parent_M, level.place_M)
            outputs.append(states[0])
        y_NH = torch.cat(outputs)
        flat = y_NH.new_zeros(x_BTD.shape[0] * x_BTD.shape[1], self.width)
        return flat.index_copy(0, trees.order_N, y_NH).unflatten(0, x_BTD.shape[:2]), None

    def refuse_children(self, trees: Forest) -> None:
        """Refuse a node with more children than there are weights for."""
        below = [v.place_M for v in trees.levels[:-1]]
        if self.arity is None or not below:
            return
        most = int(torch.cat(below).max()) + 1
        if most > self.arity:
            raise Refusal(
                f"{self.owner}: a node has {most} children and arity is {self.arity}.\n"
                f"  Set architecture.arity={most} or more, or architecture.kind=child-sum."
            )


def summed(values_CH: Tensor, parent_C: Tensor, inner: int) -> Tensor:
    """Sum over the children of each node: (I, H)."""
    zero_IH = values_CH.new_zeros(inner, values_CH.shape[-1])
    return zero_IH.index_add(0, parent_C, values_CH)


def side_by_side(values_CH: Tensor, children: Children, inner: int, arity: int) -> Tensor:
    """Put the children of each node in their places: (I, K * H), 0 where there is none."""
    width = values_CH.shape[-1]
    zero = values_CH.new_zeros(inner * arity, width)
    places_C = children.parent_C * arity + children.place_C
    return zero.index_copy(0, places_C, values_CH).view(inner, arity * width)


def with_leaves(values_IG: Tensor, nodes: int) -> Tensor:
    """Append 0 for the leaves of the level, which come after the other nodes: (M, G)."""
    return F.pad(values_IG, (0, 0, 0, nodes - len(values_IG)))


def refuse_arity(name: str, kind: str, arity: int | None) -> None:
    """Refuse an n-ary network without arity, and an arity that would be ignored.

    Raises:
        Refusal: naming the architecture.
    """
    if kind == "n-ary" and arity is None:
        raise Refusal(
            f"{name}: kind = n-ary has weights for each child, so it needs to know how many.\n"
            "  Set architecture.arity to the most children of a node, or "
            "architecture.kind=child-sum."
        )
    if kind != "n-ary" and arity is not None:
        raise Refusal(
            f"{name}: arity = {arity} is for kind = n-ary; {kind} takes any number of children.\n"
            "  Drop arity, or set architecture.kind=n-ary."
        )
