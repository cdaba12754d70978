"""The inductor tier: one step and its derivative compiled, in a loop over time. CPU and GPU.

What it compiles does not know the number of steps. Products by constant matrices stay apart in
the derivative, so that the gradient of a matrix is one product over all steps.
"""

from __future__ import annotations

import functools
import shutil
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from rnnbench.nn.scan.autograd import ScanOutput
from rnnbench.nn.scan.c.compiler import compiler
from rnnbench.nn.scan.trace_step import KernelFailed, TracedStep, Unsupported

Compute = Callable[[list[Tensor]], Sequence[Tensor]]


@functools.cache
def available(device: str) -> str:
    """ "" where inductor can compile for a device, else why it cannot."""
    if device == "cuda":
        try:
            import triton  # noqa: F401
        except ImportError:
            return "triton is not installed"
        return ""
    if device != "cpu":
        return f"inductor is not used on {device}"
    if compiler() is None or not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        return "no C++ compiler was found (g++ or clang++)"
    return ""


class Compiled:
    """A step and its derivative, compiled by inductor.

    Args:
        wanted: which consts need a gradient.
    Raises:
        Unsupported: there is no compiler for the device.
        Failed: inductor refuses the step.
    """

    tier = "inductor"

    def __init__(self, step: TracedStep, wanted: tuple[bool, ...]):
        value = step.p.meta["val"]
        reason = available(value.device.type)
        if reason:
            raise Unsupported(reason)
        self.step, self.wanted = step, wanted
        self.real = [i for i, s in enumerate(step.states) if _of(s).is_floating_point()]
        matrices = {site.weight for site in step.sites}
        # Consts whose gradient is added up step by step, beside the matrices of products.
        self.summed = [
            i
            for i, c in enumerate(step.consts)
            if wanted[i] and (i not in matrices or _read(step, c))
        ]
        leaves = [step.p, *step.states, *step.noise, *step.consts]
        more = [site.node for site in step.sites] + [step.outputs[0]]
        more += [step.states[i] for i in self.real] + [step.consts[i] for i in self.summed]
        try:
            self.ahead = _compile(self._ahead, [_example(n) for n in leaves])
            self.back = _compile(self._back, [_example(n) for n in (*leaves, *more)])
        except Unsupported:
            raise
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            raise KernelFailed(f"inductor refuses it: {type(error).__name__}: {first}") from error

    # ------------------------------------------------------------------------- what is compiled

    def _ahead(self, *inputs: Tensor) -> list[Tensor]:
        """Outputs, new states, products, and what the products read where it is no state."""
        step = self.step
        leaves = [step.p, *step.states, *step.noise, *step.consts]
        wanted = [*step.outputs, *(s.node for s in step.sites)]
        wanted += [s.u for s in step.sites if s.u not in step.states]
        return evaluate(dict(zip(leaves, inputs, strict=True)), wanted)

    def _back(self, *inputs: Tensor) -> list[Tensor]:
        """The adjoints of p, of the old states and of the products, and the sums of the consts'."""
        step, sites = self.step, self.step.sites
        leaves = [step.p, *step.states, *step.noise, *step.consts]
        given: dict[fx.Node, Tensor] = dict(zip(leaves, inputs, strict=False))
        rest = list(inputs[len(leaves) :])
        for site in sites:
            given[site.node] = rest.pop(0)
        ends = [rest.pop(0) for _ in range(1 + len(self.real))]
        news = [step.outputs[0], *(step.outputs[1 + i] for i in self.real)]
        learnt = [step.p, *(step.states[i] for i in self.real), *(s.node for s in sites)]
        learnt += [step.consts[i] for i in self.summed]
        found: dict[fx.Node, Tensor] = {}
        _pull(given, news, ends, learnt, found)
        depth = _depths(step)
        for site in sorted(sites, key=lambda s: -depth[s.node]):
            weight = given[step.consts[site.weight]]
            if site.node in found:
                du = found[site.node] @ weight.t()
                _pull(given, [site.u], [du], learnt, found)
        adjoints = [found[n] if n in found else torch.zeros_like(given[n]) for n in learnt]
        sums = len(self.summed)
        added = [a + b for a, b in zip(adjoints[len(adjoints) - sums :], rest, strict=True)]
        return [*adjoints[: len(adjoints) - sums], *added]

    # ------------------------------------------------------------------------------ all the steps

    def forward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor],
    ) -> ScanOutput:  # fmt: skip
        """Run all steps; what backward needs is in `kept`, step after step."""
        n_states, sites = len(states), self.step.sites
        state, fixed = [s.contiguous() for s in states], [c.contiguous() for c in consts]
        outputs, kept = [], []
        for p_BG, *draws in zip(p.unbind(), *(n.unbind() for n in noise), strict=True):
            kept += state
            y, *rest = self.ahead([p_BG, *state, *draws, *fixed])
            outputs.append(y)
            kept += rest[n_states : n_states + len(sites)]
            own = iter(rest[n_states + len(sites) :])
            # A product that reads a state reads what was kept of it.
            kept += [next(own) for s in sites if s.u not in self.step.states]
            state = list(rest[:n_states])
        return ScanOutput(torch.stack(outputs), tuple(s.clone() for s in state), kept)

    def backward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor], kept: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:  # fmt: skip
        """The gradients of p, of the states at the start, and of the consts."""
        step, sites = self.step, self.step.sites
        n_states, n_own = len(step.states), sum(s.u not in step.states for s in sites)
        each = n_states + len(sites) + n_own
        fixed, dy = [c.contiguous() for c in consts], dy.contiguous()
        adjoint = [dfinals[i].contiguous() for i in self.real]
        sums = [torch.zeros_like(fixed[i]) for i in self.summed]
        dps, dqs = [], []
        ps, dys, draws = p.unbind(), dy.unbind(), [n.unbind() for n in noise]
        for t in range(p.shape[0] - 1, -1, -1):
            now = kept[t * each : (t + 1) * each]
            old, products = now[:n_states], now[n_states : n_states + len(sites)]
            dp, *rest = self.back(
                [ps[t], *old, *(n[t] for n in draws), *fixed, *products, dys[t], *adjoint, *sums]
            )
            dps.append(dp)
            adjoint = rest[: len(self.real)]
            dqs.append(rest[len(self.real) : len(self.real) + len(sites)])
            sums = rest[len(self.real) + len(sites) :]
        dps.reverse()
        dqs.reverse()
        starts: list[Tensor | None] = [None] * n_states
        for i, d in zip(self.real, adjoint, strict=True):
            starts[i] = d
        grads: list[Tensor | None] = [None] * len(consts)
        for i, total in zip(self.summed, sums, strict=True):
            grads[i] = total
        own = 0
        for k, site in enumerate(sites):
            if site.u in step.states:
                place = step.states.index(site.u)
            else:
                place, own = n_states + len(sites) + own, own + 1
            if wanted[site.weight]:
                u = torch.cat([kept[t * each + place] for t in range(p.shape[0])])
                dq = torch.cat([d[k] for d in dqs])
                so_far, found = grads[site.weight], u.t() @ dq
                grads[site.weight] = found if so_far is None else so_far + found
        return torch.stack(dps), starts, grads


def evaluate(given: dict[fx.Node, Tensor], wanted: Sequence[fx.Node]) -> list[Tensor]:
    """Values of nodes from those of others; what is given is not computed again."""
    found: dict[fx.Node, Any] = dict(given)

    def value(node: fx.Node) -> Any:
        if node not in found:
            arguments: Any = fx.node.map_arg(node.args, value)
            named: Any = fx.node.map_arg(node.kwargs, value)
            found[node] = node.target(*arguments, **named)  # type: ignore[operator]
        return found[node]

    return [value(node) for node in wanted]


def _pull(
    given: dict[fx.Node, Tensor], news: Sequence[fx.Node], adjoints: Sequence[Tensor],
    learnt: Sequence[fx.Node], found: dict[fx.Node, Tensor],
) -> None:  # fmt: skip
    """Add to `found` what the adjoints of some nodes make of those that they are computed from."""
    above = _above(news, set(given))
    primals = [n for n in learnt if n in above]

    def function(*values: Tensor) -> list[Tensor]:
        return evaluate({**given, **dict(zip(primals, values, strict=True))}, news)

    if not primals:
        return
    pull = torch.func.vjp(function, *(given[n] for n in primals))[1]
    for node, g in zip(primals, pull(list(adjoints)), strict=True):
        found[node] = found[node] + g if node in found else g


def _above(nodes: Sequence[fx.Node], stop: set[fx.Node]) -> set[fx.Node]:
    """The given nodes that some nodes are computed from."""
    seen: set[fx.Node] = set()
    stack = list(nodes)
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            if n not in stop:
                stack.extend(n.all_input_nodes)
    return seen & stop


def _depths(step: TracedStep) -> dict[fx.Node, int]:
    depth: dict[fx.Node, int] = {}
    sites = {site.node for site in step.sites}
    for node in step.graph.nodes:
        depth[node] = max((depth[a] for a in node.all_input_nodes), default=0) + (node in sites)
    return depth


def _read(step: TracedStep, const: fx.Node) -> bool:
    """Whether a matrix of a product is read elsewhere too."""
    sites = {site.node for site in step.sites}
    return any(user not in sites for user in const.users)


def _of(node: fx.Node) -> Tensor:
    return node.meta["val"]


def _example(node: fx.Node) -> Tensor:
    value = _of(node)
    return torch.empty(value.shape, dtype=value.dtype, device=value.device)


def _compile(function: Callable[..., list[Tensor]], inputs: list[Tensor]) -> Compute:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # inductor's own notes to its developers
        from torch._guards import TracingContext, tracing
        from torch._inductor import config
        from torch._inductor.compile_fx import compile_fx_inner
        from torch._inductor.decomposition import select_decomp_table
        from torch._subclasses import FakeTensorMode

        mode = FakeTensorMode()
        fakes = [mode.from_tensor(t) for t in inputs]
        with mode:
            traced = make_fx(function, decomposition_table=select_decomp_table())(*fakes)
        with tracing(TracingContext(mode)), config.patch(compile_threads=1):
            return compile_fx_inner(traced, fakes)
