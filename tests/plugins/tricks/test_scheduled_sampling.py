"""Scheduled sampling: its decays, its coins, and no gradient through what it samples."""

import math

import pytest
import torch
from support.toys import TOYS, TinyLSTM

from rnnbench.contract import Moment
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_tricks.scheduled_sampling import ScheduledSampling


@pytest.mark.parametrize("decay", ["linear", "exponential", "inverse-sigmoid"])
def test_scheduled_sampling_falls_from_one_to_last(decay):
    trick = ScheduledSampling(decay=decay, last=0.2, k=20.0)
    values = [trick.gold_probability(p / 10) for p in range(11)]
    assert values[0] == pytest.approx(1.0, abs=0.05)
    assert values[-1] == pytest.approx(0.2)
    assert values == sorted(values, reverse=True)


def test_the_decays_are_those_of_the_paper():
    assert ScheduledSampling("linear", last=0.2).gold_probability(0.5) == pytest.approx(0.6)
    assert ScheduledSampling("exponential", last=0.25).gold_probability(0.5) == pytest.approx(0.5)
    k, last, p = 7.0, 0.1, 0.3
    steps_over_k = p * math.log(k * (1 / last - 1))
    expected = k / (k + math.exp(steps_over_k))
    assert ScheduledSampling("inverse-sigmoid", last, k).gold_probability(p) == expected


def test_scheduled_sampling_tosses_a_coin_for_every_token():
    torch.manual_seed(0)
    gold, guess = torch.zeros(2000, 1, dtype=torch.long), torch.ones(2000, 1, dtype=torch.long)
    fed = ScheduledSampling(last=0.4).feed(gold, guess, Moment(0, 0.5))
    assert fed.double().mean().item() == pytest.approx(0.3, abs=0.03)


def test_no_gradient_flows_through_the_sample():
    task = TOYS["forecast"]
    tricks = TrickFold([ScheduledSampling(last=1e-6)])
    torch.manual_seed(0)
    model = assemble(TinyLSTM(), task, tricks)
    seen = []
    model.embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].requires_grad))
    training_step(model, tricks, task.example(), None, Moment(1, 1.0))
    assert len(seen) == task.example().y.shape[1]
    assert not any(seen)
