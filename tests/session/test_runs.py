"""A finished run answers from Python what the command line answers."""

import signal
import sys
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from support.command_line import call

import rnnbench as rb
from rnnbench.contract import Architecture, setting
from rnnbench.errors import OutageError, PluginError, Refusal, RunError, SpecError
from rnnbench.registry import given_classes
from rnnbench.session import run as session_run
from rnnbench.session.boards import BoardList
from rnnbench.session.listing import MissingPandasError
from rnnbench.session.progress import NoProgress
from rnnbench.session.request import keep_table
from rnnbench_architectures.elman import Elman
from rnnbench_tasks.csv_forecast import CSVForecast

TASK = ("copy-memory", {"delay": 3, "symbols": 2, "train_items": 50, "valid_items": 20,
                        "test_items": 20})  # fmt: skip
SMALL = {"hidden": 4, "steps": 6, "validate_every": 3, "batch": 4}


@dataclass(frozen=True)
class Cell(Architecture):
    """An Elman network under another name."""

    hidden: int = setting(4, "units", low=1)

    def build(self, d_in, *, causal):
        return Elman(hidden=self.hidden).build(d_in, causal=causal)


Cell.__module__ = "__main__"  # as that of a notebook's cell


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def run(out):
    return rb.run(TASK, "elman", out=out, **SMALL)


@pytest.fixture(scope="module")
def given(out, run):
    return rb.run(TASK, Cell(hidden=4), out=out, **SMALL)


def test_a_run_has_figures_curve_model_and_picture(run):
    assert run.status == "done"
    assert run.reason is None
    assert {"accuracy", "loss"} < set(run.metrics["test"])
    assert list(run.curve["step"]) == [3, 6]
    assert "loss" in run.curve
    assert isinstance(run.model, torch.nn.Module)
    assert not run.model.training
    assert run.settings["architecture.hidden"] == 4
    assert run.folder.is_dir()
    assert run.plot("loss", beside=run)._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(RunError, match="'los' at its validations; did you mean 'loss'"):
        run.plot("los")


def test_the_command_line_finds_the_run_finished(run, out):
    typed = [f"task.{k}={v}" for k, v in TASK[1].items()]
    typed += ["architecture.hidden=4", "budget.steps=6", "budget.validate_every=3"]
    said = call("run", "copy-memory", "elman", *typed, "optimizer.batch=4", "--out", out)
    assert "finished before" in said
    assert run.id in said


def test_the_same_call_returns_the_run_that_is_there_and_prints_nothing(run, out, capsys):
    assert rb.run(TASK, "elman", out=out, **SMALL).record == run.record
    assert rb.load(run.id[:20], out=out).record == run.record
    assert capsys.readouterr() == ("", "")


def test_text_and_numbers_are_asked_alike(run, out):
    x = [1, 2, 0, 0, 0, 9, 0, 0]
    asked = run.predict(np.array(x)), run.predict(torch.tensor(x)), run.predict(x)
    typed = " ".join(map(str, x))
    assert {a.text for a in asked} == {run.predict(typed).text}
    assert asked[0].text == call("predict", run.id, "--input", typed, "--out", out).strip()
    assert asked[0].values.shape == (8,)
    for wrong in (3, np.zeros((1, 2, 3)), np.array(["a"])):
        with pytest.raises(SpecError, match="predict takes"):
            run.predict(wrong)


def test_a_diagnosis_shows_as_a_table_and_as_a_picture(run):
    diagnosis = run.diagnose(rows=2, untrained=True)
    assert [row["run"] for row in diagnosis.table] == [run.id, f"{run.id} (untrained)"]
    assert "<table>" in diagnosis._repr_html_()
    assert diagnosis.plot()


def test_what_a_run_cannot_do_is_said_with_the_way_in_python(run):
    with pytest.raises(RunError, match="generates nothing") as error:
        run.generate("x", length=3)
    assert error.value.__notes__ == ["In Python: run.predict(x)"]


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda run, out: run.predict([1], method="bea"), "method='bea'.*did you mean 'beam'"),
        (lambda run, out: run.predict([1], max_length=0), "max_length=0: it takes a whole number"),
        (lambda run, out: run.predict([1], seed=-1), "a seed is a whole number"),
        (lambda run, out: run.generate(samples=0), "samples=0: it takes a whole number from 1 on"),
        (lambda run, out: run.diagnose(steps=2), "steps=2: it takes a whole number from 3 on"),
        (lambda run, out: rb.leaderboard(out=out, centre="mode"), "centre='mode': it takes mean"),
        (lambda run, out: rb.sweep("quickstart", out=out, workers=0), "workers=0: it takes"),
        (lambda run, out: rb.sweep("quickstart", out=out, engine="rai"), "did you mean 'ray'"),
        (lambda run, out: rb.sweep("quickstart", out=out, slurm=("a=b",)), "would be ignored"),
    ],
)
def test_an_argument_that_an_option_would_refuse_is_refused(ask, told, run, out):
    with pytest.raises(SpecError, match=told):
        ask(run, out)


def test_a_run_that_failed_says_so_when_its_figures_are_asked(out):
    failed = rb.run(TASK, "elman", out=out, **{**SMALL, "lr": 1e30})
    assert failed.status in ("nan", "diverged")
    assert failed.reason in repr(failed)
    with pytest.raises(RunError, match=f"ended as {failed.status}"):
        _ = failed.metrics
    with pytest.raises(RunError, match="left no weights"):
        _ = failed.model


def test_a_table_of_pandas_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPandasError, match=r"pip install 'rnnbench\[pandas\]'"):
        _ = run.curve


class StopAt(NoProgress):
    """Raises a signal at the first step, as a hand or a batch system would."""

    def __init__(self, number):
        self.number = number

    def __call__(self, at, loss, done):
        signal.raise_signal(self.number)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_stopped_run_raises_and_the_same_call_goes_on(number, raised, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(session_run, "run_progress", lambda asked: StopAt(number))
        with pytest.raises(raised):
            rb.run(TASK, "elman", out=tmp_path, **SMALL)
    again = rb.run(TASK, "elman", out=tmp_path, **SMALL)
    assert (again.status, again.record.attempt) == ("done", 2)


def test_an_outage_is_an_error_that_says_what_to_do(run):
    told = {**run.record.provenance, session_run.KIND: "disk"}
    record = replace(run.record, provenance=told)
    with pytest.raises(OutageError, match="the same call goes on"):
        session_run._raise_interruption(record)


def test_record_and_board_say_that_code_of_the_session_has_no_version(given, run, out):
    (about,) = given.record.provenance["third_parties"].values()
    assert (about["distribution"], about["version"]) == (given_classes.SESSION, None)
    assert given.record.spec.architecture.version == given_classes.UNVERSIONED
    assert given.metrics == run.metrics  # it is an Elman network
    (board,) = rb.leaderboard("copy-memory", out=out)
    rows = {row.architecture: row for row in board.rows if row.architecture}
    assert set(rows) == {"elman", given.record.spec.architecture.name}
    assert any(
        "its code has no version" in m for m in rows[given.record.spec.architecture.name].marks
    )
    shown = BoardList([board])._repr_html_()
    assert "its code has no version" in shown
    assert (shown.count("<details>"), BoardList([board] * 4)._repr_html_().count("<details>")) == (
        0, 4,
    )  # fmt: skip


def test_code_of_the_session_is_asked_again_while_it_is_there(given, out, monkeypatch):
    again = rb.load(given.id, out=out)
    assert (
        again.predict([1, 2, 0, 0, 0, 9, 0, 0]).text == given.predict([1, 2, 0, 0, 0, 9, 0, 0]).text
    )
    monkeypatch.setattr(given_classes, "_given", {})  # as in another process
    assert rb.load(given.id, out=out).metrics == given.metrics
    with pytest.raises(RunError, match="its code is kept nowhere"):
        _ = rb.load(given.id, out=out).model
    rb.check(TASK, Cell(hidden=4), out=out)
    assert rb.load(given.id, out=out).model


@dataclass(frozen=True)
class Counted(CSVForecast):
    """A task of this session, which prepares its table in its own way."""

    FACTOR = 1.0

    def _make(self, folder):
        made = super()._make(folder)
        return made | {"values_ND": made["values_ND"] ** type(self).FACTOR}


Counted.__module__ = "__main__"


def test_a_task_of_the_session_prepares_its_data_anew_when_its_code_changes(out, monkeypatch):
    times = pd.date_range("2024-01-01", periods=60)
    table = pd.DataFrame({"y": range(60)}, index=times)
    scores, names = [], set()
    for factor in (1.0, 2.0):
        monkeypatch.setattr(Counted, "FACTOR", factor)
        task = Counted(path=keep_table(table, out), context=4, horizon=2)
        run = rb.run(task, "dlinear", out=out, budget={"steps": 2}, validate_every=1)
        names.add(run.record.spec.task.name)
        scores.append(run.baselines["test"]["mean"]["mae"])
    assert len(names) == 2
    assert scores[0] != scores[1]


def test_code_of_the_session_is_refused_where_workers_would_import_it(out):
    with pytest.raises(Refusal, match=r"cannot import it(.|\n)*rnnbench new architecture cell"):
        rb.run(TASK, Cell(), out=out, devices=2, accelerator="cpu", **SMALL)


def test_a_fault_in_code_of_the_session_is_told_as_the_user_s():
    @dataclass(frozen=True)
    class Faulty(Architecture):
        hidden: int = setting(4, "units")

        def build(self, d_in, *, causal):
            return 1 / 0

    with pytest.raises(Refusal, match="a fault in code of this Python session"):
        rb.check(TASK, Faulty())


def test_runs_are_listed_by_task_and_status(run, given, out):
    listed = rb.runs("copy-memory", status="done", out=out)
    assert {run.id, given.id} <= {row["run_id"] for row in listed}
    assert "architecture.hidden" in listed.to_pandas()
    assert "<table>" in listed._repr_html_()
    assert run.id in repr(listed)
    assert len(listed[:1]) == 1
    with pytest.raises(SpecError, match=r"status='don': it takes .*; did you mean 'done'"):
        rb.runs(status="don", out=out)
    with pytest.raises(PluginError, match="no task 'copy-memor'"):
        rb.runs("copy-memor", out=out)


def test_plugins_are_listed_and_described_as_on_the_command_line():
    names = {row["name"] for row in rb.list("tricks", site="cell")}
    assert {"zoneout", "recurrent-dropout"} <= names
    assert "clip" not in names
    described = rb.describe("zoneout")
    assert described.fields[0]["name"] == "rate"
    assert "Krueger" in repr(described)
    assert "<table>" in described._repr_html_()
    with pytest.raises(PluginError, match=r"rb.describe\('influence-balancing', 'tasks'\)"):
        rb.describe("influence-balancing")


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda out: rb.leaderboard(TASK, out=out), "takes the name of a plugin"),
        (lambda out: rb.runs(["copy-memory"], out=out), "takes the name of a plugin"),
        (lambda out: rb.describe(Cell), "takes the name of a plugin"),
        (lambda out: rb.run(TASK, "lstm", settings=["a"], out=out), "takes a mapping"),
    ],
)
def test_what_is_no_name_or_no_mapping_is_refused_in_words(ask, told, run, out):
    with pytest.raises(SpecError, match=told):
        ask(out)


def test_a_task_without_results_is_told_which_have_some(run, out):
    told = "No results of char-lm yet; there are some of copy-memory"
    assert told in repr(rb.leaderboard("char-lm", out=out))
