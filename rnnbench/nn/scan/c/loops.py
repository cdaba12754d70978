"""A step cut at its products: which loops and products follow each other, and over which buffers.

    level 1: loops make what the first products read, then the products are made
    level 2: loops make what the next products read (they may use the first ones), ...
    at last: loops make the outputs and the new state

Buffers: p projected input, s0.. states, n0.. noise, c0.. consts, q0.. products, u0.. what products
read (where it is no state), y the output (where it is no state).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

from rnnbench.nn.scan.c.expressions import Expr, Pool, ordered
from rnnbench.nn.scan.c.expressions_from_graph import Elements, batched, width_of
from rnnbench.nn.scan.trace_step import TracedStep, Unsupported


@dataclass(frozen=True)
class Target:
    """An element that a loop makes: a block of a buffer. `state` marks a new state's buffer."""

    buffer: str
    block: int
    value: Expr
    state: bool = False


@dataclass
class ElementLoop:
    """One pass over the rows and over the columns of a unit."""

    unit: int
    targets: list[Target] = field(default_factory=list)


@dataclass(frozen=True)
class MatrixProduct:
    """q = u @ w: `u` is a buffer, `k` and `n` its width and that of the result."""

    index: int
    weight: int
    u: str
    k: int
    n: int
    level: int


@dataclass
class LoopPlan:
    """What the emitted C does.

    Attributes:
        widths: elements of a row of each buffer.
        kinds: of each const: "row" (one for all rows), "full" (one a row), "scalar" or "weight".
        truths: buffers of truth values.
        wanted: consts that need a gradient.
        loops: by level; the last ones make the outputs.
        y: the buffer that holds the output: "y", or a state.
        merged: the product is only read in the sum p + q (+ a bias), which takes its place.
    """

    rows: int
    widths: dict[str, int]
    kinds: list[str]
    truths: frozenset[str]
    wanted: tuple[bool, ...]
    products: list[MatrixProduct]
    loops: list[list[ElementLoop]]
    y: str
    states: int
    noise: int
    make: Pool
    merged: dict[Expr, Expr] = field(default_factory=dict)


def make_plan(step: TracedStep, wanted: tuple[bool, ...]) -> LoopPlan:
    """Cut a step into loops and products.

    Args:
        wanted: which consts need a gradient.
    Raises:
        Unsupported: something in it does not work on every element by itself.
    """
    rows = step.p.meta["val"].shape[0]
    named = {step.p: "p"}
    named |= {node: f"s{i}" for i, node in enumerate(step.states)}
    named |= {node: f"n{i}" for i, node in enumerate(step.noise)}
    named |= {node: f"c{i}" for i, node in enumerate(step.consts)}
    for node, name in named.items():
        if name[0] != "c" and not batched(node, rows):
            raise Unsupported(
                f"{name} has the shape {tuple(node.meta['val'].shape)}, no batch first"
            )
    named |= {site.node: f"q{i}" for i, site in enumerate(step.sites)}
    if len({site.node for site in step.sites}) < sum(
        n.target is torch.ops.aten.mm.default for n in step.graph.nodes
    ):
        raise Unsupported("a product has no constant matrix")
    elements = Elements(step, rows, named)
    levels = _levels(step)
    loops: list[list[ElementLoop]] = [[] for _ in range(max(levels, default=0) + 1)]
    widths = {name: width_of(node, rows) for node, name in named.items()}
    products: list[MatrixProduct] = []
    for i, site in enumerate(step.sites):
        k, n = width_of(site.u, rows), width_of(site.node, rows)
        own = named.get(site.u, "")
        u = own if own.startswith("s") else f"u{i}"
        products.append(MatrixProduct(i, site.weight, u, k, n, levels[i]))
        if u[0] == "u":
            widths[u] = k
            _add(loops[levels[i] - 1], elements, site.u, u, rows)
    y, *new = step.outputs
    for i, (old, node) in enumerate(zip(step.states, new, strict=True)):
        if node.meta["val"].shape != old.meta["val"].shape:
            raise Unsupported("its state changes its shape")
        _add(loops[-1], elements, node, f"s{i}", rows, state=True)
    where = "y" if y not in new else f"s{new.index(y)}"
    if where == "y":
        if not batched(y, rows):
            raise Unsupported("its output has no batch dimension")
        widths["y"] = width_of(y, rows)
        _add(loops[-1], elements, y, "y", rows)
    plan = LoopPlan(
        rows=rows,
        widths=widths,
        kinds=[_kind(c.meta["val"], i, step, rows) for i, c in enumerate(step.consts)],
        truths=frozenset(n for k, n in named.items() if k.meta["val"].dtype is torch.bool),
        wanted=wanted,
        products=products,
        loops=loops,
        y=where,
        states=len(new),
        noise=len(step.noise),
        make=elements.make,
    )
    _merge(plan)
    return plan


def _levels(step: TracedStep) -> list[int]:
    """How many products lie on the longest path to each product, itself included."""
    depth: dict[fx.Node, int] = {}
    sites = {site.node for site in step.sites}
    for node in step.graph.nodes:
        depth[node] = max((depth[a] for a in node.all_input_nodes), default=0) + (node in sites)
    return [depth[site.node] for site in step.sites]


def _kind(value: Tensor, index: int, step: TracedStep, rows: int) -> str:
    if any(site.weight == index for site in step.sites):
        return "weight"
    if value.numel() == 1:
        return "scalar"
    return "full" if value.dim() >= 2 and value.shape[0] == rows else "row"


def _add(
    loops: list[ElementLoop],
    elements: Elements,
    node: fx.Node,
    buffer: str,
    rows: int,
    state: bool = False,
) -> None:
    unit = elements.unit(node)
    loop = next((other for other in loops if other.unit == unit), None)
    if loop is None:
        loops.append(loop := ElementLoop(unit))
    for block in range(width_of(node, rows) // unit):
        loop.targets.append(Target(buffer, block, elements.at(node, block, unit), state))


def _merge(plan: LoopPlan) -> None:
    """Let p + q (+ bias) take the place of q, where nothing else reads p or q.

    It saves a third of the memory traffic: their gradients are one tensor then.
    """
    if len(plan.products) != 1 or len(plan.loops[-1]) != 1 or any(plan.loops[:-1]):
        return
    (loop,), (product,) = plan.loops[-1], plan.products
    if product.n != plan.widths["p"]:
        return
    users: dict[int, list[Expr]] = {}
    every = ordered(t.value for t in loop.targets)
    for e in every:
        for a in e.args:
            users.setdefault(id(a), []).append(e)
    found: dict[Expr, Expr] = {}  # the sum -> the leaf q that stands for it
    reads = [e for e in every if e.op == "leaf" and e.value.buffer in ("p", "q0")]
    blocks = plan.widths["p"] // loop.unit
    for q in (e for e in reads if e.value.buffer == "q0"):
        p = next((e for e in reads if e.value == q.value._replace(buffer="p")), None)
        above = users.get(id(q), [])
        if p is None or len(above) != 1 or len(users.get(id(p), [])) != 1:
            return
        whole = above[0]
        if p not in whole.args:  # q + bias first
            bias = next((a for a in whole.args if a is not q), None)
            outer = users.get(id(whole), [])
            if whole.op != "add" or bias is None or bias.op != "leaf" or len(outer) != 1:
                return
            if bias.value.buffer[0] != "c":
                return
            whole = outer[0]
        if whole.op != "add" or p not in whole.args:
            return
        found[whole] = q
    targets = {id(t.value) for t in loop.targets}
    if len(found) != blocks or len(reads) != 2 * blocks or any(id(e) in targets for e in found):
        return
    built: dict[int, Expr] = {}
    for e in every:
        if e in found:
            built[id(e)] = found[e]
        elif e.args:
            built[id(e)] = plan.make(e.op, *(built[id(a)] for a in e.args))
        else:
            built[id(e)] = e
    loop.targets = [Target(t.buffer, t.block, built[id(t.value)], t.state) for t in loop.targets]
    plan.merged = {q: whole for whole, q in found.items()}
