"""A plan as C: one function that runs all steps forward, and one that runs them backward.

Sizes are arguments, so that one build serves every width, batch and length.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rnnbench.nn.scan.c.buffers import INPUT, OUTPUT, Buffer, BufferKind, Size
from rnnbench.nn.scan.c.emit_backward import backward
from rnnbench.nn.scan.c.expressions import Expr
from rnnbench.nn.scan.c.loops import ElementLoop, LoopPlan
from rnnbench.nn.scan.c.math_functions import MATHS
from rnnbench.nn.scan.c.syntax import Writer, states


@dataclass
class CSource:
    """The emitted C, and its arguments in order.

    Attributes:
        sizes: the numbers of both functions.
        forward, backward: the buffers of each function.
        sums: consts whose gradient is added up, with the width of their buffer.
    """

    text: str
    sizes: list[Size]
    forward: list[Buffer]
    backward: list[Buffer]
    sums: dict[Buffer, int] = field(default_factory=dict)


def forward(w: Writer) -> tuple[list[str], list[Buffer]]:
    """Return the lines of the function `forward`, and its buffers."""
    plan = w.plan
    pointers = [INPUT, *states(plan), *plan.buffers(BufferKind.NOISE)]
    pointers += plan.buffers(BufferKind.CONST) + plan.buffers(BufferKind.PRODUCT) + plan.factors
    pointers += [OUTPUT] * (plan.output == OUTPUT) + plan.buffers(BufferKind.PACKED)
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
                q, u = p.q, p.u
                u_t = f"{u} + t * B * w_{u}"
                if p.reads_state:
                    start = u.of_kind(BufferKind.START)
                    u_t = f"(t ? {u} + (t - 1) * B * w_{u} : {start})"
                lines.append(
                    f"    mul(B, w_{q}, w_{u}, {u_t}, w_{u}, 1, g{p.index}, "
                    f"{q} + t * B * w_{q}, w_{q}, 0);"
                )
    return [*lines, "  }", "}"], pointers


def _forward_loop(w: Writer, loop: ElementLoop) -> list[str]:
    """Return a loop that computes its targets."""
    plan, unit = w.plan, w.units[loop.unit]
    roots = [t.value for t in loop.targets]
    heads = w.heads(roots)
    body: list[str] = []
    known: dict[Expr, str] = {}
    if plan.merged:
        wholes = list(plan.merged.values())
        heads |= w.heads(wholes)
        body, known = w.statements(wholes, unit, {})
        for q, whole in plan.merged.items():
            body.append(f"{w.place(q.value, unit)} = {known[whole]};")
        known |= {q: known[whole] for q, whole in plan.merged.items()}
    more, names = w.statements(roots, unit, known)
    body = body + more
    for t in loop.targets:
        name = f"{t.buffer}{'n' if t.state else ''}_"
        heads[name] = f"real *const {name} = {w.row(t.buffer, new=t.state)};"
        body.append(f"{name}[{t.block} * {unit} + j] = {names[t.value]};")
    return w.loop(loop.unit, heads.values(), body)


def emit(plan: LoopPlan) -> CSource:
    """Write the C of a plan.

    Raises:
        Unsupported: a gradient in it is a sum over units.
    """
    writer = Writer(plan)
    forward_lines, forward_buffers = forward(writer)
    backward_lines, backward_buffers, sums = backward(writer)
    text = "\n".join([MATHS, *forward_lines, *backward_lines, ""])
    return CSource(text, writer.sizes, forward_buffers, backward_buffers, sums)
