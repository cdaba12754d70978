"""What a run keeps to be looked at: examples, and the gradient of each layer."""

import json
from types import SimpleNamespace

import pytest
import torch
from support.small_runs import small
from torch import nn

from rnnbench.contract import Batch, Port, Prediction
from rnnbench.report.site.plots import attention_map, run_curves, series_chart
from rnnbench.results.record import FLOW, Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.examples import ITEMS, PAST, TOKENS, drawings, write_examples
from rnnbench.training.execute import execute
from rnnbench.training.gradient_norms import LAYERS, gradient_flow, layers_of
from rnnbench.training.logs import Telemetry
from rnnbench.training.resolve import resolve

CPU = Trainer(accelerator="cpu")


def seen(**drawn):
    nothing = torch.zeros(1)
    return Prediction(nothing, nothing.bool(), nothing, **drawn)


def translation():
    words = {"source": ("", "der", "Hund"), "target": None}
    port = Port(classes=9, stop=3)
    return SimpleNamespace(source=port, target=port, words=lambda side: words[side], past=())


def test_an_attention_map_ends_where_source_and_output_end():
    batch = Batch(torch.tensor([[1, 2, 3, 0]] * 5), torch.zeros(5, 4), x_len=torch.tensor([3] * 5))
    look = torch.tensor([[[0.9, 0.1, 0.0, 0.0], [0.2, 0.3, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]]] * 5)
    drawn = drawings(
        translation(), batch, seen(decoded=torch.tensor([[5, 3, 7]] * 5), attention=look)
    )
    assert len(drawn) == ITEMS
    assert drawn[0] == {
        "kind": "attention",
        "source": ["der", "Hund", "(end)"],
        "output": ["#5", "(end)"],
        "percent": [[90, 10, 0], [20, 30, 50]],
    }
    assert "(end) at (end)" in attention_map(drawn[0]).says


def test_an_attention_map_of_a_long_pair_is_cut_off():
    x = torch.ones(1, 100, dtype=torch.long)
    drawn = drawings(
        translation(), Batch(x, x),
        seen(decoded=x, attention=torch.full((1, 100, 100), 0.01)),
    )  # fmt: skip
    assert len(drawn[0]["percent"]) == len(drawn[0]["percent"][0]) == TOKENS


def test_a_forecast_stands_after_its_past_and_says_what_is_missing():
    task = SimpleNamespace(target=Port(width=1), source=Port(width=2), past=(1,))
    x = torch.arange(400.0).view(1, 200, 2)
    y = torch.tensor([[[0.5], [float("nan")]]])
    (drawn,) = drawings(task, Batch(x, y), seen(decoded=torch.tensor([[[0.25], [1.0]]])))
    assert drawn["past"][-2:] == [397.0, 399.0]
    assert len(drawn["past"]) == PAST
    assert drawn["truth"] == [0.5, None]
    assert drawn["forecast"] == [0.25, 1.0]
    chart = series_chart(drawn)
    assert [line.name for line in chart.lines] == ["past", "truth", "forecast"]
    assert chart.rules


def test_nothing_is_drawn_of_what_was_not_decoded():
    assert drawings(translation(), Batch(torch.ones(1, 2), torch.ones(1, 2)), seen()) == []


def test_nothing_is_written_where_there_is_nothing_to_see(tmp_path):
    write_examples(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_a_tested_run_keeps_a_sample_that_repeats_and_the_gradient_of_each_layer(tmp_path):
    runs_kept = []
    for name in "ab":
        store = Store(tmp_path / name)
        record = execute(small(test=True), store=store, trainer=CPU)
        assert record.status is Status.DONE, record.reason
        kept = json.loads((store.run_dir(record.run_id) / "examples.json").read_text())
        (sample,) = kept["examples"]
        assert sample["kind"] == "text"
        assert len(sample["text"]) == 60
        flow = [{k: v for k, v in p[2].items() if k.startswith(FLOW)} for p in record.curve]
        assert all(norms and all(v > 0 for v in norms.values()) for norms in flow)
        runs_kept.append((sample, flow))
        store.close()
    assert runs_kept[0] == runs_kept[1]
    charts = run_curves(record.curve, [m["name"] for m in record.metric_info])
    assert "readout" in charts[-1].says


def test_a_search_trial_keeps_no_examples(tmp_path):
    store = Store(tmp_path)
    record = execute(small(), store=store, trainer=CPU)
    assert not (store.run_dir(record.run_id) / "examples.json").exists()
    store.close()


def test_a_forecasting_run_keeps_its_first_forecasts(tmp_path):
    store = Store(tmp_path)
    settings = {"architecture.hidden": 4, "budget.steps": 4, "budget.validate_every": 2,
                "task.horizon": 5}  # fmt: skip
    spec = resolve(compose("co2", "elman", [], settings))
    record = execute(spec, store=store, trainer=CPU)
    assert record.status is Status.DONE, record.reason
    kept = json.loads((store.run_dir(record.run_id) / "examples.json").read_text())["examples"]
    assert [e["kind"] for e in kept] == ["series"] * ITEMS
    assert all(len(e["truth"]) == len(e["forecast"]) == 5 for e in kept)
    store.close()


def test_what_cannot_be_shown_is_told_and_harms_nothing(tmp_path, capsys):
    telemetry = Telemetry(small(), CPU, tmp_path, None)
    assert telemetry.guarded("sampling a text", lambda: 1 / 0, []) == []
    assert telemetry.problems == ["sampling a text: division by zero"]
    assert "division by zero" in capsys.readouterr().err


def test_the_gradient_of_a_layer_is_the_norm_over_its_parameters():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    assert gradient_flow(model) == {}
    for p in model[0].parameters():
        p.grad = torch.full_like(p, 2.0)
    assert gradient_flow(model) == {f"{FLOW}0": pytest.approx((6 * 4) ** 0.5)}


def test_layers_are_named_as_finely_as_can_be_told_apart():
    names = [f"stack.{i}.cell.{w}" for i in range(6) for w in ("weight_x", "weight_h")]
    assert set(layers_of(names).values()) == {f"stack.{i}.cell" for i in range(6)}
    deep = [f"stack.{i}.part.{k}.weight" for i in range(4) for k in range(5)] + ["bias"]
    assert set(layers_of(deep).values()) == {*(f"stack.{i}.part" for i in range(4)), "bias"}
    wide = [f"layer{i}.weight" for i in range(3 * LAYERS)]
    assert len(set(layers_of(wide).values())) == 3 * LAYERS
