"""Forecasts of a whole horizon at once, and training on free-running outputs."""

import pytest
import torch

from rnnbench.contract import Moment, Refusal
from rnnbench.spec.compose import compose
from rnnbench.training.train_step import TrickFold, training_step
from rnnbench.training.wiring import wire
from rnnbench_architectures.dlinear import DLinear
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.seq2seq import Seq2Seq
from rnnbench_tasks.co2 import CO2
from rnnbench_tricks.scheduled_sampling import ScheduledSampling

SMALL = {"context": 6, "horizon": 3}
DIRECT = CO2(output_steps="direct", **SMALL)


def test_a_direct_forecast_is_what_training_minimises():
    torch.manual_seed(0)
    model = wire(GRU(hidden=8), DIRECT).eval()
    data = DIRECT.data("valid", 0)
    batch = data.batch(data.order(4, None)[0], None)
    assert torch.equal(model(batch).out, model.decode(batch))
    assert model(batch).out.shape == (4, 3, 1)


def test_a_direct_forecast_learns_and_has_no_decoder():
    torch.manual_seed(0)
    model = wire(GRU(hidden=8), DIRECT)
    data = DIRECT.data("train", 0)
    batch = data.batch(data.order(64, None)[0], None)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(30):
        optimizer.zero_grad()
        losses.append(float(training_step(model, TrickFold(()), batch, None, Moment(step, 0)).loss))
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    assert not hasattr(model, "backbone")


def test_distributions_are_direct_too():
    task = CO2(output_steps="direct", output="quantiles", **SMALL)
    data = task.data("valid", 0)
    batch = data.batch(data.order(2, None)[0], None)
    decoded = wire(GRU(hidden=8), task).decoded(batch)
    assert decoded.out.shape == (2, 3, task.target.outputs)


def test_a_decoder_of_an_architecture_s_own_is_refused_and_what_is_direct_anyway_is_not():
    with pytest.raises(Refusal, match="has a decoder of its own"):
        wire(Seq2Seq(hidden=8), DIRECT)
    assert wire(DLinear(kernel=3), DIRECT).decodes


def test_runs_that_there_are_keep_their_ids():
    plain = compose("co2", "gru")
    said = compose("co2", "gru", settings={"task.output_steps": "free-running"})
    direct = compose("co2", "gru", settings={"task.output_steps": "direct"})
    assert said.run_id == plain.run_id != direct.run_id
    assert "output_steps" not in plain.canonical()


def test_all_of_training_can_be_on_free_running_outputs():
    trick = ScheduledSampling(decay="constant", last=0.0)
    gold, guess = torch.zeros(5, 1), torch.ones(5, 1)
    for progress in (0.0, 0.5, 1.0):
        assert torch.equal(trick.feed(gold, guess, Moment(0, progress)), guess)
    with pytest.raises(ValueError, match=r"decay=constant to feed guesses"):
        ScheduledSampling(last=0.0)
