"""The backward function of the emitted C."""

from __future__ import annotations

from rnnbench.nn.scan.c.buffers import (
    INPUT,
    INPUT_ADJOINT,
    OUTPUT_ADJOINT,
    Buffer,
    BufferKind,
    adjoint_of,
    adjoint_of_target,
    primal_of,
)
from rnnbench.nn.scan.c.expressions import Expr, adjoints, ordered
from rnnbench.nn.scan.c.loops import ElementLoop, LoopPlan, MatrixProduct
from rnnbench.nn.scan.c.syntax import Writer, states
from rnnbench.nn.scan.unsupported import Unsupported


def backward(w: Writer) -> tuple[list[str], list[Buffer], dict[Buffer, int]]:
    """Return the lines of the function `backward`, its buffers, and the consts that it sums.

    Raises:
        Unsupported: a gradient is a sum over units.
    """
    plan = w.plan
    loops: list[tuple[ElementLoop, dict[Expr, Expr]]] = []
    writes: dict[Buffer, set[tuple[int, int]]] = {}  # adjoint -> the loops and blocks that write it
    sums: dict[Buffer, int] = {}
    for level_loops in plan.loops:
        for loop in level_loops:
            grads = _adjoints(plan, loop)
            loops.append((loop, grads))
            for leaf in grads:
                buffer, block = leaf.value.buffer, leaf.value.block
                writes.setdefault(adjoint_of(buffer), set()).add((id(loop), block))
                if buffer.kind is BufferKind.CONST:
                    _add_sum(plan, leaf, loop, sums)
    kept = _kept(plan)
    cleared = [b for b in kept if not _one_loop_writes_all(plan, b, writes.get(b, set()))]
    pointers = [INPUT, *states(plan), *plan.buffers(BufferKind.NOISE)]
    pointers += plan.buffers(BufferKind.CONST) + plan.buffers(BufferKind.PRODUCT)
    pointers += [OUTPUT_ADJOINT, *kept, *plan.buffers(BufferKind.STATE_ADJOINT)]
    pointers += [adjoint_of_target(u) for u in plan.factors] + plan.buffers(BufferKind.PACKED)
    for c in sums:
        full = plan.form_of(c) == "full"
        kinds = [BufferKind.ROW_SUM] if full else [BufferKind.TOTAL_SUM, BufferKind.STEP_SUM]
        pointers += [c.of_kind(kind) for kind in kinds]
    lines = w.opening("backward", pointers)
    for p in plan.products:
        i = p.index
        lines.append(f"  pack(w_{p.u}, w_q{i}, c{p.weight}, cs_{i}, rs_{i}, g{i});")
    lines.append("  for (int64_t t = T; t-- > 0;) {")
    for b in cleared:
        width = f"w_{primal_of(b)}"
        where = f"{b}" if b.kind is BufferKind.OLD_STATE_ADJOINT else f"{b} + t * B * {width}"
        lines.append(f"    memset({where}, 0, sizeof(real) * B * {width});")
    widths = {
        c: w.units[width] if plan.form_of(c) == "scalar" else f"w_{c}"
        for c, width in sums.items()
        if plan.form_of(c) != "full"
    }
    for c, width in widths.items():
        step_sum = c.of_kind(BufferKind.STEP_SUM)
        lines.append(f"    memset({step_sum}, 0, sizeof(real) * {width});")
    for level in range(len(plan.loops), 0, -1):
        for p in plan.products:
            if p.level == level:
                lines.append(_backward_product(p))
        for loop, grads in loops:
            if loop in plan.loops[level - 1]:
                lines += _backward_loop(w, loop, grads, set(cleared))
    for c, width in widths.items():
        total, step_sum = c.of_kind(BufferKind.TOTAL_SUM), c.of_kind(BufferKind.STEP_SUM)
        lines.append(f"    for (int64_t j = 0; j < {width}; j++) {total}[j] += {step_sum}[j];")
    for i in range(plan.n_states):
        lines.append(f"    {{ real *const x = d{i}; d{i} = e{i}; e{i} = x; }}")
    return [*lines, "  }", "}"], pointers, sums


def _kept(plan: LoopPlan) -> list[Buffer]:
    """Return adjoints of all that every step reads: old states, products, and p if not merged."""
    kept = plan.buffers(BufferKind.OLD_STATE_ADJOINT) + plan.buffers(BufferKind.PRODUCT_ADJOINT)
    return kept if plan.merged else [*kept, INPUT_ADJOINT]


def _one_loop_writes_all(plan: LoopPlan, buffer: Buffer, writes: set[tuple[int, int]]) -> bool:
    """Tell whether one loop writes all of a row, so that it can assign rather than add."""
    by = {loop for loop, _ in writes}
    if len(by) != 1:
        return False
    unit = next(x.unit for level in plan.loops for x in level if id(x) in by)
    return len(writes) * unit == plan.widths[primal_of(buffer)]


def _adjoints(plan: LoopPlan, loop: ElementLoop) -> dict[Expr, Expr]:
    """Return the adjoint of every leaf that a loop reads and that needs one."""
    make, targets = plan.make, []
    for t in loop.targets:
        unit = loop.unit if plan.widths[t.buffer] > 1 else None
        g = make.leaf(adjoint_of_target(t.buffer), t.block, unit)
        if t.state and plan.output == t.buffer:
            g = make("add", g, make.leaf(OUTPUT_ADJOINT, t.block, unit))
        targets.append((t.value, g))
    grads = adjoints(make, targets)
    for q, whole in plan.merged.items():
        if q in grads:
            for e in ordered([whole]):
                if e.op == "leaf" and e.value.buffer.kind is BufferKind.CONST:
                    grads[e] = make("add", grads[e], grads[q]) if e in grads else grads[q]
    return {e: g for e, g in grads.items() if _needs_grad(plan, e.value.buffer)}


def _needs_grad(plan: LoopPlan, buffer: Buffer) -> bool:
    if buffer in plan.truths or buffer.kind is BufferKind.NOISE:
        return False
    return buffer.kind is not BufferKind.CONST or plan.needs_grad[buffer.number]


def _add_sum(plan: LoopPlan, leaf: Expr, loop: ElementLoop, sums: dict[Buffer, int]) -> None:
    """Note that the gradient of a const is summed, and how wide its buffer has to be."""
    c = leaf.value.buffer
    form = plan.form_of(c)
    if form == "full" and leaf.value.unit is None and loop.unit != 1:
        raise Unsupported("a column's gradient is a sum over units")
    sums[c] = max(loop.unit, sums.get(c, 0)) if form == "scalar" else plan.widths[c]


def _row(w: Writer, buffer: Buffer) -> str:
    """Return where row b of step t begins, for what a backward loop reads."""
    if buffer == OUTPUT_ADJOINT:
        return f"{buffer} + (t * B + b) * w_{w.plan.output}"
    if buffer.kind is BufferKind.STATE_ADJOINT:
        return f"{buffer} + b * w_{buffer.of_kind(BufferKind.STATE)}"
    if buffer.kind is BufferKind.FACTOR_ADJOINT:
        return f"{buffer} + b * w_{buffer.of_kind(BufferKind.FACTOR)}"
    return w.row(buffer)


def _backward_loop(
    w: Writer, loop: ElementLoop, grads: dict[Expr, Expr], cleared: set[Buffer]
) -> list[str]:
    """Return a loop that computes the gradients of what it reads.

    Args:
        cleared: buffers to which it adds; others it writes.
    """
    plan, unit = w.plan, w.units[loop.unit]
    heads: dict[str, str] = {}
    for e in ordered(grads.values()):
        if e.op == "leaf":
            buffer = e.value.buffer
            heads[f"{buffer}_"] = w.head(buffer, _row(w, buffer))
    body, names = w.statements(grads.values(), unit, {})
    for leaf, g in grads.items():
        buffer = leaf.value.buffer
        if buffer.kind is BufferKind.CONST:
            form = plan.form_of(buffer)
            target = buffer.of_kind(BufferKind.ROW_SUM if form == "full" else BufferKind.STEP_SUM)
            row = f"{target} + b * w_{buffer}" if form == "full" else f"{target}"
            heads[f"{target}_"] = w.head(target, row)
            place = w.place(leaf.value._replace(buffer=target), unit)
            if form == "scalar":
                place = f"{target}_[j]"
            body.append(f"{place} += {names[g]};")
            continue
        if leaf.value.unit is None and loop.unit != 1:
            raise Unsupported("a column's gradient is a sum over units")
        adjoint = adjoint_of(buffer)
        at_row = "b" if adjoint.kind is BufferKind.OLD_STATE_ADJOINT else "(t * B + b)"
        heads[f"{adjoint}_"] = w.head(adjoint, f"{adjoint} + {at_row} * w_{buffer}")
        place = w.place(leaf.value._replace(buffer=adjoint), unit)
        body.append(f"{place} {'+=' if adjoint in cleared else '='} {names[g]};")
    return w.loop(loop.unit, heads.values(), body)


def _backward_product(p: MatrixProduct) -> str:
    """Return the product that gives the adjoint of u; that of a state is added to."""
    i, u = p.index, p.u
    out = adjoint_of(u) if p.reads_state else adjoint_of_target(u)
    add = int(p.reads_state)
    return (
        f"    mul(B, w_{u}, w_q{i}, dq{i} + t * B * w_q{i}, w_q{i}, 1, g{i}, {out}, w_{u}, {add});"
    )
