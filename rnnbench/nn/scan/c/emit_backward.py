"""The backward function of the emitted C."""

from __future__ import annotations

from rnnbench.nn.scan.c.expressions import Expr, adjoints, ordered
from rnnbench.nn.scan.c.loops import ElementLoop, LoopPlan
from rnnbench.nn.scan.c.syntax import Writer, states
from rnnbench.nn.scan.trace_step import Unsupported


def backward(w: Writer) -> tuple[list[str], list[str], dict[str, int]]:
    plan = w.plan
    loops: list[tuple[ElementLoop, dict[Expr, Expr]]] = []
    writes: dict[str, set[tuple[int, int]]] = {}  # of an adjoint buffer: loops and blocks
    sums: dict[str, int] = {}
    for same in plan.loops:
        for loop in same:
            grads = _adjoints(plan, loop)
            loops.append((loop, grads))
            for leaf in grads:
                writes.setdefault(_adjoint(plan, leaf.value.buffer), set()).add(
                    (id(loop), leaf.value.block)
                )
                if leaf.value.buffer[0] == "c":
                    _check_sum(plan, leaf, loop, sums)
    clear = [b for b in _kept(plan) if not _whole(plan, b, writes.get(b, set()))]
    add = set(clear)
    read = ["p", *states(plan), *(f"n{i}" for i in range(plan.noise))]
    read += [f"c{i}" for i in range(len(plan.kinds))] + [f"q{p.index}" for p in plan.products]
    pointers = [*read, "dy", *_kept(plan), *(f"d{i}" for i in range(plan.states))]
    pointers += [f"du{p.index}" for p in plan.products if p.u[0] == "u"]
    pointers += [f"g{p.index}" for p in plan.products]
    for c in sums:
        pointers += [f"f{c}"] if plan.kinds[int(c[1:])] == "full" else [f"r{c}", f"t{c}"]
    lines = w.opening("backward", pointers)
    for p in plan.products:
        i = p.index
        lines.append(f"  pack(w_{p.u}, w_q{i}, c{p.weight}, cs_{i}, rs_{i}, g{i});")
    lines.append("  for (int64_t t = T; t-- > 0;) {")
    for b in clear:
        where = b if b[0] == "e" else f"{b} + t * B * w_{b[1:]}"
        lines.append(f"    memset({where}, 0, sizeof(real) * B * w_{_primal(b)});")
    partial = {c: f"w_{c}" for c in sums if plan.kinds[int(c[1:])] != "full"}
    for c in partial:
        if plan.kinds[int(c[1:])] == "scalar":
            partial[c] = w.units[sums[c]]
        lines.append(f"    memset(t{c}, 0, sizeof(real) * {partial[c]});")
    for level in range(len(plan.loops), 0, -1):
        for p in plan.products:
            if p.level == level:
                lines.append(_backward_product(p.index, p.u))
        for loop, grads in loops:
            if loop in plan.loops[level - 1]:
                lines += _backward_loop(w, loop, grads, add)
    for c, width in partial.items():
        lines.append(f"    for (int64_t j = 0; j < {width}; j++) r{c}[j] += t{c}[j];")
    for i in range(plan.states):
        lines.append(f"    {{ real *const x = d{i}; d{i} = e{i}; e{i} = x; }}")
    return [*lines, "  }", "}"], pointers, sums


def _adjoint(plan: LoopPlan, buffer: str) -> str:
    """Where the adjoint of a buffer's elements is kept."""
    if buffer[0] == "s":
        return f"e{buffer[1:]}"
    return f"f{buffer}" if buffer[0] == "c" else f"d{buffer}"


def _primal(adjoint: str) -> str:
    return f"s{adjoint[1:]}" if adjoint[0] == "e" else adjoint[1:]


def _kept(plan: LoopPlan) -> list[str]:
    """Adjoints of all that every step reads: old states, products, and p where it is no part."""
    kept = [f"e{i}" for i in range(plan.states)] + [f"dq{p.index}" for p in plan.products]
    return kept if plan.merged else [*kept, "dp"]


def _whole(plan: LoopPlan, buffer: str, writes: set[tuple[int, int]]) -> bool:
    """Whether one loop writes all of a row, so that it can assign rather than add."""
    by = {loop for loop, _ in writes}
    if len(by) != 1:
        return False
    unit = next(x.unit for level in plan.loops for x in level if id(x) in by)
    return len(writes) * unit == plan.widths[_primal(buffer)]


def _adjoints(plan: LoopPlan, loop: ElementLoop) -> dict[Expr, Expr]:
    """The adjoint of every leaf that a loop reads and that needs one."""
    make, targets = plan.make, []
    for t in loop.targets:
        unit = f"U{loop.unit}" if plan.widths[t.buffer] > 1 else ""
        g = make.leaf("dy" if t.buffer == "y" else f"d{t.buffer}", t.block, unit)
        if t.state and plan.y == t.buffer:
            g = make("add", g, make.leaf("dy", t.block, unit))
        targets.append((t.value, g))
    found = adjoints(make, targets)
    for q, whole in plan.merged.items():
        if q in found:
            for e in ordered([whole]):
                if e.op == "leaf" and e.value.buffer[0] == "c":
                    found[e] = make("add", found[e], found[q]) if e in found else found[q]
    return {e: g for e, g in found.items() if _needed(plan, e.value.buffer)}


def _needed(plan: LoopPlan, buffer: str) -> bool:
    if buffer in plan.truths or buffer[0] == "n":
        return False
    return buffer[0] != "c" or plan.wanted[int(buffer[1:])]


def _check_sum(plan: LoopPlan, leaf: Expr, loop: ElementLoop, sums: dict[str, int]) -> None:
    c = leaf.value.buffer
    kind = plan.kinds[int(c[1:])]
    if kind == "full" and leaf.value.unit == "" and loop.unit != 1:
        raise Unsupported("a column's gradient is a sum over units")
    width = max(loop.unit, sums.get(c, 0)) if kind == "scalar" else plan.widths[c]
    sums[c] = width


def _backward_loop(
    w: Writer, loop: ElementLoop, grads: dict[Expr, Expr], add: set[str]
) -> list[str]:
    plan, unit = w.plan, w.units[loop.unit]
    heads, body = {}, []
    for e in ordered(grads.values()):
        if e.op == "leaf":
            b = e.value.buffer
            if b == "dy":
                row = f"dy + (t * B + b) * w_{plan.y}"
            elif b[0] == "d" and b[1] == "s":
                row = f"d{b[2:]} + b * w_{b[1:]}"
            elif b[0] == "d":
                row = f"{b} + b * w_{b[1:]}"
            else:
                row = w.row(b)
            kind = "uint8_t" if b in plan.truths else "real"
            heads[f"{b}_"] = f"{kind} *const {b}_ = {row};"
    lines, names = w.statements(grads.values(), unit, {})
    body += lines
    for leaf, g in grads.items():
        b = leaf.value.buffer
        adjoint = _adjoint(plan, b)
        if b[0] == "c":
            full = plan.kinds[int(b[1:])] == "full"
            target = f"f{b}" if full else f"t{b}"
            heads[f"{target}_"] = (
                f"real *const {target}_ = {target}{f' + b * w_{b}' if full else ''};"
            )
            place = w.place(leaf.value, unit).replace(f"{b}_", f"{target}_", 1)
            if plan.kinds[int(b[1:])] == "scalar":
                place = f"{target}_[j]"
            body.append(f"{place} += {names[g]};")
            continue
        if leaf.value.unit == "" and loop.unit != 1:
            raise Unsupported("a column's gradient is a sum over units")
        where = (
            f"{adjoint} + b * w_{b}" if adjoint[0] == "e" else f"{adjoint} + (t * B + b) * w_{b}"
        )
        heads[f"{adjoint}_"] = f"real *const {adjoint}_ = {where};"
        place = w.place(leaf.value._replace(buffer=adjoint), unit)
        body.append(f"{place} {'+=' if adjoint in add else '='} {names[g]};")
    return w.loop(loop.unit, heads.values(), body)


def _backward_product(i: int, u: str) -> str:
    out, add = (f"e{u[1:]}", 1) if u[0] == "s" else (f"du{i}", 0)
    return (
        f"    mul(B, w_{u}, w_q{i}, dq{i} + t * B * w_q{i}, w_q{i}, 1, g{i}, {out}, w_{u}, {add});"
    )
