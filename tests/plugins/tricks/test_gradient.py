"""Tricks on the gradient against their papers' equations, written out as loops."""

import math

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn

from rnnbench.contract import Moment
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.lstm import LSTM
from rnnbench_tricks.clip import Clip
from rnnbench_tricks.gradient_noise import GradientNoise
from rnnbench_tricks.omega import Omega
from rnnbench_tricks.sam import SAM
from rnnbench_tricks.sparse_gradient import SparseGradient
from rnnbench_tricks.zoneout import Zoneout

NOW = Moment(step=10, progress=0.5)


def parameter(values, gradient):
    p = nn.Parameter(torch.tensor(values, dtype=torch.float64))
    p.grad = torch.tensor(gradient, dtype=torch.float64)
    return p


# ------------------------------------------------------------------------------------------ clip


def test_clip_by_layer_bounds_every_tensor_by_itself():
    long, short = parameter([0.0, 0], [3.0, 4.0]), parameter([0.0], [0.5])
    Clip(by="layer", limit=1.0).gradient([long, short], NOW)
    assert long.grad.tolist() == pytest.approx([0.6, 0.8], abs=1e-5)
    assert short.grad.tolist() == [0.5]


def test_adaptive_clip_bounds_every_row_by_the_norm_of_its_weights():
    """Rows: norm of weights 5 and gradient 10; 5 and 0.5; 0 (taken as 10⁻³) and 2."""
    p = parameter([[3.0, 4], [3, 4], [0, 0]], [[6.0, 8], [0.3, 0.4], [0, 2]])
    Clip(by="adaptive", limit=0.1).gradient([p], NOW)
    expected = [[0.3, 0.4], [0.3, 0.4], [0, 1e-4]]
    torch.testing.assert_close(p.grad, torch.tensor(expected, dtype=torch.float64))


def test_adaptive_clip_takes_a_vector_as_one_unit():
    p = parameter([3.0, 4.0], [0.0, 10.0])
    Clip(by="adaptive", limit=0.5).gradient([p], NOW)
    assert p.grad.tolist() == pytest.approx([0.0, 2.5])


def test_adaptive_clip_equals_a_loop_over_units():
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(5, 3, 2, dtype=torch.float64))
    p.grad = torch.randn_like(p)
    expected = p.grad.clone()
    for row in range(5):
        weight = max(math.sqrt(sum(v**2 for v in p[row].flatten().tolist())), 1e-3)
        g = math.sqrt(sum(v**2 for v in expected[row].flatten().tolist()))
        if g / weight > 0.8:
            expected[row] *= 0.8 * weight / g
    Clip(by="adaptive", limit=0.8).gradient([p], NOW)
    torch.testing.assert_close(p.grad, expected)


# -------------------------------------------------------------------------------- gradient noise


def test_the_noise_has_the_variance_of_the_paper():
    """σ² = η / (1 + t)^γ."""
    assert GradientNoise(eta=0.3, gamma=0.55).deviation(0) == pytest.approx(math.sqrt(0.3))
    assert GradientNoise(eta=1.0, gamma=0.5).deviation(15) == pytest.approx(0.5)
    torch.manual_seed(0)
    p = parameter([0.0] * 40000, [2.0] * 40000)
    GradientNoise(eta=1.0, gamma=0.5).gradient([p], Moment(15, 0.5))
    assert p.grad.mean().item() == pytest.approx(2.0, abs=0.01)
    assert p.grad.std().item() == pytest.approx(0.5, rel=0.02)


# ------------------------------------------------------------------------------------------- sam


def test_sam_takes_the_gradient_at_the_worst_point_of_the_ball():
    """L = ½ Σ a_i w_i²: ε = ρ a⊙w / ‖a⊙w‖ and g = a ⊙ (w + ε)."""

    class Quadratic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
            self.register_buffer("passes", torch.zeros(()))

    from rnnbench.contract import EstimatorInput, Result
    from rnnbench.training.train_step import backpropagate

    model, a, reports = Quadratic(), torch.tensor([3.0, 1.0], dtype=torch.float64), []

    def forward(state, part=None, report=True):
        reports.append(report)
        model.passes += 1
        return 0.5 * (a * model.w**2).sum(), Result(model.w, model.w, f"state {len(reports)}")

    learning = EstimatorInput(model, None, None, NOW, False, forward, lambda: None, {})
    state = SAM(rho=0.5).estimator(backpropagate)(learning)
    w = torch.tensor([1.0, -2.0], dtype=torch.float64)
    g = a * w
    torch.testing.assert_close(model.w.grad, a * (w + 0.5 * g / g.norm()))
    assert torch.equal(model.w, w), "the weights are put back exactly"
    assert (reports, state) == ([True, False], "state 1")
    assert model.passes == 1, "buffers are those of the first pass"


def test_both_passes_of_sam_see_the_same_noise_and_leave_the_generator_as_one_pass_does():
    after = []
    for tricks in ([Zoneout(rate=0.5)], [Zoneout(rate=0.5), SAM(rho=0.1)]):
        folded = TrickFold(tricks)
        torch.manual_seed(0)
        model = assemble(TinyLSTM(), TOYS["lm"], folded)
        torch.manual_seed(1)
        step = training_step(model, folded, TOYS["lm"].example(), None, NOW)
        after.append((step.loss, torch.get_rng_state()))
    assert torch.equal(after[0][0], after[1][0])
    assert torch.equal(after[0][1], after[1][1])


def test_every_architecture_with_a_cell_takes_all_of_them():
    tricks = [Clip(by="adaptive"), GradientNoise(), Omega(), SparseGradient()]
    for architecture in (Elman(hidden=4), LSTM(hidden=4, layers=2), GRU(hidden=4)):
        check(architecture, TOYS["translate"], tricks, batch=TOYS["translate"].example())
