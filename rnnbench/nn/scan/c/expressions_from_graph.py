"""Expressions of one element from a step's graph.

A tensor of the step is seen as rows of blocks: a row has `width` elements, and every block is as
wide as the loop's unit, so that `chunk(4, -1)` and `cat` only choose blocks. What does not fit
(a reduction, a gather, integers) is refused, and the step goes to another tier.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import Tensor, fx

from rnnbench.nn.scan.c.buffers import Buffer
from rnnbench.nn.scan.c.expressions import OPERATORS, Expr, Pool
from rnnbench.nn.scan.trace_step import TracedStep
from rnnbench.nn.scan.unsupported import Unsupported

aten = torch.ops.aten

_SAME = {
    aten.alias.default, aten.clone.default, aten.detach.default, aten.view.default,
    aten._unsafe_view.default, aten.reshape.default, aten.unsqueeze.default, aten.squeeze.dim,
    aten.squeeze.dims, aten.lift_fresh_copy.default, aten.copy.default, aten.expand.default,
}  # fmt: skip
_FILLED = {
    aten.zeros_like.default: 0.0, aten.ones_like.default: 1.0, aten.zeros.default: 0.0,
    aten.ones.default: 1.0, aten.new_zeros.default: 0.0, aten.new_ones.default: 1.0,
}  # fmt: skip
_FILLS = {  # the place of the value among the arguments
    aten.full.default: 1, aten.full_like.default: 1, aten.scalar_tensor.default: 0,
    aten.new_full.default: 2, aten.fill.Scalar: 1,
}  # fmt: skip
_DIRECT = {
    "add", "sub", "mul", "div", "neg", "sigmoid", "tanh", "exp", "log", "sqrt", "sin", "cos",
    "erf", "log1p", "expm1", "pow", "abs", "sign", "floor", "ceil", "round", "trunc", "remainder",
    "where", "maximum", "minimum", "lt", "le", "gt", "ge", "eq", "ne",
}  # fmt: skip
_RENAMED = {
    "bitwise_and": "both", "logical_and": "both", "bitwise_or": "either", "logical_or": "either",
    "bitwise_not": "not", "logical_not": "not",
}  # fmt: skip
_WHOLE = ("elu", "softplus", "gelu", "leaky_relu", "hardtanh")
MOST_BLOCKS = 64  # of one row: beyond, the code would be large and slow


def width_of(node: fx.Node, rows: int) -> int:
    """Return the elements of a row: of all dimensions but the batch, where there is one."""
    shape = _value(node).shape
    return math.prod(list(shape[1:] if batched(node, rows) else shape))


def batched(node: fx.Node, rows: int) -> bool:
    """Tell whether the first dimension is the batch."""
    shape = _value(node).shape
    return len(shape) >= 2 and shape[0] == rows


def _value(node: fx.Node) -> Tensor:
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        raise Unsupported(f"{node.target} makes no tensor")
    return value


class Elements:
    """The nodes of a step, from which the expression of any element is read.

    Args:
        rows: the batch size of the trace.
        buffers: the buffers in which placeholders and products are found.
    """

    def __init__(self, step: TracedStep, rows: int, buffers: dict[fx.Node, Buffer]):
        self.make, self.rows, self.buffers = Pool(), rows, buffers
        self.dtype = _value(step.p).dtype
        self._memo: dict[tuple[fx.Node, int, int], Expr] = {}

    def unit(self, node: fx.Node) -> int:
        """Return the widest block that fits every tensor and every cut above this one."""
        common = 0
        seen, stack = set(), [node]
        while stack:
            n = stack.pop()
            if n in seen:
                continue
            seen.add(n)
            if isinstance(n.meta.get("val"), Tensor):
                width = width_of(n, self.rows)
                common = math.gcd(common, width) if width > 1 else common
            if n not in self.buffers:
                part = self._part(n)
                if part is not None:
                    common = math.gcd(common, part[1])
                    stack.append(part[0])
                else:
                    stack.extend(n.all_input_nodes)
        unit = common or 1
        if width_of(node, self.rows) // unit > MOST_BLOCKS:
            raise Unsupported("its tensors are cut at places that share no common block")
        return unit

    def at(self, node: fx.Node, block: int, unit: int) -> Expr:
        """Return the element of `node` at a column of a block."""
        key = (node, block, unit)
        if key not in self._memo:
            self._memo[key] = self._at(node, block, unit)
        return self._memo[key]

    def _at(self, node: fx.Node, block: int, unit: int) -> Expr:
        value = _value(node)
        if value.dtype not in (self.dtype, torch.bool):
            raise Unsupported(f"it computes in {value.dtype} beside {self.dtype}")
        width = width_of(node, self.rows)
        if width != 1 and width % unit:
            raise Unsupported(f"a width of {width} is no multiple of {unit}")
        if node in self.buffers:
            return self.make.leaf(self.buffers[node], block, None if width == 1 else unit)
        if node.op != "call_function":
            raise Unsupported(f"{node.op} {node.target}")
        if node.target in _FILLED:
            return self.make.number(_FILLED[node.target])
        if node.target in _FILLS:
            return self._number(node.args[_FILLS[node.target]])
        part = self._part(node)
        if part is not None:
            source, offset = part
            return self.at(source, block + offset // unit, unit)
        if node.target is aten.cat.default:
            return self._joined(node, block, unit)
        if node.target in _SAME:
            copied: Any = node.args[1 if node.target is aten.copy.default else 0]
            return self._operand(node, copied, block, unit)
        return self._pointwise(node, block, unit)

    def _number(self, value: Any) -> Expr:
        if isinstance(value, (bool, int, float)):
            return self.make.number(float(value))
        raise Unsupported(f"a constant is a {type(value).__name__}")

    def _operand(self, node: fx.Node, source: Any, block: int, unit: int) -> Expr:
        """Return an argument's element that broadcasting brings to this element of `node`."""
        if not isinstance(source, fx.Node):
            return self._number(source)
        width, own = width_of(source, self.rows), width_of(node, self.rows)
        shape, theirs = _value(node).shape, _value(source).shape
        of_batch = batched(source, self.rows)
        moves = node.target in _SAME
        if not of_batch or (batched(node, self.rows) and (moves or len(shape) == len(theirs))):
            if width == own:
                return self.at(source, block, unit)
            if width == 1:
                return self.at(source, 0, unit)
            # A vector against rows of several vectors: (U,) or (1, U) with (B, n, U).
            if own % width == 0 and shape[-1] == width == theirs[-1] and width % unit == 0:
                return self.at(source, block % (width // unit), unit)
        raise Unsupported(f"{tuple(theirs)} is broadcast to {tuple(shape)}")

    def _part(self, node: fx.Node) -> tuple[fx.Node, int] | None:
        """Return the tensor of which `node` is a run of columns and the first column, or None."""
        target: Any = node.target
        args: tuple[Any, ...] = node.args
        source: Any
        dim: Any
        start: Any
        if target is aten.slice.Tensor:
            whole: list[Any] = [*args, *(0, None, None, 1)[len(args) - 1 :]]
            source, dim, start, _, stride = whole
            size = _value(source).shape[dim]
            begin = min(start + size if (start := start or 0) < 0 else start, size)
            if stride != 1:
                raise Unsupported("a slice with a stride")
        elif target is aten.select.int:
            source, dim, index = args
            begin = index % _value(source).shape[dim]
        elif target is operator.getitem:
            split, index = args
            source, how, dim = [*split.args, 0, 0][:3]
            if split.target is aten.split_with_sizes.default:
                begin = sum(how[:index])
            elif split.target is aten.split.Tensor:
                begin = how * index
            elif split.target is aten.unbind.int:
                dim, begin = how, index
            else:
                raise Unsupported(f"{split.target} gives several tensors")
        else:
            return None
        shape = _value(source).shape
        dim = dim % len(shape)
        batch = batched(source, self.rows)
        if _value(node).shape == shape:
            return source, 0
        if batch != batched(node, self.rows) or math.prod(list(shape[int(batch) : dim])) != 1:
            raise Unsupported(f"a part of {tuple(shape)} that is no run of columns")
        return source, int(begin) * math.prod(list(shape[dim + 1 :]))

    def _joined(self, node: fx.Node, block: int, unit: int) -> Expr:
        parts: Any
        dim: Any
        parts, dim = [*node.args, 0][:2]
        shape = _value(node).shape
        place = dim % len(shape)
        if not batched(node, self.rows) or place == 0 or math.prod(list(shape[1:place])) != 1:
            raise Unsupported("a concatenation of batches or of an inner dimension")
        for part in parts:
            blocks = width_of(part, self.rows) // unit
            if block < blocks:
                return self.at(part, block, unit)
            block -= blocks
        raise AssertionError("a block beyond the last part")

    def _pointwise(self, node: fx.Node, block: int, unit: int) -> Expr:
        packet = getattr(node.target, "overloadpacket", None)
        name = getattr(packet, "__name__", str(node.target))
        make = self.make
        arguments: list[Any] = list(node.args)
        alpha: Any = node.kwargs.get("alpha", 1)
        if set(node.kwargs) - {"alpha", "dtype", "device", "layout", "pin_memory", "memory_format"}:
            raise Unsupported(f"{name} with {sorted(node.kwargs)}")

        def argument(i: int) -> Expr:
            return self._operand(node, arguments[i], block, unit)

        if name == "_to_copy":
            return self._converted(argument(0), _value(node).dtype)
        if name == "relu":  # NaN stays NaN
            return make("where", make("le", argument(0), make.number(0.0)),
                        make.number(0.0), argument(0))  # fmt: skip
        if name == "clamp":
            return self._clamped(argument(0), [*arguments[1:], None, None][:2])
        if name in _WHOLE and not node.kwargs:
            numbers = [float(a) for a in arguments[1:] if not isinstance(a, str)]
            if len(numbers) == len(arguments) - 1:
                return self._formula(name, argument(0), numbers)
        if name in ("reciprocal", "rsqrt"):
            x = argument(0) if name == "reciprocal" else make("sqrt", argument(0))
            return make("div", make.number(1.0), x)
        if name == "rsub":
            arguments[:2] = arguments[1::-1]
            name = "sub"
        name = _RENAMED.get(name, name)
        if name not in _DIRECT and name not in _RENAMED.values():
            raise Unsupported(f"{name} does not work on every element by itself")
        takes = len(arguments) if name != "round" else 1
        values = [argument(i) for i in range(takes)]
        if alpha != 1:
            values[1] = make("mul", values[1], make.number(float(alpha)))
        truths = OPERATORS[name].truth or name == "where"
        if not truths and any(v.op != "number" and self._truth(v) for v in values):
            values = [make("number_of", v) if self._truth(v) else v for v in values]
        return make(name, *values)

    def _formula(self, name: str, x: Expr, numbers: list[float]) -> Expr:
        """Return the formula of an operator that torch computes as a whole.

        The branch that is not taken gets a harmless argument: an infinity in it would make its
        gradient NaN.
        """
        make, n = self.make, self.make.number
        if name == "gelu":
            bell = make("erf", make("mul", x, n(math.sqrt(0.5))))
            return make("mul", make("mul", x, n(0.5)), make("add", n(1.0), bell))
        if name == "leaky_relu":
            return make("where", make("gt", x, n(0.0)), x, make("mul", x, n([*numbers, 0.01][0])))
        if name == "hardtanh":
            low_end, high_end = [*numbers, *(-1.0, 1.0)[len(numbers) :]]
            below = make("where", make("le", x, n(low_end)), n(low_end), x)
            return make("where", make("ge", x, n(high_end)), n(high_end), below)
        if name == "elu":
            alpha, scale, inner = [*numbers, *(1.0, 1.0, 1.0)[len(numbers) :]]
            high = make("gt", x, n(0.0))
            low = make("expm1", make("mul", make("where", high, n(0.0), x), n(inner)))
            return make("where", high, make("mul", x, n(scale)), make("mul", low, n(alpha * scale)))
        beta, threshold = [*numbers, *(1.0, 20.0)[len(numbers) :]]
        scaled = make("mul", x, n(beta))
        high = make("gt", scaled, n(threshold))
        low = make("log1p", make("exp", make("where", high, n(0.0), scaled)))
        return make("where", high, x, make("div", low, n(beta)))

    def _truth(self, e: Expr) -> bool:
        """Tell whether an expression is true or false rather than a number."""
        if e.op == "leaf":
            return any(
                buffer == e.value.buffer and _value(node).dtype is torch.bool
                for node, buffer in self.buffers.items()
            )
        return e.op != "number" and OPERATORS[e.op].truth

    def _converted(self, e: Expr, dtype: torch.dtype) -> Expr:
        if dtype is torch.bool:
            return e if self._truth(e) else self.make("ne", e, self.make.number(0.0))
        return self.make("number_of", e) if self._truth(e) else e

    def _clamped(self, x: Expr, limits: list[Any]) -> Expr:
        make, result = self.make, x
        for limit, compare in zip(limits, ("lt", "gt"), strict=True):
            if limit is not None:
                bound = self._number(limit)
                result = make("where", make(compare, x, bound), bound, result)
        return result
