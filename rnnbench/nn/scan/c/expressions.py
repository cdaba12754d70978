"""Expressions of one element, and their derivatives: what the emitted C computes.

An expression is interned, so equal ones are one object and are computed once. NaN goes through
every operator as it does in torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Leaf(NamedTuple):
    """An element that is read from memory: block `block` of `unit` columns of a named buffer.

    unit "" reads one element for a whole row (a buffer of width 1).
    """

    buffer: str
    block: int
    unit: str


@dataclass(frozen=True, eq=False)
class Expr:
    """An operator on expressions; `value` is a leaf or a number where it has no arguments."""

    op: str
    args: tuple[Expr, ...] = ()
    value: Any = None


class Pool:
    """Makes expressions, each once."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Expr] = {}

    def _intern(self, op: str, args: tuple[Expr, ...], value: Any = None) -> Expr:
        shown = repr(value) if isinstance(value, float) else value  # -0.0 is not 0.0
        key = (op, shown, *(id(a) for a in args))
        if key not in self._made:
            self._made[key] = Expr(op, args, value)
        return self._made[key]

    def leaf(self, buffer: str, block: int, unit: str) -> Expr:
        return self._intern("leaf", (), Leaf(buffer, block, unit))

    def number(self, value: float) -> Expr:
        return self._intern("number", (), float(value))

    def __call__(self, op: str, *args: Expr) -> Expr:
        """An expression; sums and products with 0 and 1 that adjoints make are left out."""
        numbers = [a.value if a.op == "number" else None for a in args]
        if op == "mul" and 1.0 in numbers:
            return args[1 - numbers.index(1.0)]
        if op == "neg" and args[0].op == "neg":
            return args[0].args[0]
        return self._intern(op, args)


def total(make: Pool, a: Expr | None, b: Expr | None) -> Expr | None:
    """a + b, where None is zero."""
    if a is None or b is None:
        return a or b
    return make("add", a, b)


def ordered(roots: Iterable[Expr]) -> list[Expr]:
    """All expressions below the roots, arguments first."""
    found: dict[int, Expr] = {}
    for root in roots:
        stack = [(root, False)]
        while stack:
            e, ready = stack.pop()
            if id(e) in found:
                continue
            if ready:
                found[id(e)] = e
                continue
            stack.append((e, True))
            stack.extend((a, False) for a in e.args if id(a) not in found)
    return list(found.values())


Gradient = Callable[[Pool, Expr, Expr], tuple[Expr | None, ...]]


class Operator(NamedTuple):
    """C of a value ({0}, {1} are arguments) and how its adjoint g reaches its arguments."""

    c: str
    gradient: Gradient
    truth: bool = False  # its value is true or false


def _none(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
    return (None,) * len(e.args)


def _product(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
    a, b = e.args
    return make("mul", g, b), make("mul", g, a)


def _quotient(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
    b = e.args[1]
    return make("div", g, b), make("neg", make("div", make("mul", g, e), b))


def _choice(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
    c, zero = e.args[0], make.number(0.0)
    return None, make("where", c, g, zero), make("where", c, zero, g)


def _extreme(compare: str) -> Gradient:
    """torch halves the gradient where both arguments are equal."""

    def gradient(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
        a, b = e.args
        half, zero = make("mul", g, make.number(0.5)), make.number(0.0)
        tie = make("eq", a, b)

        def share(x: Expr, other: Expr) -> Expr:
            return make("where", tie, half, make("where", make(compare, x, other), g, zero))

        return share(a, b), share(b, a)

    return gradient


def _power(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
    x, n = e.args
    if n.op != "number":
        slope = make("mul", n, make("pow", x, make("sub", n, make.number(1.0))))
        return make("mul", g, slope), make("mul", g, make("mul", e, make("log", x)))
    if n.value == 0:
        return None, None
    if n.value == 1:
        return g, None
    rest = x if n.value == 2 else make("pow", x, make.number(n.value - 1))
    return make("mul", g, make("mul", n, rest)), None


def _remainder(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
    a, b = e.args
    return g, make("neg", make("mul", g, make("floor", make("div", a, b))))


def _times(slope: Callable[[Pool, Expr, Expr], Expr]) -> Gradient:
    """The gradient of a function y(x) from its slope, which is given x and y."""

    def gradient(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
        return (make("mul", g, slope(make, e.args[0], e)),)

    return gradient


def _one_minus(make: Pool, e: Expr) -> Expr:
    return make("sub", make.number(1.0), e)


_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}

OPERATORS: dict[str, Operator] = {
    "add": Operator("{0} + {1}", lambda make, e, g: (g, g)),
    "sub": Operator("{0} - {1}", lambda make, e, g: (g, make("neg", g))),
    "mul": Operator("{0} * {1}", _product),
    "div": Operator("{0} / {1}", _quotient),
    "neg": Operator("-{0}", lambda make, e, g: (make("neg", g),)),
    "sigmoid": Operator("k_sigmoid({0})", _times(lambda k, x, y: k("mul", y, _one_minus(k, y)))),
    "tanh": Operator("k_tanh({0})", _times(lambda k, x, y: _one_minus(k, k("mul", y, y)))),
    "exp": Operator("k_exp({0})", _times(lambda k, x, y: y)),
    "log": Operator("k_log({0})", lambda make, e, g: (make("div", g, e.args[0]),)),
    "sqrt": Operator(
        "k_sqrt({0})", lambda make, e, g: (make("div", g, make("mul", make.number(2.0), e)),)
    ),
    "sin": Operator("k_sin({0})", _times(lambda k, x, y: k("cos", x))),
    "cos": Operator("k_cos({0})", _times(lambda k, x, y: k("neg", k("sin", x)))),
    "erf": Operator(
        "k_erf({0})",
        _times(
            lambda k, x, y: k(
                "mul", k.number(2 / math.sqrt(math.pi)), k("exp", k("neg", k("mul", x, x)))
            )
        ),
    ),
    "log1p": Operator(
        "k_log1p({0})",
        lambda make, e, g: (make("div", g, make("add", e.args[0], make.number(1.0))),),
    ),
    "expm1": Operator("k_expm1({0})", _times(lambda k, x, y: k("add", y, k.number(1.0)))),
    "pow": Operator("k_pow({0}, {1})", _power),
    "abs": Operator("k_abs({0})", _times(lambda k, x, y: k("sign", x))),
    "sign": Operator("({0} > 0) - ({0} < 0)", _none),
    "floor": Operator("k_floor({0})", _none),
    "ceil": Operator("k_ceil({0})", _none),
    "round": Operator("k_round({0})", _none),
    "trunc": Operator("k_trunc({0})", _none),
    "remainder": Operator("{0} - {1} * k_floor({0} / {1})", _remainder),
    "where": Operator("{0} ? {1} : {2}", _choice),
    "maximum": Operator("({0} > {1} || {0} != {0}) ? {0} : {1}", _extreme("gt")),
    "minimum": Operator("({0} < {1} || {0} != {0}) ? {0} : {1}", _extreme("lt")),
    "number_of": Operator("(real)({0})", _none),
    "both": Operator("{0} & {1}", _none, truth=True),
    "either": Operator("{0} | {1}", _none, truth=True),
    "not": Operator("!{0}", _none, truth=True),
    **{name: Operator(f"{{0}} {sign} {{1}}", _none, truth=True) for name, sign in _COMPARE.items()},
}


def adjoints(make: Pool, targets: Iterable[tuple[Expr, Expr]]) -> dict[Expr, Expr]:
    """The adjoint of every leaf below the targets, given (expression, its adjoint) of each."""
    targets = list(targets)
    found: dict[int, Expr | None] = {}
    for e, given in targets:
        found[id(e)] = total(make, found.get(id(e)), given)
    leaves: dict[Expr, Expr] = {}
    for e in reversed(ordered(e for e, _ in targets)):
        g = found.get(id(e))
        if g is None:
            continue
        if e.op == "leaf":
            leaves[e] = g
        elif e.op != "number":
            for argument, share in zip(e.args, OPERATORS[e.op].gradient(make, e, g), strict=True):
                if share is not None:
                    found[id(argument)] = total(make, found.get(id(argument)), share)
    return leaves
