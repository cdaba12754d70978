"""The tiers of the scan against the eager loop: outputs, states and every gradient."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from rnnbench.contract import Cell
from rnnbench.nn import CellWrapper, FastCell, GatedCell, scan
from rnnbench.nn.scan import choice, dispatch
from rnnbench.nn.scan import inductor as compiled
from rnnbench.nn.scan.c import compiler as build
from rnnbench.nn.scan.c import expressions as scalars
from rnnbench.nn.scan.c import linear as maps
from rnnbench.nn.scan.unsupported import KernelFailed
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Budget, Trainer
from rnnbench.training.determinism import is_long
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench_architectures.elman import ElmanCell
from rnnbench_architectures.gru import GRUCell
from rnnbench_architectures.lstm import LSTMCell
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason="there is no C compiler")
needs_inductor = pytest.mark.skipif(
    bool(compiled.available("cpu")), reason=f"no inductor here: {compiled.available('cpu')}"
)


class MGUCell(FastCell):
    """Two products a step: the candidate's waits for the gate."""

    def __init__(self, d_in, hidden):
        super().__init__()
        self.width = hidden
        self.weight_x = nn.Parameter(torch.randn(2 * hidden, d_in) / 3)
        self.weight_h = nn.Parameter(torch.randn(2 * hidden, hidden) / 3)
        self.bias = nn.Parameter(torch.randn(2 * hidden) / 3)

    def initial(self, x):
        return (x.new_zeros(len(x), self.width),)

    def project(self, x, state):
        return F.linear(x, self.weight_x, self.bias)

    def advance(self, p, state, seen=None):
        h = state[0] if seen is None else seen
        (px, cx), (wf, wc) = p.chunk(2, -1), self.weight_h.chunk(2)
        f = torch.sigmoid(px + F.linear(h, wf))
        new = (1 - f) * state[0] + f * torch.tanh(cx + F.linear(f * h, wc))
        return new, (new,)

    def step(self, x, state):
        return self.advance(self.project(x[:, None], state)[:, 0], state)


class LayerNormCell(GatedCell):
    """Ba et al. (2016): a reduction in every step."""

    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden, gates=4, states=2)
        self.norm_x, self.norm_h = nn.LayerNorm(4 * hidden), nn.LayerNorm(4 * hidden)
        self.norm_c = nn.LayerNorm(hidden)

    def update(self, gates_x, gates_h, state):
        i, f, g, o = (self.norm_x(gates_x) + self.norm_h(gates_h)).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.norm_c(c)), c


class GraphCell(Cell):
    """A general cell: a product of two states, and a counter of integers."""

    width = 4

    def __init__(self, d_in):
        super().__init__()
        self.map = nn.Linear(d_in + 4, 4)

    def initial(self, x):
        return x.new_zeros(len(x), 4), x.new_zeros(len(x), 1, dtype=torch.long)

    def step(self, x, state):
        h, t = state
        new = torch.where(t % 2 == 0, torch.tanh(self.map(torch.cat([x, h], -1))), h)
        return new, (new, t + 1)


class FastGraphCell(GraphCell, FastCell):
    """The same in the tiers."""


def scanned(cell):
    """A cell without torch's kernel."""
    cell.kernel = None
    return cell


CELLS = {
    "lstm": lambda d, h: scanned(LSTMCell(d, h)),
    "lstm of 1997": lambda d, h: LSTMCell(d, h, forget_gate=False),
    "peepholes": lambda d, h: LSTMCell(d, h, peepholes=True),
    "coupled with peepholes": lambda d, h: LSTMCell(d, h, coupled=True, peepholes=True),
    "projected lstm": lambda d, h: LSTMCell(d, h, peepholes=True, projection=3),
    "gru": lambda d, h: scanned(GRUCell(d, h)),
    "gru of Cho": lambda d, h: GRUCell(d, h, reset="before"),
    "projected gru": lambda d, h: GRUCell(d, h, projection=2),
    "irnn": lambda d, h: scanned(ElmanCell(d, h, "relu", "orthogonal")),
    "mgu": MGUCell,
    "zoneout": lambda d, h: Zoneout(rate=0.3, cell_rate=0.1).cell(LSTMCell(d, h)),
    "variational": lambda d, h: VariationalDropout(0.3, 0.4).cell(GRUCell(d, h)),
    "both": lambda d, h: Zoneout(rate=0.2).cell(
        VariationalDropout(0.3, 0.4).cell(LSTMCell(d, h, peepholes=True))
    ),
    "both, reversed": lambda d, h: VariationalDropout(0.3, 0.4).cell(
        Zoneout(rate=0.2).cell(GRUCell(d, h, reset="before"))
    ),
}


@pytest.fixture(autouse=True)
def _fresh():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    scan.use()


def make(name, d=5, h=6, dtype=torch.float64):
    torch.manual_seed(11)
    return CELLS[name](d, h).to(dtype)


def start_of(cell, x):
    """A state that needs gradients, where it is made of real numbers."""
    return tuple(
        (s + 0.3 * torch.randn_like(s)).requires_grad_() if s.is_floating_point() else s
        for s in cell.initial(x[:, 0])
    )


def outcome(cell, path, x, state):
    """Outputs, last state and all gradients."""
    x = x.clone().requires_grad_()
    state = tuple(s.detach().clone().requires_grad_(s.requires_grad) for s in state)
    torch.manual_seed(5)
    y, final = path(x, state)
    torch.manual_seed(6)
    # Of a shape, and not like a tensor: the order in memory must not matter.
    loss = sum(
        (s * torch.randn(s.shape, dtype=s.dtype, device=s.device)).sum()
        for s in (y, *final)
        if s.is_floating_point()
    )
    inputs = [x, *(s for s in state if s.requires_grad)]
    inputs += [p for p in cell.parameters() if p.requires_grad]
    return [y, *final, *torch.autograd.grad(loss, inputs, allow_unused=True)]


def agree(cell, x, atol):
    state = start_of(cell, x)
    for training in (True, False):
        cell.train(training)
        fast, slow = (outcome(cell, path, x, state) for path in (cell, cell.scan))
        assert len(fast) == len(slow)
        for a, b in zip(fast, slow, strict=True):
            torch.testing.assert_close(a, b, atol=atol, rtol=atol)


def used():
    return {row["cell"]: row["tier"] for row in scan.report()}


@needs_compiler
@pytest.mark.parametrize("name", CELLS)
def test_c_gives_what_the_loop_gives(name):
    scan.use("c")
    cell = make(name)
    agree(cell, torch.randn(4, 7, 5, dtype=torch.float64), 1e-11)
    assert set(used().values()) == {"c"}


@needs_compiler
@pytest.mark.parametrize("name", ["peepholes", "gru of Cho", "zoneout"])
def test_c_gives_what_the_loop_gives_in_single_precision(name):
    scan.use("c")
    agree(make(name, 40, 50, torch.float32), torch.randn(17, 30, 40), 2e-4)


@needs_compiler
@pytest.mark.parametrize(("rows", "hidden"), [(1, 1), (1, 5), (3, 1), (6, 6), (29, 33)])
def test_c_takes_any_number_of_rows_and_units(rows, hidden):
    scan.use("c")
    for name in ("peepholes", "gru of Cho"):
        agree(make(name, 3, hidden), torch.randn(rows, 4, 3, dtype=torch.float64), 1e-11)


@needs_inductor
@pytest.mark.parametrize("make_cell", [LayerNormCell, lambda d, h: FastGraphCell(d)])
def test_inductor_gives_what_the_loop_gives(make_cell):
    scan.use("inductor")
    torch.manual_seed(1)
    cell = make_cell(5, 6).double()
    agree(cell, torch.randn(4, 6, 5, dtype=torch.float64), 1e-10)
    assert set(used().values()) == {"inductor"}


@needs_inductor
def test_inductor_takes_noise_fixed_masks_and_two_products():
    scan.use("inductor")
    agree(make("both, reversed"), torch.randn(4, 6, 5, dtype=torch.float64), 1e-10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", ["peepholes", "gru of Cho", "zoneout"])
def test_on_a_gpu_inductor_gives_what_the_loop_gives(name):
    with torch.device("cuda"):
        scan.use("inductor" if not compiled.available("cuda") else "auto", long=True)
        agree(make(name).cuda(), torch.randn(4, 6, 5, dtype=torch.float64), 1e-10)


class Everything(GatedCell):
    """Every operator that the C tier knows, on arguments where it is smooth or tied."""

    def __init__(self, d_in, hidden):
        super().__init__(d_in, hidden, gates=2)
        self.scale = nn.Parameter(torch.rand(hidden) + 0.5)
        self.one = nn.Parameter(torch.tensor(0.7))
        self.register_buffer("table", torch.rand(3, hidden))

    def update(self, gates_x, gates_h, state):
        a, b = (gates_x * self.one).chunk(2, -1)
        c, d = gates_h.chunk(2, -1)
        u = torch.sin(a) * torch.cos(b) + torch.erf(c) / (2 + d.abs()) + F.silu(a) + F.gelu(b)
        u = u + F.softplus(c) + F.elu(d) + F.leaky_relu(a, 0.1) + F.hardtanh(b) + torch.relu(c)
        u = u + torch.maximum(a, c) - torch.minimum(b, d) + a.clamp(-0.3, 0.4) + b.clamp_min(0.1)
        u = u + torch.log1p(c * c) + torch.expm1(0.1 * d) + torch.sqrt(a * a + 1) - b**2 + c**3
        u = u + torch.exp(-a.square()) + torch.log(2 + d.square()) + torch.rsqrt(1 + b * b)
        u = u + torch.where((a > 0) & ~(b >= 0.2) | (c < -0.5), a * b, c - d) + torch.sign(a)
        u = u + torch.remainder(a, 0.7) + torch.floor(b) + torch.lerp(a, b, 0.3) + 1 / (3 + c * c)
        u = u + torch.addcmul(a, b, c, value=0.5) + (2 - d) + torch.reciprocal(4 + a * a)
        u = u + torch.stack([a, b], 1).flatten(1)[:, : self.hidden] * torch.ones_like(a)
        u = u * self.scale + self.table[1] + (a > b).to(a.dtype) * d
        return (torch.tanh(0.1 * u + 0.5 * state[0]) * torch.sigmoid(u),)


@needs_compiler
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 5e-4)])
def test_every_operator_and_its_derivative(dtype, atol):
    scan.use("c")
    torch.manual_seed(2)
    agree(Everything(5, 6).to(dtype), torch.randn(8, 5, 5, dtype=dtype), atol)


class Pass(GatedCell):
    """The state is a function of the input."""

    def __init__(self, function):
        super().__init__(1, 1)
        self.function = function

    def project(self, x, state):
        return x

    def update(self, gates_x, gates_h, state):
        return (self.function(gates_x) + 0 * gates_h * state[0],)


@needs_compiler
@pytest.mark.parametrize("function", [torch.exp, torch.tanh, torch.sigmoid])
def test_vectorised_functions_are_as_exact_as_single_precision_allows(function):
    scan.use("c")
    x = torch.cat([torch.linspace(-87, 88, 40_001), torch.randn(20_000), 1e-4 * torch.randn(9_999)])
    with torch.no_grad():
        y, _ = Pass(function)(x.view(2, -1, 1))
    exact = function(x.double()).view(2, -1, 1)
    assert ((y - exact).abs() / exact.abs()).max() < 2 * torch.finfo(torch.float32).eps
    assert used() == {"Pass": "c"}


@needs_compiler
@pytest.mark.parametrize("function", [torch.exp, torch.tanh, torch.sigmoid, torch.relu])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_and_infinity_are_seen(function, dtype):
    scan.use("c")
    x = torch.tensor([1.0, torch.nan, torch.inf, -torch.inf, 200.0, -200.0], dtype=dtype)
    x = torch.stack([x, x])[..., None]
    with torch.no_grad():
        y, _ = Pass(function).to(dtype)(x)
        expected, _ = Pass(function).to(dtype).scan(x)
    # 0 * q is 0 until a state is not finite, and NaN from then on.
    torch.testing.assert_close(y, expected, equal_nan=True)
    assert y[0, 1:].isnan().all()


@needs_compiler
def test_a_gradient_that_is_not_finite_is_seen():
    scan.use("c")
    cell, x = make("peepholes"), torch.randn(3, 5, 5, dtype=torch.float64)
    cell(x)
    x[0, 2, 1] = torch.nan
    cell(x)[0].sum().backward()
    assert cell.weight_h.grad.isnan().any()


@needs_compiler
def test_gradients_can_be_differentiated_again():
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    for name in ("peepholes", "gru of Cho"):
        cell = make(name)
        found = []
        for tier in ("c", "eager"):
            scan.use(tier)
            inner = x.clone().requires_grad_()
            y, _ = cell(inner)
            parameters = list(cell.parameters())
            grads = torch.autograd.grad(y.square().sum(), [inner, *parameters], create_graph=True)
            penalty = sum(g.square().sum() for g in grads)
            found.append([penalty, *torch.autograd.grad(penalty, [inner, *parameters])])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


@needs_compiler
def test_a_frozen_cell_gets_no_gradient_and_gives_its_inputs():
    scan.use("c")
    cell = make("peepholes").requires_grad_(False)
    agree(cell, torch.randn(3, 5, 5, dtype=torch.float64), 1e-11)
    assert all(p.grad is None for p in cell.parameters())


@needs_compiler
def test_weights_that_are_updated_in_place_are_read_anew():
    scan.use("c")
    cell, x = make("peepholes"), torch.randn(3, 5, 5, dtype=torch.float64)
    before, _ = cell(x)
    with torch.no_grad():
        for p in cell.parameters():
            p.add_(0.1)
    assert not torch.allclose(cell(x)[0], before)
    agree(cell, x, 1e-11)


@needs_compiler
def test_weights_may_be_plain_tensors():
    scan.use("c")
    cell, x = make("peepholes"), torch.randn(3, 5, 5, dtype=torch.float64)
    others = {k: (p.detach() * 1.5).requires_grad_() for k, p in cell.named_parameters()}
    found = []
    for tier in ("c", "eager"):
        scan.use(tier)
        y, _ = torch.func.functional_call(cell, others, (x,))
        found.append([y, *torch.autograd.grad(y.square().sum(), list(others.values()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
    assert used() == {"LSTMCell": "eager"}


@needs_compiler
def test_a_parametrised_weight_is_learnt_through_its_parametrisation():
    cell = make("peepholes")
    parametrizations.weight_norm(cell, "weight_h")
    parametrizations.weight_norm(cell, "peephole_i", dim=None)
    scan.use("c")
    agree(cell, torch.randn(3, 5, 5, dtype=torch.float64), 1e-11)


@needs_compiler
@pytest.mark.parametrize("name", ["peepholes", "gru of Cho", "projected lstm"])
def test_two_chunks_with_the_carried_state_equal_one_pass(name):
    scan.use("c")
    cell, x = make(name), torch.randn(3, 9, 5, dtype=torch.float64)
    whole, _ = cell(x)
    first, state = cell(x[:, :4])
    second, _ = cell(x[:, 4:], cell.carry(state))
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-13, rtol=0)


@needs_compiler
def test_evaluation_gives_what_training_gives_and_an_empty_batch_nothing():
    scan.use("c")
    cell, x = make("gru of Cho"), torch.randn(3, 9, 5, dtype=torch.float64)
    whole, _ = cell(x)
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            assert torch.equal(cell(x)[0], whole)
    assert cell(x[:0])[0].shape == (0, 9, 6)


@needs_compiler
def test_the_same_numbers_give_the_same_bits():
    scan.use("c")
    cell, x = make("zoneout", 20, 30, torch.float32), torch.randn(9, 12, 20)
    state = start_of(cell, x)
    first, second = (outcome(cell, cell, x, state) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@needs_compiler
def test_an_output_that_is_changed_in_place_is_not_differentiated_silently():
    scan.use("c")
    y, _ = make("peepholes")(torch.randn(3, 5, 5, dtype=torch.float64))
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@needs_compiler
def test_a_setting_that_changes_is_not_taken_from_an_old_trace():
    class Scaled(GatedCell):
        scale = 1.0

        def update(self, gates_x, gates_h, state):
            return (torch.tanh(gates_x + gates_h) * self.scale * (2 if self.training else 1),)

    scan.use("c")
    cell, x = Scaled(5, 6).double(), torch.randn(3, 5, 5, dtype=torch.float64)
    for scale in (1.0, 0.5):
        cell.scale = scale
        agree(cell, x, 1e-11)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_transforms_and_single_steps_run_the_loop():
    cell, x = make("peepholes"), torch.randn(3, 5, 5, dtype=torch.float64)
    expected, _ = cell.scan(x)
    rows = torch.func.vmap(lambda row: cell(row[None])[0][0])(x)
    torch.testing.assert_close(rows, expected)
    _, tangent = torch.func.jvp(lambda x: cell(x)[0], (x,), (torch.ones_like(x),))
    assert tangent.shape == expected.shape
    assert cell.to("meta")(x.to("meta"))[0].is_meta
    assert scan.report() == []


def test_autocast_runs_the_loop_in_its_precisions():
    cell, x = make("peepholes", dtype=torch.float32), torch.randn(3, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = cell(x)
        expected, _ = cell.scan(x)
    assert torch.equal(y, expected)
    (row,) = scan.report()
    assert row["tier"] == "eager"
    assert "autocast" in row["reason"]
    scan.use("c")
    with pytest.raises(RuntimeError, match="autocast"), torch.autocast("cpu", torch.bfloat16):
        cell(x)


class Noisy(GatedCell):
    def update(self, gates_x, gates_h, state):
        return (torch.tanh(gates_x + gates_h) * torch.rand_like(state[0]),)


class Remembering(GatedCell):
    def update(self, gates_x, gates_h, state):
        self.last = torch.tanh(gates_x + gates_h)
        return (self.last,)


class Branching(GatedCell):
    def update(self, gates_x, gates_h, state):
        return (torch.tanh(gates_x) if gates_h.sum() > 0 else torch.tanh(gates_h),)


class Listing(GatedCell):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.log = object()

    def update(self, gates_x, gates_h, state):
        return (torch.tanh(gates_x + gates_h),)


@pytest.mark.parametrize(
    ("cell_class", "reason"),
    [
        (Noisy, "draws random numbers"),
        (Remembering, "writes last on the cell"),
        (Branching, "cannot be traced"),
        (Listing, "attribute log is a object"),
    ],
)
def test_what_a_trace_would_get_wrong_runs_the_loop_and_the_report_says_why(cell_class, reason):
    cell, x = cell_class(5, 6), torch.randn(3, 5, 5)
    torch.manual_seed(0)
    y, _ = cell(x)
    torch.manual_seed(0)
    assert torch.equal(y, cell.scan(x)[0])
    (row,) = scan.report()
    assert row["tier"] == "eager"
    assert reason in row["reason"]
    assert not any(
        isinstance(v, torch.Tensor) and type(v) is not torch.Tensor for v in vars(cell).values()
    )
    scan.use("c")
    with pytest.raises(RuntimeError, match=r"(?s)scan = c: .*Set trainer.scan to auto or eager"):
        cell(x)


def test_a_reduction_is_refused_by_c_and_not_worth_inductor_in_a_short_run():
    LayerNormCell(5, 6)(torch.randn(3, 5, 5))
    (row,) = scan.report()
    assert row["tier"] == "eager"
    assert "c: " in row["reason"]


def test_a_wrapper_that_overrides_advance_works_as_before():
    class Halved(CellWrapper):
        def advance(self, p_BG, state, seen_BH=None):
            y, state = self.inner.advance(p_BG, state, seen_BH)
            return y / 2, state

    cell = Halved(make("peepholes"))
    agree(cell, torch.randn(3, 5, 5, dtype=torch.float64), 1e-11)
    outer = Zoneout(rate=0.5).cell(Halved(Zoneout(rate=0.5).cell(make("peepholes"))))
    y, _ = outer(torch.randn(3, 5, 5, dtype=torch.float64))
    assert y.shape == (3, 5, 6)


@needs_compiler
def test_a_wrong_derivative_is_found_when_it_is_built(monkeypatch):
    wrong = scalars.Operator("k_tanh({0})", lambda make, e, g: (make("mul", g, e),))
    monkeypatch.setitem(scalars.OPERATORS, "tanh", wrong)
    monkeypatch.setattr(dispatch, "_builds", {})
    monkeypatch.setattr(choice, "_choice", choice.ScanChoice())
    cell, x = make("peepholes"), torch.randn(3, 5, 5, dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="gradient of .* differs from the eager loop"):
        agree(cell, x, 1e-11)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told once
        agree(make("coupled with peepholes").train(), x[:, :1], 1e-11)
        agree(cell, x, 1e-11)
    assert used()["LSTMCell"] == "eager"
    scan.use("c")
    with pytest.raises(RuntimeError, match="differs from the eager loop"):
        cell(x)


def test_without_a_compiler_the_loop_runs_and_the_report_says_so(monkeypatch):
    monkeypatch.setattr(build, "compiler", lambda: None)
    monkeypatch.setattr(dispatch, "_builds", {})
    monkeypatch.setattr(choice, "_choice", choice.ScanChoice())
    maps.agrees.cache_clear()
    maps.kernels.cache_clear()
    try:
        cell = make("peepholes")
        agree(cell, torch.randn(3, 5, 5, dtype=torch.float64), 1e-12)
        (row,) = scan.report()
        assert row["tier"] == "eager"
        assert "no C compiler was found" in row["reason"]
    finally:
        maps.agrees.cache_clear()
        maps.kernels.cache_clear()


@needs_compiler
def test_a_build_is_kept_and_a_damaged_one_is_made_again(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "folder", lambda: tmp_path / "kernels")
    source = "int answer(void) { return 42; }"
    assert build.library(source, double=True).answer() == 42
    (kept,) = (tmp_path / "kernels").iterdir()
    stamp = kept.stat().st_mtime_ns
    monkeypatch.setattr(build, "_loaded", {})
    assert build.library(source, double=True).answer() == 42
    assert kept.stat().st_mtime_ns == stamp
    other = "int answer(void) { return 43; }"
    monkeypatch.setattr(build, "_loaded", {})
    name = build.file_name(other, double=True)
    (tmp_path / "kernels" / name).write_bytes(b"half of it")
    assert build.library(other, double=True).answer() == 43
    with pytest.raises(KernelFailed, match="refuses the kernel"):
        build.library("int answer(", double=True)
    assert len(list((tmp_path / "kernels").iterdir())) == 2, "nothing is left over"


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_linear_map_of_all_steps_is_torch_s(dtype):
    scan.use("c")
    torch.set_num_threads(1)
    x, w, b = torch.randn(7, 5, 33), torch.randn(70, 33), torch.randn(70)
    found = []
    for path in (scan.linear, F.linear):
        inputs = [t.clone().to(dtype).requires_grad_() for t in (x, w, b)]
        y = path(*inputs)
        grads = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        found.append([y, *grads, *torch.autograd.grad(sum(g.sum() for g in grads), inputs)])
    for a, c in zip(*found, strict=True):
        torch.testing.assert_close(a, c, atol=1e-3 if dtype is torch.float32 else 1e-10, rtol=1e-5)


@needs_compiler
def test_a_branch_that_is_not_taken_gives_no_nan_gradient():
    scan.use("c")

    class Soft(GatedCell):
        def update(self, gates_x, gates_h, state):
            return (torch.tanh(F.softplus(gates_x) + F.elu(-gates_x) + gates_h),)

    cell = Soft(1, 4)
    with torch.no_grad():
        cell.weight_x.fill_(1.0)
    agree(cell, torch.tensor([[[200.0], [-200.0], [1.0]]] * 2), 1e-5)


@needs_compiler
@pytest.mark.parametrize(("tier", "took"), [("auto", "c"), ("eager", "eager"), ("c", "c")])
def test_a_record_names_the_tier_of_each_cell(tmp_path, tier, took):
    settings = {
        "task.length": 10, "architecture.hidden": 8, "architecture.layers": 2,
        "budget.steps": 2, "budget.validate_every": 2, "task.valid_characters": 500,
    }  # fmt: skip
    spec = resolve(compose("char-lm", "lstm", ["zoneout"], settings, seed=0, test=False))
    trainer = Trainer(accelerator="cpu", scan=tier)
    record = execute(spec, store=Store(tmp_path), trainer=trainer)
    assert record.status is Status.DONE, record.reason
    told = record.provenance["scan"]
    assert told["setting"] == tier
    (row,) = told["cells"]
    assert row["cell"] == "ZoneoutCell(LSTMCell)"
    assert row["tier"] == took
    assert row["build_seconds"] >= 0


def test_a_plain_cell_runs_torch_s_kernel_and_the_report_says_so():
    scan.use()
    LSTMCell(3, 4)(torch.randn(2, 5, 3))
    assert used() == {"LSTMCell": "fused"}


def test_a_run_is_long_by_its_spec_alone():
    assert not is_long(Budget(steps=999), 999)
    assert is_long(Budget(steps=1000), 1000)
    assert is_long(Budget(tokens=10**6), None)
    assert not is_long(Budget(seconds=60.0), None)


def test_an_unknown_tier_is_refused():
    with pytest.raises(ValueError, match="choose auto, eager, inductor or c"):
        scan.use("fast")
