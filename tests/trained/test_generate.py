"""`rnnbench generate` and `rnnbench predict` on finished runs, as a user calls them."""

import json

import numpy as np
import pytest
import statsmodels
import torch
from support.command_line import TINY, call
from support.real_data import absence

from rnnbench.errors import RunError
from rnnbench.registry.registry import discover, load
from rnnbench.results.find_run import find_run
from rnnbench.results.store import Store
from rnnbench.trained.load import load_run

SMALL = ["architecture.hidden=8", "budget.steps=3", "optimizer.batch=4", "-q"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    call("run", "char-lm", "lstm", *TINY, "-q", "--no-test", "--out", root)
    call("run", "ui-en-de", "gru", *SMALL, "--no-test", "task.vocabulary=400", "--out", root)
    call("run", "co2", "gru", *SMALL, "--no-test", "--out", root)
    call("run", "adding", "gru", *SMALL, "--no-test", "task.length=12", "--out", root)
    return root


def test_text_goes_on_from_the_prompt_and_is_repeatable(results):
    arguments = ("generate", "char-lm", "--prompt", "MACBETH:", "--length", 30, "--out", results)
    output = call(*arguments)
    assert output.startswith("MACBETH:")
    assert len(output) == len("MACBETH:") + 30 + 1
    assert call(*arguments) == output
    assert call(*arguments, "--seed", 1) != output


def test_several_samples_differ(results):
    output = json.loads(
        call("generate", "char-lm", "--length", 20, "--samples", 3, "--json", "--out", results)
    )
    texts = [s["text"] for s in output["samples"]]
    assert output["run"].startswith("char-lm.lstm.")
    assert len(set(texts)) == 3


def test_test_sentences_are_translated_with_their_alignment(results):
    samples = json.loads(
        call("generate", "ui-en-de", "--method", "beam", "--beam", 3, "--samples", 2, "--json",
             "--out", results)
    )["samples"]  # fmt: skip
    assert len(samples) == 2
    assert {"source", "target", "prediction", "alignment"} <= set(samples[0])


def test_as_many_test_sentences_are_shown_as_were_asked_for(results):
    for count in (3, 20):
        said = json.loads(
            call("generate", "ui-en-de", "--samples", count, "--json", "--out", results)
        )
        assert len(said["samples"]) == count
        assert len({s["source"] for s in said["samples"]}) > count // 2


def test_where_the_test_split_has_fewer_inputs_it_is_said(results):
    said = call("generate", "co2", "--samples", 100000, "--out", results)
    assert "of 100000 samples: the test split has no more inputs" in said


def test_a_sentence_is_translated(results):
    said = json.loads(
        call("predict", "ui-en-de", "--input", "Turn off the light", "--json", "--out", results)
    )
    attention = np.array(said["attention"])
    assert said["input"] == "Turn off the light"
    assert said["log_probability_nats"] < 0
    assert np.allclose(attention.sum(-1), 1, atol=1e-5)


def test_a_forecast_is_in_the_unit_of_the_file(results):
    path = f"{statsmodels.__path__[0]}/datasets/co2/co2.csv"
    lines = call("predict", "co2", "--input", path, "--out", results).split()
    values = [float(v) for v in lines]
    assert len(values) == 26
    assert all(340 < v < 400 for v in values)


def test_a_forecast_is_what_the_model_says_of_the_same_window(results):
    """The last window of the test split, given as a CSV, and as the task reads it."""
    trained = load_run(Store(results), "co2")
    task = trained.task
    data = task.data("test", 0)
    batch = data.batch(data.times_W[-1:], None)
    with open(f"{statsmodels.__path__[0]}/datasets/co2/co2.csv") as f:
        header, *rows = f.read().splitlines()
    window, answer = task.ask("\n".join([header, *rows[: -task.horizon]]))
    assert torch.allclose(window.x, batch.x, atol=1e-5)
    with torch.no_grad():
        said = answer(trained.model.decode(batch)[0])
    path = results / "tail.csv"
    path.write_text("\n".join([header, *rows[: -task.horizon]]))
    printed = call("predict", "co2", "--input", path, "--out", results)
    assert np.allclose([float(v) for v in printed.split()], [float(v) for v in said.split()], 1e-5)


def test_numbers_are_read_where_a_task_has_no_words(results):
    rows = "\n".join(f"{0.1 * i},{int(i in (2, 8))}" for i in range(12))
    (value,) = call("predict", "adding", "--input", rows, "--out", results).split()
    assert np.isfinite(float(value))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "adding", "--input", "1,2,3"), "lines of 2 numbers"),
        (("predict", "co2", "--input", "date,co2\n19580329,316"), "52 or more rows"),
        (("predict", "co2", "--input", "a,b\n" + "1,2\n" * 52), "no column 'co2'"),
        (("predict", "adding", "--input", "1,2", "--method", "beam"), "drop these options"),
        (("predict", "co2", "--input", "x", "--beam", 3), "acts on method 'beam'"),
        (("generate", "adding"), "generates nothing"),
        (("generate", "co2", "--prompt", "x"), "rnnbench predict"),
        (("generate", "char-lm", "--method", "greedy", "--samples", 2), "one sample"),
        (("generate", "nothing"), "no run of"),
        (("generate", "c"), "2 runs"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2(results, arguments, message):
    assert message in call(*arguments, "--out", results, code=2)


def test_a_run_is_found_by_its_hash_and_by_its_folder(results):
    store = Store(results)
    run_id = find_run(store, "co2").run_id
    assert find_run(store, run_id.rpartition(".")[2][:8]).run_id == run_id
    assert find_run(store, str(store.run_dir(run_id))).run_id == run_id


def test_a_run_without_weights_says_so(results, tmp_path):
    call("run", "char-lm", "elman", *TINY, "optimizer.lr=1e38", "optimizer.name=sgd", "-q",
         "--out", tmp_path, code=1)  # fmt: skip
    with pytest.raises(RunError, match="left no weights"):
        load_run(Store(tmp_path), "char-lm")


def test_a_task_that_continues_reads_what_it_predicts():
    continuing = []
    for name in discover()[0]["tasks"]:
        cls = load("tasks", name)
        if cls.continues:
            task = cls(**cls.tiny)
            if absence(task):
                continue
            data = task.data("valid", 0)
            batch = data.batch(data.order(4, None)[0], None)
            assert torch.equal(batch.x[:, 1:], batch.y[:, :-1]), name
            continuing.append(name)
    assert "char-lm" in continuing
