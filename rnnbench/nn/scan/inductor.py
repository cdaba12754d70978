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
from rnnbench.nn.scan.trace_step import TracedStep
from rnnbench.nn.scan.unsupported import KernelFailed, Unsupported

Compute = Callable[[list[Tensor]], Sequence[Tensor]]


@functools.cache
def available(device: str) -> str:
    """Return why inductor cannot compile for a device, "" where it can."""
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


class InductorKernel:
    """A step and its derivative, compiled by inductor.

    Args:
        needs_grad: which consts need a gradient.
    Raises:
        Unsupported: there is no compiler for the device.
        KernelFailed: inductor refuses the step.
    """

    tier = "inductor"

    def __init__(self, step: TracedStep, needs_grad: tuple[bool, ...]):
        value = step.p.meta["val"]
        reason = available(value.device.type)
        if reason:
            raise Unsupported(reason)
        self.step = step
        self.real = [i for i, s in enumerate(step.states) if _value(s).is_floating_point()]
        matrices = {product.weight for product in step.products}
        # Consts whose gradient is added up step by step, beside the matrices of products.
        self.summed = [
            i
            for i, c in enumerate(step.consts)
            if needs_grad[i] and (i not in matrices or _is_read_elsewhere(step, c))
        ]
        leaves = [step.p, *step.states, *step.noise, *step.consts]
        more = [product.node for product in step.products] + [step.outputs[0]]
        more += [step.states[i] for i in self.real] + [step.consts[i] for i in self.summed]
        try:
            self.forward_step = _compile(self._forward_step, [_example(n) for n in leaves])
            self.backward_step = _compile(
                self._backward_step, [_example(n) for n in (*leaves, *more)]
            )
        except Unsupported:
            raise
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            raise KernelFailed(f"inductor refuses it: {type(error).__name__}: {first}") from error

    # ------------------------------------------------------------------------- what is compiled

    def _forward_step(self, *inputs: Tensor) -> list[Tensor]:
        """Return outputs, new states, products, and what the products read where it is no state."""
        step = self.step
        leaves = [step.p, *step.states, *step.noise, *step.consts]
        results = [*step.outputs, *(product.node for product in step.products)]
        results += [product.u for product in step.products if product.u not in step.states]
        return evaluate(dict(zip(leaves, inputs, strict=True)), results)

    def _backward_step(self, *inputs: Tensor) -> list[Tensor]:
        """Return the adjoints of p, of the old states and of the products, and sums over consts.

        The sums are those of `self.summed`, with this step's share added.
        """
        step, products = self.step, self.step.products
        leaves = [step.p, *step.states, *step.noise, *step.consts]
        values: dict[fx.Node, Tensor] = dict(zip(leaves, inputs, strict=False))
        more = list(inputs[len(leaves) :])
        for product in products:
            values[product.node] = more.pop(0)
        ends = [more.pop(0) for _ in range(1 + len(self.real))]
        news = [step.outputs[0], *(step.outputs[1 + i] for i in self.real)]
        learnt = [
            step.p,
            *(step.states[i] for i in self.real),
            *(product.node for product in products),
        ]
        learnt += [step.consts[i] for i in self.summed]
        adjoint_of: dict[fx.Node, Tensor] = {}
        _pull_back(values, news, ends, learnt, adjoint_of)
        by_level = zip(step.product_levels(), products, strict=True)
        for _, product in sorted(by_level, key=lambda pair: -pair[0]):  # the last ones first
            weight = values[step.consts[product.weight]]
            if product.node in adjoint_of:
                du = adjoint_of[product.node] @ weight.t()
                _pull_back(values, [product.u], [du], learnt, adjoint_of)
        adjoints = [
            adjoint_of[n] if n in adjoint_of else torch.zeros_like(values[n]) for n in learnt
        ]
        sums = len(self.summed)
        added = [a + b for a, b in zip(adjoints[len(adjoints) - sums :], more, strict=True)]
        return [*adjoints[: len(adjoints) - sums], *added]

    # ------------------------------------------------------------------------------ all the steps

    def forward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor],
    ) -> ScanOutput:  # fmt: skip
        """Run all steps; what backward needs is in `kept`, step after step."""
        n_states, products = len(states), self.step.products
        state, fixed = [s.contiguous() for s in states], [c.contiguous() for c in consts]
        outputs, kept = [], []
        for p_BG, *draws in zip(p.unbind(), *(n.unbind() for n in noise), strict=True):
            kept += state
            y, *results = self.forward_step([p_BG, *state, *draws, *fixed])
            outputs.append(y)
            kept += results[n_states : n_states + len(products)]
            own = iter(results[n_states + len(products) :])
            # A product that reads a state reads what was kept of it.
            kept += [next(own) for product in products if product.u not in self.step.states]
            state = list(results[:n_states])
        return ScanOutput(torch.stack(outputs), tuple(s.clone() for s in state), kept)

    def backward(
        self, p: Tensor, states: Sequence[Tensor], noise: Sequence[Tensor],
        consts: Sequence[Tensor], kept: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor],
        needs_grad: Sequence[bool],
    ) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:  # fmt: skip
        """Return the gradients of p, of the states at the start, and of the consts."""
        step, products = self.step, self.step.products
        n_states = len(step.states)
        n_own = sum(product.u not in step.states for product in products)
        each = n_states + len(products) + n_own
        fixed, dy = [c.contiguous() for c in consts], dy.contiguous()
        adjoint = [dfinals[i].contiguous() for i in self.real]
        sums = [torch.zeros_like(fixed[i]) for i in self.summed]
        dps, dqs = [], []
        ps, dys, draws = p.unbind(), dy.unbind(), [n.unbind() for n in noise]
        for t in range(p.shape[0] - 1, -1, -1):
            now = kept[t * each : (t + 1) * each]
            old, qs = now[:n_states], now[n_states : n_states + len(products)]
            dp, *results = self.backward_step(
                [ps[t], *old, *(n[t] for n in draws), *fixed, *qs, dys[t], *adjoint, *sums]
            )
            dps.append(dp)
            adjoint = results[: len(self.real)]
            dqs.append(results[len(self.real) : len(self.real) + len(products)])
            sums = results[len(self.real) + len(products) :]
        dps.reverse()
        dqs.reverse()
        starts: list[Tensor | None] = [None] * n_states
        for i, d in zip(self.real, adjoint, strict=True):
            starts[i] = d
        grads: list[Tensor | None] = [None] * len(consts)
        for i, total in zip(self.summed, sums, strict=True):
            grads[i] = total
        own = 0
        for k, product in enumerate(products):
            if product.u in step.states:
                place = step.states.index(product.u)
            else:
                place, own = n_states + len(products) + own, own + 1
            if needs_grad[product.weight]:
                u = torch.cat([kept[t * each + place] for t in range(p.shape[0])])
                dq = torch.cat([d[k] for d in dqs])
                so_far, share = grads[product.weight], u.t() @ dq
                grads[product.weight] = share if so_far is None else so_far + share
        return torch.stack(dps), starts, grads


def evaluate(known: dict[fx.Node, Tensor], results: Sequence[fx.Node]) -> list[Tensor]:
    """Compute the values of nodes from known values of others, which are not computed again."""
    values: dict[fx.Node, Any] = dict(known)

    def value(node: fx.Node) -> Any:
        if node not in values:
            arguments: Any = fx.node.map_arg(node.args, value)
            named: Any = fx.node.map_arg(node.kwargs, value)
            values[node] = node.target(*arguments, **named)  # type: ignore[operator]
        return values[node]

    return [value(node) for node in results]


def _pull_back(
    known: dict[fx.Node, Tensor], news: Sequence[fx.Node], adjoints: Sequence[Tensor],
    learnt: Sequence[fx.Node], adjoint_of: dict[fx.Node, Tensor],
) -> None:  # fmt: skip
    """Back-propagate `adjoints` of `news` to `learnt`, and add them up in `adjoint_of`."""
    above = _ancestors(news, set(known))
    primals = [n for n in learnt if n in above]

    def function(*values: Tensor) -> list[Tensor]:
        return evaluate({**known, **dict(zip(primals, values, strict=True))}, news)

    if not primals:
        return
    pull = torch.func.vjp(function, *(known[n] for n in primals))[1]
    for node, g in zip(primals, pull(list(adjoints)), strict=True):
        adjoint_of[node] = adjoint_of[node] + g if node in adjoint_of else g


def _ancestors(nodes: Sequence[fx.Node], stop: set[fx.Node]) -> set[fx.Node]:
    """Return the nodes of `stop` that some nodes are computed from."""
    seen: set[fx.Node] = set()
    stack = list(nodes)
    while stack:
        n = stack.pop()
        if n not in seen:
            seen.add(n)
            if n not in stop:
                stack.extend(n.all_input_nodes)
    return seen & stop


def _is_read_elsewhere(step: TracedStep, const: fx.Node) -> bool:
    """Tell whether a matrix of a product is read elsewhere too."""
    products = {product.node for product in step.products}
    return any(user not in products for user in const.users)


def _value(node: fx.Node) -> Tensor:
    return node.meta["val"]


def _example(node: fx.Node) -> Tensor:
    """Return an empty tensor like the value of a node."""
    value = _value(node)
    return torch.empty(value.shape, dtype=value.dtype, device=value.device)


def _compile(function: Callable[..., list[Tensor]], inputs: list[Tensor]) -> Compute:
    """Compile a function by inductor, for inputs like these."""
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
