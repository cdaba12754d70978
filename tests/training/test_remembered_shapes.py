"""The shapes that the dry run remembers are those that torch gives."""

import pytest
import torch
from support.toys import TOYS
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from rnnbench.contract import Moment, Refusal
from rnnbench.registry.registry import discover, load
from rnnbench.spec.run_spec import Optimizer
from rnnbench.testing.law import tiny
from rnnbench.training.checks import remembered_shapes
from rnnbench.training.checks.remembered_shapes import RememberedShapes
from rnnbench.training.train_step import TrainStep, TrickFold, assemble, make_optimizer


class Compared(RememberedShapes):
    """Asks torch as well, each time, and notes where the answers differ."""

    def __init__(self):
        super().__init__()
        self.calls, self.wrong = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = len(remembered_shapes._results)
        answer = super().__torch_dispatch__(func, types, args, kwargs)
        if remembered_shapes._makes_new_tensors(func) and len(remembered_shapes._results) == before:
            true = func(*args, **(kwargs or {}))
            self.calls += 1
            if layouts(answer) != layouts(true):
                self.wrong.append((func, layouts(answer), layouts(true)))
        return answer


def layouts(out):
    many = out if isinstance(out, tuple) else (out,)
    return type(out), [o if o is None else (o.shape, o.stride(), o.dtype, o.device) for o in many]


def step_on_meta(architecture, toy, mode):
    with torch.device("meta"), mode:
        model = assemble(architecture, toy, TrickFold())
        stepped = make_optimizer(Optimizer(), model.parameters(), TrickFold())
        with FlopCounterMode(display=False) as counter:
            TrainStep(model, TrickFold(), toy.carried, stepped).take(
                toy.example().to("meta"), None, Moment(1, 0.5)
            )
        stepped.step()
    return counter.get_total_flops()


def wrong_answers(names, toy):
    """Return the answers that differ, and how many architectures could be tried."""
    wrong, tried = [], 0
    for name in names:
        compared = Compared()
        try:
            step_on_meta(tiny(load("architectures", name)), TOYS[toy], compared)
        except (Refusal, NotImplementedError, RuntimeError):
            continue
        assert compared.calls > 0
        wrong += compared.wrong
        tried += 1
    return wrong, tried


def test_what_is_remembered_is_what_torch_gives():
    assert wrong_answers(["lstm", "gru", "xlstm", "s4d", "mamba", "transformer"], "lm") == ([], 6)
    assert wrong_answers(["seq2seq", "pointer-generator"], "translate")[0] == []


@pytest.mark.slow
@pytest.mark.parametrize("toy", ["lm", "translate", "classify", "forecast"])
def test_what_is_remembered_is_what_torch_gives_for_every_architecture(toy):
    wrong, tried = wrong_answers(discover()[0]["architectures"], toy)
    assert wrong == []
    assert tried > 10


def test_the_work_that_is_counted_is_the_same():
    class Nothing(RememberedShapes):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    gru = tiny(load("architectures", "gru"))
    counted = [step_on_meta(gru, TOYS["lm"], mode()) for mode in (Nothing, RememberedShapes)]
    assert counted[0] == counted[1] > 0


def test_calls_that_only_look_alike_are_told_apart():
    with RememberedShapes():
        x = torch.empty(3, 4, device="meta")
        whole = torch.empty(3, 4, device="meta", dtype=torch.int64)
        for _ in range(2):
            assert (x + 1).dtype == torch.float32
            assert (whole + 1).dtype == torch.int64
            assert (whole + 1.0).dtype == torch.float32
            assert (whole + True).dtype == torch.int64
            assert x.t().contiguous().stride() == (3, 1)
            assert x.clone().stride() == (4, 1)
            assert x.t().clone().stride() == (1, 4)
            assert torch.stack([x, x]).shape == (2, 3, 4)
            assert torch.stack([x, x], 2).shape == (3, 4, 2)
            torch.set_default_dtype(torch.float64)
            assert (whole + 1.0).dtype == torch.float64
            torch.set_default_dtype(torch.float32)


def test_views_and_writes_stay_what_they_are():
    with RememberedShapes():
        x = torch.empty(3, 4, device="meta")
        for _ in range(2):
            assert x.view(12)._base is x
            assert x.add_(1) is x
            out = torch.empty(0, device="meta")
            torch.add(x, x, out=out)
            assert out.shape == (3, 4)


def test_tensors_that_hold_values_are_computed():
    with RememberedShapes():
        for value in (1.0, 2.0):
            assert float(torch.full((2,), value).sum()) == 2 * value


def test_a_wrong_shape_is_refused_each_time():
    with RememberedShapes():
        linear = nn.Linear(3, 4, device="meta")
        F.relu(linear(torch.empty(2, 3, device="meta")))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="must have same reduction dim"):
                linear(torch.empty(2, 5, device="meta"))


def test_what_is_remembered_has_a_limit(monkeypatch):
    monkeypatch.setattr(remembered_shapes, "MOST", 5)
    with RememberedShapes():
        for n in range(1, 30):
            assert torch.empty(n, device="meta").exp().shape == (n,)
    assert len(remembered_shapes._results) <= 5
