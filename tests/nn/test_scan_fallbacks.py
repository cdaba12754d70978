"""Scans that a tier cannot run: the loop does, and the report and the record say why."""

import warnings

import pytest
import torch
from nn.scan_cells import LayerNormCell, agree, make, needs_compiler, used

from rnnbench.nn import CellWrapper, GatedCell, scan
from rnnbench.nn.scan import choice, dispatch
from rnnbench.nn.scan.c import compiler, expressions, linear
from rnnbench.nn.scan.unsupported import KernelFailed
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Budget, Trainer
from rnnbench.training.determinism import LONG, NOT_SHORT, reaches
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench_architectures.lstm import LSTMCell
from rnnbench_tricks.zoneout import Zoneout


@pytest.fixture(autouse=True)
def _fresh():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    scan.use()


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
    wrong = expressions.Operator("k_tanh({0})", lambda make, e, g: (make("mul", g, e),))
    monkeypatch.setitem(expressions.OPERATORS, "tanh", wrong)
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
    monkeypatch.setattr(compiler, "compiler", lambda: None)
    monkeypatch.setattr(dispatch, "_builds", {})
    monkeypatch.setattr(choice, "_choice", choice.ScanChoice())
    linear.agrees.cache_clear()
    linear.kernels.cache_clear()
    try:
        cell = make("peepholes")
        agree(cell, torch.randn(3, 5, 5, dtype=torch.float64), 1e-12)
        (row,) = scan.report()
        assert row["tier"] == "eager"
        assert "no C compiler was found" in row["reason"]
    finally:
        linear.agrees.cache_clear()
        linear.kernels.cache_clear()


@needs_compiler
def test_a_build_is_kept_and_a_damaged_one_is_made_again(monkeypatch, tmp_path):
    monkeypatch.setattr(compiler, "folder", lambda: tmp_path / "kernels")
    source = "int answer(void) { return 42; }"
    assert compiler.library(source, double=True).answer() == 42
    (kept,) = (tmp_path / "kernels").iterdir()
    stamp = kept.stat().st_mtime_ns
    monkeypatch.setattr(compiler, "_loaded", {})
    assert compiler.library(source, double=True).answer() == 42
    assert kept.stat().st_mtime_ns == stamp
    other = "int answer(void) { return 43; }"
    monkeypatch.setattr(compiler, "_loaded", {})
    name = compiler.file_name(other, double=True)
    (tmp_path / "kernels" / name).write_bytes(b"half of it")
    assert compiler.library(other, double=True).answer() == 43
    with pytest.raises(KernelFailed, match="refuses the kernel"):
        compiler.library("int answer(", double=True)
    assert len(list((tmp_path / "kernels").iterdir())) == 2, "nothing is left over"


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
    assert not reaches(Budget(steps=999), 999, LONG)
    assert reaches(Budget(steps=1000), 1000, LONG)
    assert reaches(Budget(tokens=10**6), None, LONG)
    assert not reaches(Budget(seconds=60.0), None, LONG)
    assert reaches(Budget(seconds=60.0), None, NOT_SHORT)
    assert not reaches(Budget(steps=99), 99, NOT_SHORT)


def test_an_unknown_tier_is_refused():
    with pytest.raises(ValueError, match="choose auto, eager, inductor or c"):
        scan.use("fast")
