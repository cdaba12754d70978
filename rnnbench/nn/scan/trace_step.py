"""One step of a cell as a graph of operators, split into what time changes and what it does not.

A trace holds for a cell of the same classes and settings and for tensors of the same shapes; the
tensors themselves are read anew at every call.
"""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from rnnbench.contract import Cell, State
from rnnbench.nn.scan.cell_snapshot import CellSnapshot, replaced, unchanged
from rnnbench.nn.scan.eager import tick
from rnnbench.nn.scan.unsupported import Unsupported


@dataclass(frozen=True)
class ConstantProduct:
    """A product u @ w of a traced step with a matrix that time does not change.

    Attributes:
        node: the product in the graph.
        u: its first factor in the graph.
        weight: the place of w among the step's consts.
    """

    node: fx.Node
    u: fx.Node
    weight: int


@dataclass(frozen=True)
class TracedStep:
    """A step of a cell as a graph.

    Attributes:
        graph: placeholders p, states, noise and consts, in this order; outputs y and new states.
        prologue: the tensors (cell's and of the state) -> consts; run once a scan, by autograd.
        consts: the values that the prologue gives, as nodes of `graph`.
        products: the products by a const in `graph`.
        varying: which leaves of the state change; the others are consts.
    """

    graph: fx.Graph
    prologue: Callable[..., Any]
    p: fx.Node
    states: tuple[fx.Node, ...]
    noise: tuple[fx.Node, ...]
    consts: tuple[fx.Node, ...]
    products: tuple[ConstantProduct, ...]
    outputs: tuple[fx.Node, ...]
    varying: tuple[bool, ...]

    def needs_grad(self, requires_grad: Sequence[bool]) -> tuple[bool, ...]:
        """Tell which consts need a gradient, from which inputs of the prologue require one."""
        flags = iter(requires_grad)
        needs: dict[fx.Node, bool] = {}
        const_needs: tuple[bool, ...] = ()
        for node in self.prologue.graph.nodes:  # type: ignore[attr-defined]
            if node.op == "placeholder":
                needs[node] = next(flags)
            elif node.op == "output":
                const_needs = tuple(needs[c] and _is_real(c) for c in node.args[0])
            else:
                needs[node] = any(needs[a] for a in node.all_input_nodes)
        return const_needs

    def product_levels(self) -> list[int]:
        """Return how many products lie on the longest path to each product, itself included."""
        depth: dict[fx.Node, int] = {}
        nodes = {product.node for product in self.products}
        for node in self.graph.nodes:
            above = max((depth[a] for a in node.all_input_nodes), default=0)
            depth[node] = above + (node in nodes)
        return [depth[product.node] for product in self.products]


def _is_real(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def capture(cell: Cell, inside: CellSnapshot, p_BG: Tensor, state: State, noise: Any) -> TracedStep:
    """Trace one step of a cell.

    Args:
        inside: the tensors that the cell holds, which become inputs of the graph.
        p_BG, state, noise: what the step reads; only their shapes and types matter.
    Raises:
        Unsupported: it reads values, draws random numbers, writes in place, or the like.
    """
    leaves, state_form = pytree.tree_flatten(state)
    draws, noise_form = pytree.tree_flatten(noise)
    if not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise Unsupported("its state is not made of tensors alone")

    def step(p: Tensor, state: list[Tensor], noise: list[Tensor], held: list[Tensor]) -> Any:
        with replaced(inside.slots, held):
            y, new = tick(
                cell,
                p,
                pytree.tree_unflatten(state, state_form),
                pytree.tree_unflatten(noise, noise_form),
            )
        after, form = pytree.tree_flatten(new)
        if form != state_form:
            raise Unsupported("its state changes its form from step to step")
        return [y, *after]

    held = [t.detach() for t in inside.tensors]
    try:
        with unchanged(cell), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's notes on its own parts
            traced = make_fx(step, decomposition_table=_decompositions(), tracing_mode="fake")(
                p_BG.detach(), [s.detach() for s in leaves], [n.detach() for n in draws], held
            )
    except Unsupported:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise Unsupported(f"its step cannot be traced: {type(error).__name__}: {first}") from error
    return _split(traced.graph, len(leaves), len(draws), p_BG.device)


@functools.cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Return torch's table of operators as smaller ones; making it takes a tenth of a second."""
    from torch._decomp import core_aten_decompositions

    # Its parts have no finite derivative where it is large; its own formula has.
    whole = {torch.ops.aten.softplus.default, torch.ops.aten.mish.default}
    return {k: v for k, v in core_aten_decompositions().items() if k not in whole}


def _split(graph: fx.Graph, n_states: int, n_noise: int, device: torch.device) -> TracedStep:
    """Split a traced step into a graph of what changes from step to step, and a prologue.

    Raises:
        Unsupported: it draws random numbers, writes in place, or the like.
    """
    graph.eliminate_dead_code()
    inputs = [n for n in graph.nodes if n.op == "placeholder"]
    p, states, noise = inputs[0], inputs[1 : 1 + n_states], inputs[1 + n_states :][:n_noise]
    held = inputs[1 + n_states + n_noise :]
    y, *after = next(n for n in graph.nodes if n.op == "output").args[0]
    varying = [new is not old for old, new in zip(states, after, strict=True)]
    moving = {p, *noise, *(s for s, v in zip(states, varying, strict=True) if v)}
    for node in graph.nodes:
        _refuse_impure(node, device)
        if node.op == "call_function" and any(a in moving for a in node.all_input_nodes):
            moving.add(node)
    if y not in moving:
        raise Unsupported("its output does not depend on its input")
    fixed = [s for s, v in zip(states, varying, strict=True) if not v]
    main, prologue = fx.Graph(), fx.Graph()
    in_main: dict[fx.Node, fx.Node] = {}
    in_prologue: dict[fx.Node, fx.Node] = {}
    for node in (*fixed, *held):
        in_prologue[node] = _copied(prologue, node, in_prologue)
    for node in (p, *(s for s in states if s in moving), *noise):
        in_main[node] = _copied(main, node, in_main)
    read = [a for n in graph.nodes if n in moving for a in n.all_input_nodes]
    read += [a for a in after if a not in fixed]
    consts: list[fx.Node] = []
    for node in graph.nodes:
        if node in moving or node.op == "output":
            continue
        created = node.op == "call_function" and not node.all_input_nodes
        if node not in in_prologue:
            in_prologue[node] = _copied(prologue, node, in_prologue)
        if node in read and not created and isinstance(node.meta.get("val"), Tensor):
            consts.append(node)
            in_main[node] = main.placeholder(f"const_{len(consts)}")
            in_main[node].meta = dict(node.meta)
    for node in graph.nodes:
        created = node.op == "call_function" and not node.all_input_nodes
        if node not in in_main and (node in moving or (created and node in read)):
            in_main[node] = _copied(main, node, in_main)
    prologue.output([in_prologue[c] for c in consts])
    ended = main.output([in_main[o] for o in (y, *(a for a in after if a not in fixed))])
    const_nodes = tuple(in_main[c] for c in consts)
    products = tuple(_constant_products(main, const_nodes))  # changes outputs that are sums
    return TracedStep(
        graph=main,
        prologue=fx.GraphModule(nn.Module(), prologue),
        p=in_main[p],
        states=tuple(in_main[s] for s in states if s in moving),
        noise=tuple(in_main[n] for n in noise),
        consts=const_nodes,
        products=products,
        outputs=tuple(ended.args[0]),
        varying=tuple(varying),
    )


def _copied(graph: fx.Graph, node: fx.Node, copies: dict[fx.Node, fx.Node]) -> fx.Node:
    """Copy a node into a graph that has copies of its arguments."""
    new = graph.node_copy(node, lambda n: copies[n])
    new.meta = dict(node.meta)
    return new


def _refuse_impure(node: fx.Node, device: torch.device) -> None:
    """Refuse a node that would make a trace differ from the step.

    Raises:
        Unsupported: it reads a hidden tensor, draws random numbers, writes, or changes the device.
    """
    if node.op == "get_attr":
        raise Unsupported("its step uses a tensor that is no attribute of the cell")
    if node.op != "call_function" or node.target is operator.getitem:
        return
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
        raise Unsupported("its step draws random numbers: draw them in `noise`")
    schema = getattr(node.target, "_schema", None)
    if schema is None or schema.is_mutable:
        raise Unsupported(f"its step uses {node.target}, which writes in place")
    value = node.meta.get("val")
    if isinstance(value, Tensor) and value.device != device:
        raise Unsupported(f"its step makes a tensor on {value.device}, not on {device}")


def _constant_products(graph: fx.Graph, consts: tuple[fx.Node, ...]) -> Iterator[ConstantProduct]:
    """Yield the products with a constant matrix; `addmm` becomes `mm` and a sum first."""
    aten = torch.ops.aten
    const_places = {node: i for i, node in enumerate(consts)}
    for node in list(graph.nodes):
        if node.target is aten.addmm.default and not node.kwargs:
            bias, u, weight = node.args
            with graph.inserting_before(node):
                product = graph.call_function(aten.mm.default, (u, weight))
                total = graph.call_function(aten.add.Tensor, (product, bias))
            product.meta = dict(node.meta)
            total.meta = dict(node.meta)
            node.replace_all_uses_with(total)
            graph.erase_node(node)
            node = product
        if node.target is aten.mm.default and node.args[1] in const_places:
            u = node.args[0]
            if u not in const_places:
                yield ConstantProduct(node, u, const_places[node.args[1]])
