"""What a run on test costs, what it keeps of each item, and equal numbers of parameters."""

import dataclasses

import numpy as np
import pytest
import torch
from sacrebleu.metrics import BLEU

from rnnbench.contract import Batch, Metric, Prediction, Refusal
from rnnbench.errors import PluginError, SpecError
from rnnbench.metrics import Accuracy, Translation
from rnnbench.results.item_scores import read_items
from rnnbench.results.record import TESTED
from rnnbench.results.run_folder import ITEM_SCORES
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.spec.instantiate import instantiate
from rnnbench.spec.run_spec import Budget, Optimizer, Trainer
from rnnbench.stats.item_bootstrap import bleu, compare_items
from rnnbench.training.costs import flops_per_target
from rnnbench.training.devices.product_speed import product_speed
from rnnbench.training.execute import execute
from rnnbench.training.parameter_budget import parameters_of
from rnnbench.training.resolve import resolve
from rnnbench_tasks.digits import Digits

SMALL = {"task.step": "row", "budget.steps": 4, "budget.validate_every": 2}
GUESSES = ["the cat sat on the mat", "a dog", "hello there my friend", "no match at all here"]
REFERENCES = ["the cat sat on a mat", "a dog barks", "hello there my old friend", "quite other"]


def test_a_run_on_test_keeps_its_costs_and_its_items_and_a_trial_does_not(tmp_path):
    store = Store(tmp_path)
    for test in (True, False):
        settings = {**SMALL, "architecture.hidden": 8}
        spec = resolve(compose("digits", "lstm", [], settings, seed=1, test=test))
        record = execute(spec, store=store, trainer=Trainer(accelerator="cpu"))
        assert record.cost["peak_memory_bytes"] > 1e7
        scores = read_items(store.run_dir(spec.run_id) / ITEM_SCORES)
        assert (set(record.cost) >= TESTED) == (scores is not None) == test
        if scores is not None:
            right, counted = scores.values_NC.sum(0)
            assert right / counted == pytest.approx(record.metrics["test"]["accuracy"])
            assert (scores.metric, scores.unit) == ("accuracy", "row")
            assert 0 < record.cost["step_latency_seconds"] < record.cost["latency_seconds"]
            assert "flop_counter" in record.provenance["flops"]
            assert record.provenance["product_speed"] > 1e8
        assert ("product_speed" in record.provenance) == test


def test_the_speed_of_products_is_measured_once_and_draws_no_random_number():
    before = torch.random.get_rng_state()
    speed = product_speed(torch.device("cpu"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert 1e8 < speed < 1e14
    assert product_speed(torch.device("cpu")) == speed


def test_a_metric_tells_within_what_its_figures_are_equal_and_a_record_keeps_it(
    tmp_path, monkeypatch
):
    told = (dataclasses.replace(Digits.metrics[0], margin=0.02), *Digits.metrics[1:])
    spec = resolve(compose("digits", "lstm", [], {**SMALL, "architecture.hidden": 8}, seed=1))
    run_id = spec.run_id
    monkeypatch.setattr(Digits, "metrics", told)
    assert resolve(spec).run_id == run_id
    record = execute(spec, store=Store(tmp_path), trainer=Trainer(accelerator="cpu"))
    assert record.headline["margin"] == 0.02
    with pytest.raises(PluginError, match="within which its figures are equal"):
        Metric("accuracy", margin=-1.0)


def test_the_flops_of_a_step_are_those_worked_by_hand():
    spec = compose("digits", "elman", [], {**SMALL, "architecture.hidden": 5})
    task, architecture, _ = instantiate(spec)
    # A row of 8 steps of 8 values: embed 8 -> 5, input and recurrent products 5 x 5; read out 10.
    embed, cell, readout = 8 * 8 * 5, 8 * (5 * 5 + 5 * 5), 5 * 10
    forward = 2 * (embed + cell + readout)
    # Backwards each product is needed for its weights, and, but for the data, for its input. At
    # the first step the state before is no parameter's.
    least, most = 2 * forward, 3 * forward
    flops = flops_per_target(architecture, task, [], Optimizer())
    assert least <= flops <= most
    wide = compose("digits", "elman", [], {**SMALL, "architecture.hidden": 50})
    more = flops_per_target(instantiate(wide)[1], task, [], Optimizer())
    assert 20 < more / flops < 100  # the products of a wide cell grow with its square


def test_the_items_of_a_translation_give_sacrebleus_figure_of_any_part():
    meter = Translation(lambda tokens: "", stop=0)
    for guess, reference in zip(GUESSES, REFERENCES, strict=True):
        meter.add(guess, reference)
    items = meter.items("bleu")
    assert meter.items("chrf") is None
    table = np.array(items.values, dtype=float)
    assert bleu(table.sum(0)[None])[0] == pytest.approx(meter.compute()["bleu"])
    for part in ([0], [0, 1], [1, 2], [3], [0, 0, 2]):
        expected = BLEU().corpus_score([GUESSES[i] for i in part], [[REFERENCES[i] for i in part]])
        assert bleu(table[part].sum(0)[None])[0] == pytest.approx(expected.score)


def test_accuracys_items_are_rows():
    meter = Accuracy()
    out = torch.eye(3)[torch.tensor([[0, 1], [2, 2]])]
    batch = Batch(torch.zeros(2, 2), torch.tensor([[0, 2], [2, 2]]))
    mask = torch.tensor([[True, True], [True, False]])
    meter.update(batch, Prediction(torch.zeros(2, 2), mask, out))
    assert meter.items("accuracy").values == [[1, 2], [1, 1]]
    assert meter.compute()["accuracy"] == pytest.approx(2 / 3)


def test_damaged_items_are_named(tmp_path):
    (tmp_path / ITEM_SCORES).write_text('{"metric": "bleu", "values": 3}')
    with pytest.raises(ValueError, match=r"items\.json is damaged"):
        read_items(tmp_path / ITEM_SCORES)
    assert read_items(tmp_path / "none.json") is None
    assert compare_items([], [], True) is None


@pytest.mark.parametrize("architecture", ["lstm", "gru", "transformer"])
def test_a_budget_of_parameters_solves_for_the_width(architecture):
    settings = {**SMALL, "budget.parameters": 2e5}
    spec = resolve(compose("digits", architecture, [], settings))
    assert spec.budget.parameters == 200_000
    assert parameters_of(spec) == pytest.approx(200_000, rel=0.05)
    hidden = dict(spec.architecture.settings)["hidden"]
    if architecture != "transformer":  # whose width is a multiple of its heads
        settings = {**SMALL, "architecture.hidden": hidden + 1}
        wider = parameters_of(resolve(compose("digits", architecture, [], settings)))
        assert abs(wider - 200_000) >= abs(parameters_of(spec) - 200_000)


def test_a_number_of_parameters_that_cannot_be_is_refused_with_those_that_can():
    with pytest.raises(Refusal, match=r"has \d+ with hidden=1; nothing lies within 5%"):
        resolve(compose("digits", "lstm", [], {**SMALL, "budget.parameters": 10}))
    with pytest.raises(SpecError, match="contradict each other: hidden follows"):
        compose("digits", "lstm", [], {"budget.parameters": 1000, "architecture.hidden": 3})
    with pytest.raises(SpecError, match="dlinear has no field that sets its size"):
        compose("co2", "dlinear", [], {"budget.parameters": 1000})


def test_runs_without_a_budget_of_parameters_keep_their_identity():
    assert "parameters" not in Budget(steps=10).as_dict()
    assert Budget(steps=10, parameters=7).as_dict()["parameters"] == 7
