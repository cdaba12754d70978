"""Forecasts as distributions: densities and scores by other formulas, models that say them."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.integrate import quad
from torch import nn

from rnnbench.contract import Batch, Port, Prediction
from rnnbench.metrics import Forecasts
from rnnbench.nn import Model
from rnnbench.nn.distributions import LEVELS, Gaussian, Quantiles, StudentT, distribution
from rnnbench.testing import TaskLaws
from rnnbench.testing.fixtures.small_architectures import ScannedLayers
from rnnbench.training.dry_run import check
from rnnbench.training.evaluate import evaluate
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.da_rnn import DaRNN
from rnnbench_architectures.lstnet import LSTNet
from rnnbench_architectures.seq2seq import Seq2Seq
from rnnbench_tasks.seattle_weather import SeattleWeather
from rnnbench_tasks.sunspots import Sunspots
from rnnbench_tricks.professor_forcing import ProfessorForcing
from rnnbench_tricks.scheduled_sampling import ScheduledSampling

NAMES = ("gaussian", "student-t", "quantiles")
named = pytest.mark.parametrize("name", NAMES)


class TestGaussianSunspots(TaskLaws):
    tiny = Sunspots(output="gaussian")


class TestStudentTSunspots(TaskLaws):
    tiny = Sunspots(output="student-t")


class TestQuantilesOfSunspots(TaskLaws):
    tiny = Sunspots(output="quantiles", centre="last", stride=3)


def said(name, values=2, rows=5):
    """An output for some values, and truths."""
    own = distribution(name)
    out = torch.randn(rows, own.parameters * values, dtype=torch.float64)
    return own, out, torch.randn(rows, values, dtype=torch.float64)


def frozen(own, out):
    """The same distributions by scipy, for one value."""
    if isinstance(own, Gaussian):
        mean, raw = out.tolist()
        return scipy.stats.norm(mean, math.log1p(math.exp(raw)) + 1e-4)
    mean, raw, freedom = out.tolist()
    nu = 2 + math.log1p(math.exp(freedom)) + 1e-4
    return scipy.stats.t(nu, mean, math.log1p(math.exp(raw)) + 1e-4)


@pytest.mark.parametrize("name", ["gaussian", "student-t"])
def test_densities_quantiles_and_crps_are_those_of_scipy(name):
    own, out, y = said(name, values=1)
    for row in range(len(out)):
        other, truth = frozen(own, out[row]), float(y[row])
        assert float(own.nll(out[row], y[row])) == pytest.approx(-other.logpdf(truth))
        for level in (0.05, 0.1, 0.9, 0.95):
            assert float(own.quantile(out[row], level)) == pytest.approx(other.ppf(level))
        # CRPS as it is defined: the squared distance of F from the step at the truth.
        below = quad(lambda x, F=other.cdf: F(x) ** 2, -np.inf, truth)[0]
        above = quad(lambda x, F=other.cdf: (1 - F(x)) ** 2, truth, np.inf)[0]
        assert float(own.crps(out[row], y[row])) == pytest.approx(below + above, rel=1e-5)


def test_quantiles_never_cross_and_their_loss_is_twice_the_pinball_loss():
    own, out, y = said("quantiles", values=3)
    q = torch.stack([own.quantile(out, level) for level in LEVELS])
    assert bool((q.diff(dim=0) > 0).all())
    assert torch.equal(q[len(LEVELS) // 2], own.point(out))
    want = torch.zeros_like(y)
    for level, values in zip(LEVELS, q, strict=True):
        for i in range(y.shape[0]):
            for v in range(y.shape[1]):
                e = float(y[i, v] - values[i, v])
                want[i, v] += 2 / len(LEVELS) * (level * e if e >= 0 else (level - 1) * e)
    assert torch.allclose(own.nll(out, y), want)
    with pytest.raises(ValueError, match=r"no quantile at 0\.33"):
        own.quantile(out, 0.33)


KNOWN = {
    "normal": scipy.stats.norm(), "laplace": scipy.stats.laplace(), "t": scipy.stats.t(3),
    "exponential": scipy.stats.expon(), "uniform": scipy.stats.uniform(),
    "log-normal": scipy.stats.lognorm(1),
}  # fmt: skip


def out_with_quantiles(q):
    """The output whose quantiles are these."""
    half = len(LEVELS) // 2
    gaps = torch.log(torch.expm1(q.diff()))  # softplus of these are the distances
    return torch.cat([q[half : half + 1], gaps[half:], gaps[:half].flip(0)])


def crps_by_definition(other, y):
    """CRPS by a fine sum over levels: twice the pinball loss of every quantile."""
    tau = (np.arange(200_000) + 0.5) / 200_000
    error = y - other.ppf(tau)
    return 2 * np.maximum(tau * error, (tau - 1) * error).mean()


@pytest.mark.parametrize("name", KNOWN)
def test_crps_by_quantiles_of_a_known_distribution_is_its_own_within_a_hundredth(name):
    other = KNOWN[name]
    out = out_with_quantiles(torch.tensor(other.ppf(LEVELS)))
    assert float(Quantiles().quantile(out, 0.05)) == pytest.approx(other.ppf(0.05), abs=1e-9)
    wanted, found = [], []
    for level in (np.arange(40) + 0.5) / 40:
        y = float(other.ppf(level))
        wanted.append(crps_by_definition(other, y))
        found.append(float(Quantiles().crps(out, torch.tensor([y], dtype=torch.float64))))
    assert found == pytest.approx(wanted, rel=0.01)
    assert sum(found) == pytest.approx(sum(wanted), rel=0.001)


def test_crps_by_quantiles_is_an_absolute_error_where_they_are_one_value_or_far_away():
    out = torch.full((len(LEVELS),), -800.0, dtype=torch.float64)  # all distances are 0
    out[0] = 2.0
    for truth in (-3.0, 2.0, 2.5):
        y = torch.tensor([truth], dtype=torch.float64)
        assert float(Quantiles().crps(out, y)) == pytest.approx(abs(truth - 2.0), abs=1e-9)
    out = out_with_quantiles(torch.tensor(scipy.stats.norm.ppf(LEVELS)))
    far = torch.tensor([1e4], dtype=torch.float64)
    assert float(Quantiles().crps(out, far)) == pytest.approx(1e4, rel=1e-4)


@named
def test_a_fit_by_gradient_finds_the_distribution_that_made_the_data(name):
    own = distribution(name)
    y = 2 + 3 * torch.randn(4000, 1)
    out = nn.Parameter(torch.zeros(own.parameters))
    optimizer = torch.optim.Adam([out], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        own.nll(out.expand(len(y), -1), y).mean().backward()
        optimizer.step()
    found = out.detach()
    assert float(own.point(found)) == pytest.approx(2, abs=0.2)
    low, high = own.quantile(found, 0.1), own.quantile(found, 0.9)
    assert float(((y >= low) & (y <= high)).float().mean()) == pytest.approx(0.8, abs=0.03)


@named
def test_an_output_around_a_value_has_it_as_its_point(name):
    own, _, y = said(name)
    assert torch.equal(own.point(own.around(y)), y)


def test_a_distribution_is_of_values_and_a_port_counts_its_outputs():
    port = Port(width=3, distribution=StudentT())
    assert port.outputs == 9
    assert Port(width=3).outputs == 3
    assert Port(classes=7).outputs == 7
    with pytest.raises(ValueError, match="classes have their own"):
        Port(classes=3, distribution=Gaussian())


@named
def test_the_loss_is_the_likelihood_of_what_is_there_and_missing_targets_send_no_gradient(name):
    own, out, y = said(name, values=2, rows=6)
    out = out.view(2, 3, -1).requires_grad_()
    y = y.view(2, 3, 2).clone()
    y[0, 1, 0] = torch.nan
    model = Model(Port(width=2, distribution=own))
    loss = model.loss(out, Batch(torch.zeros(2, 1, 1), y))
    kept = ~y.isnan()
    want = own.nll(out, y.nan_to_num())[kept].mean()
    assert loss.item() == pytest.approx(want.item())
    loss.backward()
    assert bool(out.grad.isfinite().all())
    assert float(out.grad[0, 1, 0]) == 0
    nll, mask = model.nll(out, Batch(torch.zeros(2, 1, 1), y))
    assert torch.equal(mask, kept)
    assert (nll.sum() / mask.sum()).item() == pytest.approx(loss.item())


@named
@pytest.mark.parametrize(
    "architecture",
    [
        ScannedLayers(hidden=4),
        Seq2Seq(hidden=4),
        DaRNN(hidden=4),
        LSTNet(hidden=4, filters=3, kernel=2),
    ],
    ids=lambda a: a.name,
)
def test_any_forecasting_model_says_distributions_and_is_measured(name, architecture):
    task = SeattleWeather(output=name)
    check(architecture, task)
    model = assemble(architecture, task, TrickFold())
    data = task.data("valid", 0)
    data.times_W = data.times_W[:30]
    figures, shown = evaluate(model, task, data, task.meter("valid"), torch.device("cpu"), 1)
    assert set(figures) == {"loss", *(m.name for m in task.metrics)}
    assert all(map(math.isfinite, figures.values()))
    assert 0 <= figures["coverage_80"] <= figures["coverage_90"] <= 1
    assert task.selection == task.metrics[0].name == "crps"
    assert len(shown[0]["forecast"].split()) == task.horizon


@named
def test_a_decoder_reads_the_point_of_what_it_said(name):
    task = Sunspots(output=name)
    model = assemble(ScannedLayers(hidden=4), task, TrickFold()).eval()
    batch = task.data("test", 0).batch(task.data("test", 0).times_W[:3], None)
    with torch.no_grad():
        found = model.decoded(batch)
        fed = model(batch._replace(y=found.y)).out  # teacher forcing on its own points
    assert torch.equal(found.y, task.target.choose(found.out))
    assert torch.allclose(fed, found.out, atol=1e-6)


@pytest.mark.parametrize("trick", [ScheduledSampling(), ProfessorForcing()], ids=lambda t: t.name)
def test_tricks_that_feed_outputs_back_feed_points(trick):
    check(ScannedLayers(hidden=4), Sunspots(output="student-t"), [trick])


def test_coverage_and_crps_are_those_of_a_loop():
    task = Sunspots(output="gaussian")
    data, own = task.data("test", 0), Gaussian()
    batch = data.batch(data.times_W, None)
    out = torch.randn(*batch.y.shape[:2], 2)
    meter = task.meter("test")
    meter.update(batch, Prediction(out[..., :1], ~batch.y.isnan(), out, own.point(out), None, out))
    found = meter.compute()
    crps, inside = [], {80: 0, 90: 0}
    for y, o in zip(batch.y.flatten().tolist(), out.view(-1, 2), strict=True):
        other = frozen(own, o.double())
        z = (y - other.mean()) / other.std()
        norm = scipy.stats.norm
        crps.append(other.std() * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - math.pi**-0.5))
        for percent in inside:
            low, high = other.interval(percent / 100)
            inside[percent] += low <= y <= high
    assert found["crps"] == pytest.approx(np.mean(crps))
    assert found["coverage_80"] == pytest.approx(inside[80] / len(crps))
    assert found["coverage_90"] == pytest.approx(inside[90] / len(crps))


def test_the_crps_of_a_point_forecast_is_its_absolute_error():
    baselines = Sunspots(output="quantiles").baselines("test")
    assert all(v["crps"] == pytest.approx(v["mae"]) for v in baselines.values())
    assert "coverage_80" not in baselines["mean"]


def test_a_meter_of_distributions_refuses_values_alone():
    task = Sunspots(output="gaussian")
    data = task.data("test", 0)
    batch = data.batch(data.times_W, None)
    with pytest.raises(ValueError, match="must give `out` as well"):
        task.meter("test").update(batch, Prediction(batch.y, ~batch.y.isnan(), batch.y, batch.y))


def test_a_meter_refuses_batches_that_do_not_say_which_windows_they_are():
    data = Sunspots().data("test", 0)
    batch = data.batch(data.times_W, None)._replace(item_B=None)
    with pytest.raises(ValueError, match="item_B"):
        Forecasts(data.unit).update(batch, Prediction(batch.y, ~batch.y.isnan(), batch.y, batch.y))


def test_output_is_one_of_four():
    fields = {f.name: f for f in dataclasses.fields(Sunspots)}
    assert fields["output"].default == "point"
    assert Sunspots().target.distribution is None
