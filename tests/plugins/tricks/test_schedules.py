"""Schedules of the learning rate against torch's own and hand-worked numbers."""

import math

import pytest
import torch
from torch import nn

from rnnbench.contract import Moment, WrappedOptimizer
from rnnbench_tricks.inverse_sqrt import InverseSqrt
from rnnbench_tricks.plateau import Plateau
from rnnbench_tricks.warmup_cosine import WarmupCosine

# ------------------------------------------------------------------------------------- schedules


def rates(optimizer, steps, before=lambda step: None):
    found = []
    for step in range(steps):
        before(step)
        optimizer.schedule(Moment(step, (step + 1) / steps))
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_warmup_and_cosine_are_torch_s_schedulers_one_after_the_other():
    """20 steps, 5 of them warm-up; torch's count begins at 0, so its rates are one step late."""
    p, q = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    ours = WarmupCosine(warmup=0.25, last=0.1).optimizer(torch.optim.SGD([p], lr=0.2))
    theirs = torch.optim.SGD([q], lr=0.2)
    warm = torch.optim.lr_scheduler.LinearLR(theirs, 1e-9, 1.0, total_iters=5)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 15, eta_min=0.02)
    both = torch.optim.lr_scheduler.SequentialLR(theirs, [warm, fall], milestones=[5])
    expected = []
    for _ in range(20):
        theirs.step()
        both.step()
        expected.append(theirs.param_groups[0]["lr"])
    assert rates(ours, 20) == pytest.approx(expected, rel=1e-6)


def test_the_cosine_worked_by_hand():
    trick = WarmupCosine(warmup=0.2, last=0.0)
    assert trick.factor(0.1) == pytest.approx(0.5)
    assert trick.factor(0.2) == 1.0
    assert trick.factor(0.6) == pytest.approx(0.5)
    assert trick.factor(0.8) == pytest.approx((1 + math.cos(math.pi * 0.75)) / 2)
    assert trick.factor(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize(("patience", "factor", "least"), [(0, 0.5, 0.0), (2, 0.3, 0.02)])
def test_plateau_is_torch_s_scheduler_without_its_threshold(patience, factor, least):
    values = [3.0, 2.0, 2.0, 2.5, 2.1, 1.9, 1.95, 1.95, 1.95, 1.95, 1.8, 5, 5, 5, 5, 5, 5, 5, 5]
    p, q = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    ours = Plateau(factor, patience, least).optimizer(torch.optim.SGD([p], lr=0.2))
    theirs = torch.optim.SGD([q], lr=0.2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, factor=factor, patience=patience, min_lr=least, threshold=0.0, eps=0.0
    )
    best = math.inf
    for step, value in enumerate(values):
        ours.observe(value, better=value < best)
        best = min(best, value)
        scheduler.step(value)
        ours.schedule(Moment(step, 0.5))
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize("form", ["inside", "outside"])
def test_a_rate_falls_with_the_root_of_all_steps_those_within_a_batch_included(form):
    def expected(t):
        return 0.2 / (math.sqrt(1 + 0.5 * t) if form == "inside" else 1 + 0.5 * math.sqrt(t))

    p = nn.Parameter(torch.zeros(1))
    optimizer = InverseSqrt(alpha=0.5, form=form).optimizer(torch.optim.SGD([p], lr=0.2))
    p.grad, used, before = torch.ones(1), [], 0.0
    for batch in range(4):  # of three steps each, as an online estimator takes them
        optimizer.schedule(Moment(batch, batch / 4))
        for _ in range(3):
            optimizer.step()
            used.append(before - p.item())
            before = p.item()
    assert used == pytest.approx([expected(t) for t in range(12)], rel=1e-5)


def test_schedules_multiply_in_either_order():
    for first, second in ((Plateau(0.5, 0), WarmupCosine(0.0, 0.2)),
                          (WarmupCosine(0.0, 0.2), Plateau(0.5, 0))):  # fmt: skip
        p = nn.Parameter(torch.zeros(1))
        optimizer = second.optimizer(first.optimizer(torch.optim.SGD([p], lr=0.8)))
        assert isinstance(optimizer, WrappedOptimizer)
        found = rates(optimizer, 4, lambda step, o=optimizer: o.observe(step, better=step == 0))
        cosine = [WarmupCosine(0.0, 0.2).factor(i / 4) for i in (1, 2, 3, 4)]
        assert found == pytest.approx([0.8 * c / 2**i for i, c in enumerate(cosine)])
