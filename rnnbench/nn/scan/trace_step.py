"""One step of a cell as a graph of operators, split into what time changes and what it does not.

A trace holds for a cell of the same classes and settings and for tensors of the same shapes; the
tensors themselves are read anew at every call.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from rnnbench.contract import Cell, State

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_INTERNAL = frozenset(nn.Module().__dict__) - {"training"}
_PLAIN = frozenset({int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device})
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


class Unsupported(Exception):
    """This step cannot be made fast in the tier that was asked; the message says why."""


class KernelFailed(Unsupported):
    """What should have worked did not: a build, or a check against the eager loop."""


class Slot(NamedTuple):
    """Where a tensor of a cell lives: `holder[name]`."""

    holder: dict[str, Any]
    name: str


class CellSnapshot(NamedTuple):
    """What a cell holds: a key of all but the values of its tensors, and where those are.

    Raises nothing; `problem` says why the cell cannot be keyed, "" if it can.
    """

    key: tuple[Any, ...]
    slots: list[Slot]
    problem: str

    @property
    def tensors(self) -> list[Tensor]:
        return [slot.holder[slot.name] for slot in self.slots]


def look_inside(cell: nn.Module) -> CellSnapshot:
    """Classes, settings and tensors of a cell and of all that is in it."""
    key: list[Any] = []
    slots: list[Slot] = []
    problems: list[str] = []

    def visit(module: nn.Module, path: str) -> None:
        held = module.__dict__
        key.append(type(module))
        if path and any(held[h] for h in _HOOKS):
            problems.append(f"{path} has hooks")
        for kind in ("_parameters", "_buffers"):
            for name, tensor in held[kind].items():
                if tensor is not None:
                    key.append((name, *like(tensor)))
                    slots.append(Slot(held[kind], name))
        for name, value in held.items():
            if name in _INTERNAL:
                continue
            if isinstance(value, Tensor):
                key.append((name, *like(value)))
                slots.append(Slot(held, name))
            elif type(value) in _PLAIN:
                key.append((name, value))
            else:
                try:
                    key.append((name, _frozen(value)))
                except TypeError:
                    problems.append(f"attribute {path}{name} is a {type(value).__name__}")
        for name, child in held["_modules"].items():
            if child is not None:
                visit(child, f"{path}{name}.")

    visit(cell, "")
    return CellSnapshot(tuple(key), slots, "; ".join(problems))


def like(tensor: Tensor) -> tuple[Any, ...]:
    """All that a trace depends on of a tensor: everything but its values."""
    return tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad


def _frozen(value: Any) -> Any:
    """A hashable equal of a plain value.

    Raises:
        TypeError: it might change without notice.
    """
    kind = type(value)
    if kind in _PLAIN or isinstance(value, (enum.Enum, _FUNCTIONS)):
        return value
    if isinstance(value, (tuple, list)):
        return kind, tuple(_frozen(v) for v in value)
    if kind is dict:
        return kind, tuple((_frozen(k), _frozen(v)) for k, v in value.items())
    if kind in (set, frozenset):
        return kind, frozenset(_frozen(v) for v in value)
    if kind is functools.partial:
        return kind, value.func, _frozen(value.args), _frozen(value.keywords)
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return kind, tuple(_frozen(getattr(value, f.name)) for f in fields)
    raise TypeError(f"{kind.__name__} may change without notice")


@contextmanager
def replaced(slots: Sequence[Slot], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Other tensors in the places of a cell's own.

    Raises:
        Unsupported: something wrote into one of these places.
    """
    own = [slot.holder[slot.name] for slot in slots]
    try:
        for slot, tensor in zip(slots, tensors, strict=True):
            slot.holder[slot.name] = tensor
        yield
        written = [
            slot.name
            for slot, tensor in zip(slots, tensors, strict=True)
            if slot.holder.get(slot.name) is not tensor
        ]
    finally:
        for slot, tensor in zip(slots, own, strict=True):
            slot.holder[slot.name] = tensor
    if written:
        raise Unsupported(f"its step writes {', '.join(written)} on the cell")


@contextmanager
def _unchanged(cell: nn.Module) -> Iterator[None]:
    """Put back what a step writes on its cell, and refuse it: a trace would keep it for ever.

    Raises:
        Unsupported: naming what was written.
    """
    places = [d for m in cell.modules() for d in (m.__dict__, m._parameters, m._buffers)]
    before = [dict(place) for place in places]
    try:
        yield
    finally:
        written = []
        for place, old in zip(places, before, strict=True):
            names = place.keys() | old.keys()
            written += [n for n in names if place.get(n) is not old.get(n) or n not in old]
            for n in names:
                if n in old:
                    place[n] = old[n]
                else:
                    del place[n]
    if written:
        raise Unsupported(f"its step writes {', '.join(sorted(written))} on the cell")


def tick(cell: Cell, p_BG: Tensor, state: State, noise: Any) -> tuple[Tensor, State]:
    """One step of any cell on a projected input and on noise that was drawn before."""
    own = getattr(cell, "tick", None)
    return cell.advance(p_BG, state) if own is None else own(p_BG, state, noise)


@dataclasses.dataclass(frozen=True)
class ConstantProduct:
    """A product u @ w with a matrix that time does not change; `weight` is its place in consts."""

    node: fx.Node
    u: fx.Node
    weight: int


@dataclasses.dataclass(frozen=True)
class TracedStep:
    """One step of a cell.

    Attributes:
        graph: placeholders p, states, noise and consts, in this order; outputs y and new states.
        prologue: the tensors (cell's and of the state) -> consts; run once a scan, by autograd.
        varying: which leaves of the state change; the others are consts.
        consts: the values that the prologue gives, as nodes of `graph`.
        sites: the products in `graph`.
    """

    graph: fx.Graph
    prologue: Callable[..., Any]
    p: fx.Node
    states: tuple[fx.Node, ...]
    noise: tuple[fx.Node, ...]
    consts: tuple[fx.Node, ...]
    sites: tuple[ConstantProduct, ...]
    outputs: tuple[fx.Node, ...]
    varying: tuple[bool, ...]

    def wanted(self, requires_grad: Sequence[bool]) -> tuple[bool, ...]:
        """Which consts need a gradient, given which inputs of the prologue do."""
        flags = iter(requires_grad)
        needs: dict[fx.Node, bool] = {}
        found: tuple[bool, ...] = ()
        for node in self.prologue.graph.nodes:  # type: ignore[attr-defined]
            if node.op == "placeholder":
                needs[node] = next(flags)
            elif node.op == "output":
                found = tuple(needs[c] and _is_real(c) for c in node.args[0])
            else:
                needs[node] = any(needs[a] for a in node.all_input_nodes)
        return found


def _is_real(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def capture(cell: Cell, inside: CellSnapshot, p_BG: Tensor, state: State, noise: Any) -> TracedStep:
    """Trace one step.

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
        with _unchanged(cell), torch.no_grad(), warnings.catch_warnings():
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
    """Operators as smaller ones; once, since making the table takes a tenth of a second."""
    from torch._decomp import core_aten_decompositions

    # Its parts have no finite derivative where it is large; its own formula has.
    whole = {torch.ops.aten.softplus.default, torch.ops.aten.mish.default}
    return {k: v for k, v in core_aten_decompositions().items() if k not in whole}


def _split(graph: fx.Graph, n_states: int, n_noise: int, device: torch.device) -> TracedStep:
    graph.eliminate_dead_code()
    holes = [n for n in graph.nodes if n.op == "placeholder"]
    p, states, noise = holes[0], holes[1 : 1 + n_states], holes[1 + n_states :][:n_noise]
    held = holes[1 + n_states + n_noise :]
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
    here: dict[fx.Node, fx.Node] = {}
    there: dict[fx.Node, fx.Node] = {}
    for node in (*fixed, *held):
        there[node] = _copied(prologue, node, there)
    for node in (p, *(s for s in states if s in moving), *noise):
        here[node] = _copied(main, node, here)
    wanted = [a for n in graph.nodes if n in moving for a in n.all_input_nodes]
    wanted += [a for a in after if a not in fixed]
    consts: list[fx.Node] = []
    for node in graph.nodes:
        if node in moving or node.op == "output":
            continue
        created = node.op == "call_function" and not node.all_input_nodes
        if node not in there:
            there[node] = _copied(prologue, node, there)
        if node in wanted and not created and isinstance(node.meta.get("val"), Tensor):
            consts.append(node)
            here[node] = main.placeholder(f"const_{len(consts)}")
            here[node].meta = dict(node.meta)
    for node in graph.nodes:
        created = node.op == "call_function" and not node.all_input_nodes
        if node not in here and (node in moving or (created and node in wanted)):
            here[node] = _copied(main, node, here)
    prologue.output([there[c] for c in consts])
    ended = main.output([here[o] for o in (y, *(a for a in after if a not in fixed))])
    const_nodes = tuple(here[c] for c in consts)
    sites = tuple(_sites(main, const_nodes))
    return TracedStep(
        graph=main,
        prologue=fx.GraphModule(nn.Module(), prologue),
        p=here[p],
        states=tuple(here[s] for s in states if s in moving),
        noise=tuple(here[n] for n in noise),
        consts=const_nodes,
        sites=sites,
        outputs=tuple(ended.args[0]),
        varying=tuple(varying),
    )


def _copied(graph: fx.Graph, node: fx.Node, places: dict[fx.Node, fx.Node]) -> fx.Node:
    new = graph.node_copy(node, lambda n: places[n])
    new.meta = dict(node.meta)
    return new


def _refuse_impure(node: fx.Node, device: torch.device) -> None:
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


def _sites(graph: fx.Graph, consts: tuple[fx.Node, ...]) -> Iterator[ConstantProduct]:
    """The products with a constant matrix; `addmm` becomes `mm` and a sum first."""
    aten = torch.ops.aten
    places = {node: i for i, node in enumerate(consts)}
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
        if node.target is aten.mm.default and node.args[1] in places:
            u = node.args[0]
            if u not in places:
                yield ConstantProduct(node, u, places[node.args[1]])
