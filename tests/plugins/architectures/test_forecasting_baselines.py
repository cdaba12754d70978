"""Baselines of forecasting against slow ones that are written in the papers' terms."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from support.command_line import call
from support.forecasting_models import built
from support.real_data import here

from rnnbench.contract import Batch, Port, Refusal, Task
from rnnbench.nn.distributions import distribution
from rnnbench.testing.fixtures.toy_tasks import Toy
from rnnbench.training.evaluate import evaluate
from rnnbench_architectures.patchtst import PatchTST
from rnnbench_architectures.seasonal_naive import SeasonalNaive
from rnnbench_architectures.segrnn import SegRNN
from rnnbench_tasks.co2 import CO2
from rnnbench_tasks.ett_h1 import ETTh1

CONTEXT, HORIZON, PAST = 11, 5, (2, 0)


@dataclass(frozen=True)
class Two(Toy):
    """Two of three columns are forecast."""

    past: ClassVar[tuple[int, ...]] = PAST  # type: ignore[misc]


def two(output="point"):
    own = None if output == "point" else distribution(output)
    ports = Port(width=3, longest=CONTEXT), Port(width=2, longest=HORIZON, distribution=own)
    return Two("UNALIGNED", ports)


def windows(rows=3):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(rows, CONTEXT, 3, generator=g).double()
    return Batch(x, torch.randn(rows, HORIZON, 2, generator=g).double())


# ---------------------------------------------------------------------------------- forecasting


def gru_cell(gru):
    """torch's cell of one step with the same weights."""
    cell = torch.nn.GRUCell(gru.input_size, gru.hidden_size).double()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in gru.state_dict().items()})
    return cell


@torch.no_grad()
@pytest.mark.parametrize("output", ["point", "gaussian"])
@pytest.mark.parametrize(("segment", "hidden"), [(1, 4), (2, 6), (3, 5), (11, 4)])
def test_segrnn_encodes_segments_and_decodes_each_from_the_same_state(segment, hidden, output):
    task, batch = two(output), windows()
    model = built(SegRNN(hidden=hidden, segment=segment), task)
    out, cell = model(batch).out, gru_cell(model.gru)
    numbers = 1 if output == "point" else 2
    for row in range(3):
        for v, column in enumerate(PAST):
            last = batch.x[row, -1, column]
            x = batch.x[row, :, column] - last
            n = CONTEXT // segment
            x = x[CONTEXT - n * segment :]
            h = torch.zeros(1, hidden).double()
            for j in range(n):
                z = model.enter(x[j * segment : (j + 1) * segment]).relu()
                h = cell(z[None], h)
            steps = []
            for i in range(math.ceil(HORIZON / segment)):
                y = cell(torch.cat([model.place[i], model.series[v]])[None], h)[0]
                steps += model.leave(y).view(segment, numbers)
            found = torch.stack(steps[:HORIZON])
            found[:, 0] += last
            for p in range(numbers):
                assert torch.allclose(out[row, :, 2 * p + v], found[:, p], atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(("patch", "stride"), [(4, 2), (3, 3), (5, 1), (2, 4), (11, 3)])
def test_patchtst_is_the_papers_equations(patch, stride):
    width, heads, batch = 6, 2, windows()
    plugin = PatchTST(hidden=width, heads=heads, inner=7, layers=2, patch=patch, stride=stride)
    model = built(plugin, two())
    for layer in model.layers:  # as if it had been trained
        for norm in (layer.first.norm, layer.second.norm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    out = model(batch).out
    count = math.floor((CONTEXT - patch) / stride) + 2
    assert model.place.shape == (count, width)

    def batch_norm(norm, z):
        z = (z - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        return norm.weight * z + norm.bias

    for row in range(3):
        for v, column in enumerate(PAST):
            x = batch.x[row, :, column]
            mean = sum(x) / CONTEXT
            deviation = (sum((x - mean) ** 2) / CONTEXT + 1e-5).sqrt()
            s = [(value - mean) / deviation for value in x]
            s += [s[-1]] * stride
            patches = [torch.stack(s[i * stride : i * stride + patch]) for i in range(count)]
            z = torch.stack([model.enter(p) for p in patches]) + model.place
            for layer in model.layers:
                q, k, value = layer.qkv(z).chunk(3, -1)
                looked = []
                for head in range(heads):
                    part = slice(head * width // heads, (head + 1) * width // heads)
                    scores = q[:, part] @ k[:, part].T / math.sqrt(width / heads)
                    looked.append(scores.softmax(-1) @ value[:, part])
                z = batch_norm(layer.first.norm, z + layer.out(torch.cat(looked, -1)))
                inner = layer.up(z)
                gelu = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
                z = batch_norm(layer.second.norm, z + layer.down(gelu))
            expected = model.leave(z.flatten()) * deviation + mean
            assert torch.allclose(out[row, :, v], expected, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("plugin", [SegRNN(hidden=4, segment=2), PatchTST(patch=4, stride=2)])
def test_a_shifted_series_is_forecast_shifted_and_no_other_column_is_read(plugin):
    model, batch = built(plugin, two()), windows()
    x = batch.x.clone()
    x[:, :, 1] = 99.0
    x[:, :, 0] += 5.0
    shift = torch.tensor([0.0, 5.0]).double()  # in the order of `PAST`
    assert torch.allclose(model(batch._replace(x=x)).out, model(batch).out + shift, atol=1e-9)


def test_patchtst_says_which_heads_divide_its_width():
    with pytest.raises(Refusal, match="multiple of 4"):
        PatchTST(hidden=18)


@torch.no_grad()
def test_seasonal_naive_repeats_the_last_season():
    model, batch = built(SeasonalNaive(season=3), two()), windows()
    at = [CONTEXT - 3 + s % 3 for s in range(HORIZON)]
    assert torch.equal(model(batch).out, batch.x[:, at][:, :, list(PAST)])
    assert torch.equal(model.decode(batch), model(batch).out)


@pytest.mark.parametrize("task", [CO2(), CO2(horizon=60), ETTh1(context=24, horizon=30)], ids=str)
def test_seasonal_naive_is_the_tasks_own_baseline(task: Task):
    here(task)
    model = built(SeasonalNaive(), task).float()
    data = task.data("test", 0)
    found, _ = evaluate(model, task, data, task.meter("test"), torch.device("cpu"))
    for name, value in task.baselines("test")["seasonal_naive"].items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


def test_a_forecast_without_parameters_is_kept_and_checked_again(tmp_path):
    out = ("--out", tmp_path)
    said = call("run", "co2", "seasonal-naive", "budget.steps=1", "-q", *out)
    assert "0 parameters, 1 steps" in said
    run = said.strip().rpartition("/")[2]
    assert "equal to the last digit" in call("verify", run, *out)
    assert "truth" in call("generate", run, *out)
