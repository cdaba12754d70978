"""A step cut at its products: which loops and products follow each other, and over which buffers.

level 1: loops make what the first products read, then the products are made
level 2: loops make what the next products read (they may use the first ones), ...
at last: loops make the outputs and the new state
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, fx

from rnnbench.nn.scan.c.buffers import INPUT, OUTPUT, Buffer, BufferKind
from rnnbench.nn.scan.c.expressions import Expr, Pool, ordered
from rnnbench.nn.scan.c.expressions_from_graph import Elements, batched, width_of
from rnnbench.nn.scan.trace_step import TracedStep
from rnnbench.nn.scan.unsupported import Unsupported

# One value for all rows, one a row, one number, or the matrix of a product.
ConstForm = Literal["row", "full", "scalar", "weight"]


@dataclass(frozen=True)
class Target:
    """An element that a loop makes: a block of a buffer. `state` marks a new state's buffer."""

    buffer: Buffer
    block: int
    value: Expr
    state: bool = False


@dataclass
class ElementLoop:
    """A pass over the rows and over the columns of a unit."""

    unit: int
    targets: list[Target] = field(default_factory=list)


@dataclass(frozen=True)
class MatrixProduct:
    """A product q = u @ w of a plan.

    Attributes:
        index: of q.
        weight: of w, a const.
        u: a state or a factor.
        k, n: the widths of u and of q.
        level: after whose loops it is made.
    """

    index: int
    weight: int
    u: Buffer
    k: int
    n: int
    level: int

    @property
    def q(self) -> Buffer:
        """Return the buffer of the product."""
        return Buffer(BufferKind.PRODUCT, self.index)

    @property
    def reads_state(self) -> bool:
        """Tell whether u is a state, which is read as it was before the step."""
        return self.u.kind is BufferKind.STATE


@dataclass
class LoopPlan:
    """The loops and products that the emitted C runs at each step.

    Attributes:
        widths: elements of a row of each buffer.
        const_forms: how each const is stored.
        truths: buffers of truth values.
        needs_grad: which consts need a gradient.
        loops: by level; the last ones make the outputs.
        output: the buffer that holds the output, which may be a state.
        merged: the product is only read in the sum p + q (+ a bias), which takes its place.
    """

    rows: int
    widths: dict[Buffer, int]
    const_forms: list[ConstForm]
    truths: frozenset[Buffer]
    needs_grad: tuple[bool, ...]
    products: list[MatrixProduct]
    loops: list[list[ElementLoop]]
    output: Buffer
    n_states: int
    n_noise: int
    make: Pool
    merged: dict[Expr, Expr] = field(default_factory=dict)

    def buffers(self, kind: BufferKind) -> list[Buffer]:
        """Return all buffers of a kind that has one for each state, noise, const or product."""
        counts = {
            BufferKind.NOISE: self.n_noise,
            BufferKind.CONST: len(self.const_forms),
            BufferKind.PRODUCT: len(self.products),
            BufferKind.PRODUCT_ADJOINT: len(self.products),
            BufferKind.PACKED: len(self.products),
        }
        return [Buffer(kind, i) for i in range(counts.get(kind, self.n_states))]

    @property
    def factors(self) -> list[Buffer]:
        """Return the buffers of what products read where it is no state."""
        return [product.u for product in self.products if not product.reads_state]

    def form_of(self, const: Buffer) -> ConstForm:
        """Return how a const is stored."""
        return self.const_forms[const.number]


def make_plan(step: TracedStep, needs_grad: tuple[bool, ...]) -> LoopPlan:
    """Cut a step into loops and products.

    Args:
        needs_grad: which consts need a gradient.
    Raises:
        Unsupported: something in it does not work on every element by itself.
    """
    rows = step.p.meta["val"].shape[0]
    buffers = {step.p: INPUT}
    buffers |= {node: Buffer(BufferKind.STATE, i) for i, node in enumerate(step.states)}
    buffers |= {node: Buffer(BufferKind.NOISE, i) for i, node in enumerate(step.noise)}
    buffers |= {node: Buffer(BufferKind.CONST, i) for i, node in enumerate(step.consts)}
    for node, buffer in buffers.items():
        if buffer.kind is not BufferKind.CONST and not batched(node, rows):
            raise Unsupported(
                f"{buffer} has the shape {tuple(node.meta['val'].shape)}, no batch first"
            )
    buffers |= {
        product.node: Buffer(BufferKind.PRODUCT, i) for i, product in enumerate(step.products)
    }
    if len({product.node for product in step.products}) < sum(
        n.target is torch.ops.aten.mm.default for n in step.graph.nodes
    ):
        raise Unsupported("a product has no constant matrix")
    elements = Elements(step, rows, buffers)
    levels = step.product_levels()
    loops: list[list[ElementLoop]] = [[] for _ in range(max(levels, default=0) + 1)]
    widths = {buffer: width_of(node, rows) for node, buffer in buffers.items()}
    products: list[MatrixProduct] = []
    for i, product in enumerate(step.products):
        k, n = width_of(product.u, rows), width_of(product.node, rows)
        u = buffers.get(product.u)
        if u is None or u.kind is not BufferKind.STATE:
            u = Buffer(BufferKind.FACTOR, i)
            widths[u] = k
            _add_targets(loops[levels[i] - 1], elements, product.u, u, rows)
        products.append(MatrixProduct(i, product.weight, u, k, n, levels[i]))
    y, *new = step.outputs
    for i, (old, node) in enumerate(zip(step.states, new, strict=True)):
        if node.meta["val"].shape != old.meta["val"].shape:
            raise Unsupported("its state changes its shape")
        _add_targets(loops[-1], elements, node, Buffer(BufferKind.STATE, i), rows, state=True)
    output = Buffer(BufferKind.STATE, new.index(y)) if y in new else OUTPUT
    if output == OUTPUT:
        if not batched(y, rows):
            raise Unsupported("its output has no batch dimension")
        widths[OUTPUT] = width_of(y, rows)
        _add_targets(loops[-1], elements, y, OUTPUT, rows)
    plan = LoopPlan(
        rows=rows,
        widths=widths,
        const_forms=[_form(c.meta["val"], i, step, rows) for i, c in enumerate(step.consts)],
        truths=frozenset(b for node, b in buffers.items() if node.meta["val"].dtype is torch.bool),
        needs_grad=needs_grad,
        products=products,
        loops=loops,
        output=output,
        n_states=len(new),
        n_noise=len(step.noise),
        make=elements.make,
    )
    _merge(plan)
    return plan


def _form(value: Tensor, index: int, step: TracedStep, rows: int) -> ConstForm:
    """Return how a const is stored."""
    if any(product.weight == index for product in step.products):
        return "weight"
    if value.numel() == 1:
        return "scalar"
    return "full" if value.dim() >= 2 and value.shape[0] == rows else "row"


def _add_targets(
    loops: list[ElementLoop],
    elements: Elements,
    node: fx.Node,
    buffer: Buffer,
    rows: int,
    *,
    state: bool = False,
) -> None:
    """Let a loop of the node's unit make all blocks of a buffer; begin one where there is none."""
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
    if product.n != plan.widths[INPUT]:
        return
    users: dict[int, list[Expr]] = {}
    every = ordered(t.value for t in loop.targets)
    for e in every:
        for a in e.args:
            users.setdefault(id(a), []).append(e)
    leaf_of_sum: dict[Expr, Expr] = {}  # the sum -> the leaf q that stands for it
    reads = [e for e in every if e.op == "leaf" and e.value.buffer in (INPUT, product.q)]
    blocks = plan.widths[INPUT] // loop.unit
    for q in (e for e in reads if e.value.buffer == product.q):
        p = next((e for e in reads if e.value == q.value._replace(buffer=INPUT)), None)
        above = users.get(id(q), [])
        if p is None or len(above) != 1 or len(users.get(id(p), [])) != 1:
            return
        whole = above[0]
        if p not in whole.args:  # q + bias first
            bias = next((a for a in whole.args if a is not q), None)
            outer = users.get(id(whole), [])
            if whole.op != "add" or bias is None or bias.op != "leaf" or len(outer) != 1:
                return
            if bias.value.buffer.kind is not BufferKind.CONST:
                return
            whole = outer[0]
        if whole.op != "add" or p not in whole.args:
            return
        leaf_of_sum[whole] = q
    targets = {id(t.value) for t in loop.targets}
    if (
        len(leaf_of_sum) != blocks
        or len(reads) != 2 * blocks
        or any(id(e) in targets for e in leaf_of_sum)
    ):
        return
    built: dict[int, Expr] = {}
    for e in every:
        if e in leaf_of_sum:
            built[id(e)] = leaf_of_sum[e]
        elif e.args:
            built[id(e)] = plan.make(e.op, *(built[id(a)] for a in e.args))
        else:
            built[id(e)] = e
    loop.targets = [Target(t.buffer, t.block, built[id(t.value)], t.state) for t in loop.targets]
    plan.merged = {q: whole for whole, q in leaf_of_sum.items()}
