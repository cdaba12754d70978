"""The four wirings: shapes, padding, stepping, and losses that count what they should."""

import math

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch.nn import functional as F

from rnnbench.contract import Batch
from rnnbench.training.evaluate import evaluate
from rnnbench.training.modes import evaluating
from rnnbench.training.wiring import pooled, wire
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.transformer import Transformer

ARCHITECTURES = {
    "elman": Elman(hidden=6),
    "lstm": TinyLSTM(layers=2),
    "gru": GRU(hidden=6),
    "transformer": Transformer(hidden=8, heads=2, layers=1),
}
every = pytest.mark.parametrize("name", ARCHITECTURES)
every_toy = pytest.mark.parametrize("toy", TOYS)
decoding = pytest.mark.parametrize("toy", ["caption", "translate", "forecast"])


def built(name, toy):
    return wire(ARCHITECTURES[name], TOYS[toy]).double().eval(), doubled(TOYS[toy].example())


def doubled(batch):
    values = {
        k: v.double()
        for k, v in batch._asdict().items()
        if isinstance(v, torch.Tensor) and v.is_floating_point()
    }
    return batch._replace(**values)


@every
@every_toy
def test_outputs_have_the_shape_of_the_target(name, toy):
    model, batch = built(name, toy)
    out = model(batch).out
    target = TOYS[toy].target
    assert (
        out.shape
        == (*batch.y.shape[: 2 if batch.y.dim() > 1 and target.classes else None], target.classes)
        if target.classes
        else out.shape == batch.y.shape
    )


@every
@pytest.mark.parametrize("toy", [name for name, toy in TOYS.items() if toy.ragged])
def test_padding_changes_neither_loss_nor_figures(name, toy):
    model, batch = built(name, toy)
    before = model.loss(model(batch).out, batch)
    x, y = batch.x.clone(), batch.y.clone()
    for row, length in enumerate(batch.x_len):
        x[row, length:] = 5 if not x.is_floating_point() else 99.0
    if batch.y_len is not None:
        for row, length in enumerate(batch.y_len):
            y[row, length:] = 3
    padded = batch._replace(x=x, y=y)
    torch.testing.assert_close(model.loss(model(padded).out, padded), before, atol=1e-12, rtol=0)


@every
@every_toy
def test_a_row_does_not_depend_on_its_companions(name, toy):
    model, batch = built(name, toy)
    alone = Batch(*(v[1:2] if isinstance(v, torch.Tensor) else v for v in batch))
    torch.testing.assert_close(model(batch).out[1:2], model(alone).out, atol=1e-12, rtol=0)


@every
@decoding
def test_stepping_with_the_truth_equals_teacher_forcing(name, toy):
    model, batch = built(name, toy)
    at_once = model(batch).out
    stepped = model(batch, None, lambda gold, guess: gold).out
    torch.testing.assert_close(at_once, stepped, atol=1e-12, rtol=0)


@every
@decoding
def test_decoding_does_not_see_the_target(name, toy):
    model, batch = built(name, toy)
    other = batch._replace(y=torch.zeros_like(batch.y))
    with evaluating(model):
        assert torch.equal(model.decode(batch), model.decode(other))


@decoding
def test_teacher_forcing_reads_only_what_came_before(toy):
    model, batch = built("lstm", toy)
    before = model(batch).out
    y = batch.y.clone()
    y[:, 1] = 0
    after = model(batch._replace(y=y)).out
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 2:], after[:, 2:])


def test_decoding_ends_where_every_row_has_stopped():
    model, batch = built("lstm", "translate")
    with torch.no_grad():
        model.readout.bias[2] = 1e6
        assert model.decode(batch).shape == (4, 1)
        model.readout.bias[2] = -1e6
        assert model.decode(batch).shape == (4, TOYS["translate"].target.longest)


def test_the_loss_of_ragged_rows_is_the_mean_over_real_tokens():
    model, batch = built("gru", "translate")
    out = model(batch).out
    nll = [
        F.cross_entropy(out[row, t], batch.y[row, t])
        for row, length in enumerate(batch.y_len)
        for t in range(length)
    ]
    torch.testing.assert_close(model.loss(out, batch), torch.stack(nll).mean())


def test_a_missing_value_is_left_out_of_loss_and_gradient_and_input():
    model, batch = built("lstm", "forecast")
    y = batch.y.clone()
    y[0, 1] = torch.nan
    missing = batch._replace(y=y)
    result = model(missing)
    loss = model.loss(result.out, missing)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    measured = ~y.isnan()
    expected = (result.out - y)[measured].square().mean()
    torch.testing.assert_close(loss, expected)
    repeated = y.clone()
    repeated[0, 1] = y[0, 0]
    torch.testing.assert_close(result.out, model(batch._replace(y=repeated)).out)


def test_elementwise_losses_sum_to_the_mean_loss():
    for toy in TOYS:
        model, batch = built("gru", toy)
        out = model(batch).out
        nll, mask = model.nll(out, batch)
        torch.testing.assert_close(nll.sum() / mask.sum(), model.loss(out, batch))


@pytest.mark.parametrize(
    ("how", "expected"), [("last", [3.0, 1.0]), ("mean", [2.0, 0.5]), ("max", [3.0, 1.0])]
)
def test_pooling_ends_at_the_true_length(how, expected):
    y = torch.tensor([[0.0, 3, 2, 3], [0.0, 1, 77, 77]])[..., None]
    batch = Batch(x=y, y=y, x_len=torch.tensor([4, 2]))
    assert pooled(y, batch, how).flatten().tolist() == pytest.approx(expected)


def test_evaluation_is_a_mean_over_elements_never_over_batches():
    task = TOYS["tagging"]
    model = wire(TinyLSTM(), task)
    data = task.data("valid", 0)
    metrics, _ = evaluate(model, task, data, task.meter("valid"), torch.device("cpu"))
    total = count = 0.0
    with torch.no_grad():
        for batch in data.batches:
            n = int(batch.y_len.sum())
            total += model.loss(model(batch).out, batch).item() * n
            count += n
    assert metrics["loss"] == pytest.approx(total / count)
    assert metrics["figure"] == pytest.approx(metrics["loss"])


def test_evaluation_of_a_stream_carries_state():
    task = TOYS["lm"]
    model = wire(TinyLSTM(), task).eval()
    data = task.data("valid", 0)
    metrics, _ = evaluate(model, task, data, None, torch.device("cpu"))
    x, y = (torch.cat([getattr(b, name) for b in data.batches], 1) for name in ("x", "y"))
    whole = Batch(x, y)
    loss = model.loss(model(whole).out, whole).item()
    assert metrics["loss"] == pytest.approx(loss, rel=1e-6)


def test_a_meter_that_forgets_a_declared_metric_is_an_error():
    task = TOYS["lm"]
    model, meter = wire(TinyLSTM(), task), task.meter("valid")
    meter.compute = lambda: {"other": 1.0}
    with pytest.raises(ValueError, match="declares the metrics"):
        evaluate(model, task, task.data("valid", 0), meter, torch.device("cpu"))


def test_an_untrained_model_is_about_as_good_as_guessing():
    for toy in ("lm", "translate", "classify"):
        task = TOYS[toy]
        model = wire(TinyLSTM(), task)
        batch = task.example()
        assert model.loss(model(batch).out, batch).item() == pytest.approx(
            math.log(task.target.classes), rel=0.25
        )
