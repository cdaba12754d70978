"""Pieces of C: a plan's loops over rows and columns, and expressions as statements."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rnnbench.nn.scan.c.buffers import Buffer, BufferKind, Size, SizeKind
from rnnbench.nn.scan.c.expressions import OPERATORS, Expr, Leaf, ordered
from rnnbench.nn.scan.c.loops import LoopPlan
from rnnbench.nn.scan.unsupported import Unsupported


class Writer:
    """A writer of a plan's loops, rows and statements in C.

    Attributes:
        units: the name of each loop's number of columns.
        sizes: the numbers that the C is given, in order.
    """

    def __init__(self, plan: LoopPlan):
        self.plan = plan
        units = sorted({loop.unit for level in plan.loops for loop in level})
        self.units = {unit: f"U{i}" for i, unit in enumerate(units)}
        self.sizes = [Size(SizeKind.STEPS), Size(SizeKind.ROWS)]
        self.sizes += [Size(SizeKind.UNIT, unit) for unit in units]
        self.sizes += [Size(SizeKind.WIDTH, b) for b in plan.widths if not self._is_weight(b)]
        for product in plan.products:
            self.sizes.append(Size(SizeKind.ROW_STRIDE, product.index))
            self.sizes.append(Size(SizeKind.COLUMN_STRIDE, product.index))

    def _is_weight(self, buffer: Buffer) -> bool:
        return buffer.kind is BufferKind.CONST and self.plan.form_of(buffer) == "weight"

    def name(self, size: Size) -> str:
        """Return the name of a size in C."""
        if size.kind is SizeKind.UNIT:
            assert isinstance(size.of, int)
            return self.units[size.of]
        return size.kind.value if size.of is None else f"{size.kind.value}_{size.of}"

    def c_type(self, buffer: Buffer) -> str:
        """Return the type of a buffer's elements."""
        return "uint8_t" if buffer in self.plan.truths else "real"

    def opening(self, name: str, pointers: list[Buffer]) -> list[str]:
        """Return the head of a function, which names its numbers and pointers."""
        lines = [f"void {name}(const int64_t *number, void *const *pointer) {{"]
        for i, size in enumerate(self.sizes):
            symbol = self.name(size)
            lines.append(f"  const int64_t {symbol} = number[{i}]; (void){symbol};")
        lines += ["  multiply mul; packing pack; memcpy(&mul, &pointer[0], sizeof mul);"
                  " memcpy(&pack, &pointer[1], sizeof pack); (void)mul; (void)pack;"]  # fmt: skip
        for i, buffer in enumerate(pointers, 2):
            lines.append(f"  {self.c_type(buffer)} *{buffer} = pointer[{i}]; (void){buffer};")
        return lines

    def row(self, buffer: Buffer, new: bool = False) -> str:
        """Return where row b of step t begins; of a state, that of the step before unless new."""
        form = self.plan.form_of(buffer) if buffer.kind is BufferKind.CONST else ""
        if form == "weight":
            raise Unsupported("a matrix is used in a product and element by element")
        if form in ("row", "scalar"):
            return f"{buffer}"
        if form == "full":
            return f"{buffer} + b * w_{buffer}"
        if buffer.kind is BufferKind.STATE and not new:
            start = buffer.of_kind(BufferKind.START)
            return f"(t ? {buffer} + ((t - 1) * B + b) * w_{buffer} : {start} + b * w_{buffer})"
        return f"{buffer} + (t * B + b) * w_{buffer}"

    def place(self, leaf: Leaf, unit: str) -> str:
        """Return the element of a leaf at column j of a row, which is called like its buffer."""
        if leaf.unit is None:
            return f"{leaf.buffer}_[0]"
        return f"{leaf.buffer}_[{leaf.block} * {unit} + j]"

    def statements(self, roots: Iterable[Expr], unit: str, known: dict[Expr, str]) -> tuple[
        list[str], dict[Expr, str]
    ]:  # fmt: skip
        """Return C that computes the roots, and the name of each expression in it.

        Args:
            known: names of expressions that are computed already.
        """
        names, lines = dict(known), []
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
        """Return a loop over rows, which begins with `heads`, and over a unit's columns."""
        return [
            "    for (int64_t b = 0; b < B; b++) {",
            *(f"      {head}" for head in heads),
            "#pragma GCC ivdep",
            f"      for (int64_t j = 0; j < {self.units[unit]}; j++) {{",
            *(f"        {line}" for line in body),
            "      }",
            "    }",
        ]

    def head(self, buffer: Buffer, row: str) -> str:
        """Return the declaration of a buffer's row."""
        return f"{self.c_type(buffer)} *const {buffer}_ = {row};"

    def heads(self, exprs: Iterable[Expr]) -> dict[str, str]:
        """Return declarations of the rows that some expressions read, by the row's name."""
        leaves = [e.value.buffer for e in ordered(exprs) if e.op == "leaf"]
        return {f"{buffer}_": self.head(buffer, self.row(buffer)) for buffer in leaves}


def literal(value: float) -> str:
    """Return a number in C."""
    if math.isnan(value):
        return "((real)NAN)"
    if math.isinf(value):
        return "((real)INFINITY)" if value > 0 else "(-(real)INFINITY)"
    return f"((real){value!r})"


def states(plan: LoopPlan) -> list[Buffer]:
    """Return the buffers of the states after each step, each with that before the first."""
    return [
        Buffer(kind, i)
        for i in range(plan.n_states)
        for kind in (BufferKind.STATE, BufferKind.START)
    ]
