"""Pieces of C: a plan's loops over rows and columns, and expressions as statements."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rnnbench.nn.scan.c.expressions import OPERATORS, Expr, Leaf, ordered
from rnnbench.nn.scan.c.loops import LoopPlan
from rnnbench.nn.scan.trace_step import Unsupported


class Writer:
    """Loops, rows and statements of a plan."""

    def __init__(self, plan: LoopPlan):
        self.plan = plan
        units = sorted({loop.unit for level in plan.loops for loop in level})
        self.units = {unit: f"U{i}" for i, unit in enumerate(units)}
        self.numbers = ["T", "B", *(f"unit:{u}" for u in units)]
        self.numbers += [f"w_{b}" for b in plan.widths if not self._is_weight(b)]
        for product in plan.products:
            self.numbers += [f"rs_{product.index}", f"cs_{product.index}"]
        self.pointers: list[str] = []

    def _is_weight(self, buffer: str) -> bool:
        return buffer[0] == "c" and self.plan.kinds[int(buffer[1:])] == "weight"

    def opening(self, name: str, pointers: list[str]) -> list[str]:
        lines = [f"void {name}(const int64_t *number, void *const *pointer) {{"]
        for i, number in enumerate(self.numbers):
            symbol = self.units[int(number[5:])] if number.startswith("unit:") else number
            lines.append(f"  const int64_t {symbol} = number[{i}]; (void){symbol};")
        lines += ["  multiply mul; packing pack; memcpy(&mul, &pointer[0], sizeof mul);"
                  " memcpy(&pack, &pointer[1], sizeof pack); (void)mul; (void)pack;"]  # fmt: skip
        for i, buffer in enumerate(pointers, 2):
            kind = "uint8_t" if buffer in self.plan.truths else "real"
            lines.append(f"  {kind} *{buffer} = pointer[{i}]; (void){buffer};")
        return lines

    def row(self, buffer: str, new: bool = False) -> str:
        """Where the row b of step t begins; of a state, that of the step before unless new."""
        kind = self.plan.kinds[int(buffer[1:])] if buffer[0] == "c" else ""
        if kind == "weight":
            raise Unsupported("a matrix is used in a product and element by element")
        if kind in ("row", "scalar"):
            return buffer
        if kind == "full":
            return f"{buffer} + b * w_{buffer}"
        if buffer[0] == "s" and not new:
            return f"(t ? {buffer} + ((t - 1) * B + b) * w_{buffer} : o{buffer} + b * w_{buffer})"
        return f"{buffer} + (t * B + b) * w_{buffer}"

    def place(self, leaf: Leaf, unit: str, prefix: str = "") -> str:
        if leaf.unit == "":
            return f"{prefix}{leaf.buffer}_[0]"
        return f"{prefix}{leaf.buffer}_[{leaf.block} * {unit} + j]"

    def statements(self, roots: Iterable[Expr], unit: str, given: dict[Expr, str]) -> tuple[
        list[str], dict[Expr, str]
    ]:  # fmt: skip
        """C that computes the roots, and the name of each expression in it."""
        names, lines = dict(given), []
        for e in ordered(roots):
            if e in names:
                continue
            if e.op == "number":
                names[e] = literal(e.value)
                continue
            name = f"v{len(names)}"
            if e.op == "leaf":
                truth = e.value.buffer in self.plan.truths
                code = self.place(e.value, unit)
            else:
                operator = OPERATORS[e.op]
                truth = operator.truth
                code = operator.c.format(*(f"{names[a]}" for a in e.args))
            lines.append(f"const {'int' if truth else 'real'} {name} = {code};")
            names[e] = name
        return lines, names

    def loop(self, unit: int, heads: Iterable[str], body: list[str]) -> list[str]:
        return [
            "    for (int64_t b = 0; b < B; b++) {",
            *(f"      {head}" for head in heads),
            "#pragma GCC ivdep",
            f"      for (int64_t j = 0; j < {self.units[unit]}; j++) {{",
            *(f"        {line}" for line in body),
            "      }",
            "    }",
        ]

    def heads(self, exprs: Iterable[Expr]) -> dict[str, str]:
        """Declarations of the rows that some expressions read."""
        found = {}
        for e in ordered(exprs):
            if e.op == "leaf":
                b = e.value.buffer
                kind = "uint8_t" if b in self.plan.truths else "real"
                found[f"{b}_"] = f"{kind} *const {b}_ = {self.row(b)};"
        return found


def literal(value: float) -> str:
    if math.isnan(value):
        return "((real)NAN)"
    if math.isinf(value):
        return "((real)INFINITY)" if value > 0 else "(-(real)INFINITY)"
    return f"((real){value!r})"


def states(plan: LoopPlan) -> list[str]:
    """The states after each step, and those before the first."""
    return [f"{kind}{i}" for i in range(plan.states) for kind in ("s", "os")]
