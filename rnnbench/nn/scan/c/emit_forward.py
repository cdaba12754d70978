"""A plan as C: one function that runs all steps forward, and one that runs them backward.

Sizes are arguments, so that one build serves every width, batch and length.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rnnbench.nn.scan.c.emit_backward import backward
from rnnbench.nn.scan.c.expressions import Expr
from rnnbench.nn.scan.c.loops import ElementLoop, LoopPlan
from rnnbench.nn.scan.c.math_functions import MATHS
from rnnbench.nn.scan.c.syntax import Writer, states


@dataclass
class CSource:
    """C, and the names of its arguments in order.

    Attributes:
        numbers: `T`, `B`, `unit:U` by unit, `w_x` width of buffer x, `rs_i`/`cs_i` strides of the
            matrix of product i.
        pointers: buffers by name; `g0` is room for a packed matrix.
        sums: consts whose gradient is added up, with the width of their buffer.
    """

    text: str
    numbers: list[str]
    forward: list[str]
    backward: list[str]
    sums: dict[str, int] = field(default_factory=dict)


def forward(w: Writer) -> tuple[list[str], list[str]]:
    plan = w.plan
    read = [f"c{i}" for i in range(len(plan.kinds))]
    pointers = ["p", *states(plan), *(f"n{i}" for i in range(plan.noise))]
    pointers += read + [f"q{p.index}" for p in plan.products]
    pointers += [p.u for p in plan.products if p.u[0] == "u"]
    pointers += ["y"] * (plan.y == "y") + [f"g{p.index}" for p in plan.products]
    lines = w.opening("forward", pointers)
    for p in plan.products:
        i = p.index
        lines.append(f"  pack(w_q{i}, w_{p.u}, c{p.weight}, rs_{i}, cs_{i}, g{i});")
    lines.append("  for (int64_t t = 0; t < T; t++) {")
    for level, loops in enumerate(plan.loops, 1):
        for loop in loops:
            lines += _forward_loop(w, loop)
        for p in plan.products:
            if p.level == level:
                q, u = f"q{p.index}", p.u
                u_t = f"{u} + t * B * w_{u}"
                if u[0] == "s":
                    u_t = f"(t ? {u} + (t - 1) * B * w_{u} : o{u})"
                lines.append(
                    f"    mul(B, w_{q}, w_{u}, {u_t}, w_{u}, 1, g{p.index}, "
                    f"{q} + t * B * w_{q}, w_{q}, 0);"
                )
    return [*lines, "  }", "}"], pointers


def _forward_loop(w: Writer, loop: ElementLoop) -> list[str]:
    plan, unit = w.plan, w.units[loop.unit]
    roots = [t.value for t in loop.targets]
    heads = w.heads(roots)
    body: list[str] = []
    given: dict[Expr, str] = {}
    if plan.merged:
        wholes = list(plan.merged.values())
        heads |= w.heads(wholes)
        body, given = w.statements(wholes, unit, {})
        for q, whole in plan.merged.items():
            body.append(f"{w.place(q.value, unit)} = {given[whole]};")
        given |= {q: given[whole] for q, whole in plan.merged.items()}
    more, names = w.statements(roots, unit, given)
    body = body + more
    for t in loop.targets:
        name = f"{t.buffer}{'n' if t.state else ''}_"
        heads[name] = f"real *const {name} = {w.row(t.buffer, new=t.state)};"
        body.append(f"{name}[{t.block} * {unit} + j] = {names[t.value]};")
    return w.loop(loop.unit, heads.values(), body)


def emit(plan: LoopPlan) -> CSource:
    """The C of a plan.

    Raises:
        Unsupported: a gradient in it is a sum over units.
    """
    writer = Writer(plan)
    ahead, forward_pointers = forward(writer)
    behind, backward_pointers, sums = backward(writer)
    text = "\n".join([MATHS, *ahead, *behind, ""])
    return CSource(text, writer.numbers, forward_pointers, backward_pointers, sums)
