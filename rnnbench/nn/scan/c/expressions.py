"""Expressions of one element, and their derivatives: what the emitted C computes.

An expression is interned, so equal ones are one object and are computed once. NaN goes through
every operator as it does in torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rnnbench.nn.scan.c.buffers import Buffer


class Leaf(NamedTuple):
    """An element that is read from memory: block `block` of `unit` columns of a buffer.

    Attributes:
        unit: None reads one element for a whole row (a buffer of width 1).
    """

    buffer: Buffer
    block: int
    unit: int | None


@dataclass(frozen=True, eq=False)
class Expr:
    """An operator on expressions; `value` is a leaf or a number where it has no arguments."""

    op: str
    args: tuple[Expr, ...] = ()
    value: Any = None


class Pool:
    """A maker of expressions, which makes equal ones once."""

    def __init__(self) -> None:
        self._expressions: dict[tuple[Any, ...], Expr] = {}

    def _intern(self, op: str, args: tuple[Expr, ...], value: Any = None) -> Expr:
        shown = repr(value) if isinstance(value, float) else value  # -0.0 is not 0.0
        key = (op, shown, *(id(a) for a in args))
        if key not in self._expressions:
            self._expressions[key] = Expr(op, args, value)
        return self._expressions[key]

    def leaf(self, buffer: Buffer, block: int, unit: int | None) -> Expr:
        """Return the expression that reads an element; see `Leaf`."""
        return self._intern("leaf", (), Leaf(buffer, block, unit))

    def number(self, value: float) -> Expr:
        """Return a constant."""
        return self._intern("number", (), float(value))

    def __call__(self, op: str, *args: Expr) -> Expr:
        """Return an operator on expressions; products with 1 and double negations are left out."""
        numbers = [a.value if a.op == "number" else None for a in args]
        if op == "mul" and 1.0 in numbers:
            return args[1 - numbers.index(1.0)]
        if op == "neg" and args[0].op == "neg":
            return args[0].args[0]
        return self._intern(op, args)


def total(make: Pool, a: Expr | None, b: Expr | None) -> Expr | None:
    """Return a + b, where None is zero."""
    if a is None or b is None:
        return a or b
    return make("add", a, b)


def ordered(roots: Iterable[Expr]) -> list[Expr]:
    """Return all expressions below the roots, arguments first."""
    done: dict[int, Expr] = {}
    for root in roots:
        stack = [(root, False)]
        while stack:
            e, ready = stack.pop()
            if id(e) in done:
                continue
            if ready:
                done[id(e)] = e
                continue
            stack.append((e, True))
            stack.extend((a, False) for a in e.args if id(a) not in done)
    return list(done.values())


Gradient = Callable[[Pool, Expr, Expr], tuple[Expr | None, ...]]


class Operator(NamedTuple):
    """An operator as C, and its derivative.

    Attributes:
        c: C of its value; {0}, {1} are its arguments.
        gradient: (pool, expression, its adjoint) -> adjoints of the arguments, None for zero.
        truth: its value is true or false.
    """

    c: str
    gradient: Gradient
    truth: bool = False


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
    """Return the gradient of a maximum or minimum; as in torch, equal arguments get half each."""

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
    lower = x if n.value == 2 else make("pow", x, make.number(n.value - 1))
    return make("mul", g, make("mul", n, lower)), None


def _remainder(make: Pool, e: Expr, g: Expr) -> tuple[Expr | None, ...]:
    a, b = e.args
    return g, make("neg", make("mul", g, make("floor", make("div", a, b))))


def _times(slope: Callable[[Pool, Expr, Expr], Expr]) -> Gradient:
    """Return the gradient of a function y(x) from its slope, which is a function of x and y."""

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
    """Return the adjoint of every leaf below the targets, which are (expression, its adjoint)."""
    targets = list(targets)
    sums: dict[int, Expr | None] = {}
    for e, adjoint in targets:
        sums[id(e)] = total(make, sums.get(id(e)), adjoint)
    leaves: dict[Expr, Expr] = {}
    for e in reversed(ordered(e for e, _ in targets)):
        g = sums.get(id(e))
        if g is None:
            continue
        if e.op == "leaf":
            leaves[e] = g
        elif e.op != "number":
            for argument, share in zip(e.args, OPERATORS[e.op].gradient(make, e, g), strict=True):
                if share is not None:
                    sums[id(argument)] = total(make, sums.get(id(argument)), share)
    return leaves
