"""Runs as tables for other programs, and in W&B."""

import csv
import json

import pytest
import wandb
from support.command_line import call
from support.fake_records import fake_records, make_record, make_spec

from rnnbench.report.files.runs import TableError, row_of, to_wandb, write_table
from rnnbench.results.record import FLOW, Status
from rnnbench.results.store import Store


@pytest.fixture
def root(tmp_path):
    store = Store(tmp_path / "results")
    for record in fake_records():
        store.write(record)
    store.close()
    return tmp_path / "results"


def test_a_line_has_what_a_run_was_how_it_ended_and_its_cost():
    row = row_of(make_record(make_spec("adding", "gru", ("zoneout",), seed=3), 0.25))
    assert (row["task"], row["architecture"], row["tricks"]) == ("adding", "gru", "zoneout")
    assert (row["seed"], row["status"], row["test"], row["test mse"]) == (3, "done", 0.25, 0.25)
    assert (row["architecture.hidden"], row["tricks.zoneout.rate"]) == (128, 0.1)
    assert (row["optimizer.lr"], row["budget.steps"]) == (1e-3, 2000)
    assert row["train_seconds"] == 51.0


def test_all_runs_of_a_store_go_into_each_format(root, tmp_path):
    records = list(Store(root).records())
    for name in ("runs.csv", "runs.json"):
        assert f"{len(records)} runs" in call("export", "--to", tmp_path / name, "--out", root)
    with open(tmp_path / "runs.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    rows = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert [line["run_id"] for line in lines] == [r.run_id for r in records]
    assert rows == [row_of(r) for r in records]


def test_parquet_keeps_numbers_as_numbers(root, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    call("export", "--task", "adding", "--to", tmp_path / "runs.parquet", "--out", root)
    table = parquet.read_table(tmp_path / "runs.parquet").to_pydict()
    assert set(table["task"]) == {"adding"}
    assert {type(v) for v in table["test mse"] if v is not None} == {float}


def test_one_name_of_two_types_becomes_text_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    records = [make_record(make_spec(hidden=value)) for value in (64, "wide")]
    write_table(records, tmp_path / "runs.parquet")
    table = parquet.read_table(tmp_path / "runs.parquet").to_pydict()
    assert table["architecture.hidden"] == ["64", "wide"]


@pytest.mark.parametrize("name", ["runs.xlsx", "runs"])
def test_another_ending_is_refused_with_those_there_are(name, root, tmp_path):
    said = call("export", "--to", tmp_path / name, "--out", root, code=2)
    assert "write a bundle (.zip), or a table (.csv, .json, .parquet)" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--no-weights", "--to", "runs.csv"], "--weights would be ignored: only a bundle"),
        (["--no-weights", "--wandb", "x"], "--weights would be ignored: only a bundle"),
        (["--to", "x.zip", "--wandb", "x"], "--to would be ignored: --wandb writes no file"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(options, said, root):
    assert said in call("export", *options, "--out", root, code=2)


def test_a_cell_that_a_spreadsheet_would_run_is_text(tmp_path):
    record = make_record(status=Status.CRASHED, reason="=HYPERLINK(1)")
    write_table([record], tmp_path / "runs.csv")
    assert "'=HYPERLINK(1)" in (tmp_path / "runs.csv").read_text()


def test_runs_are_entered_in_wandb_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    said = []
    figures = {"loss": 1.0, "train_loss": 1.1, f"{FLOW}readout": 0.1}
    try:
        to_wandb([make_record(curve=[[20, 1.0, figures]])], "project", said.append)
    finally:
        wandb.teardown()
    assert said == ["1 run entered in the W&B project project"]
    (file,) = tmp_path.rglob("*.wandb")
    content = file.read_bytes()
    assert make_record().run_id.encode() in content
    assert b"test/bits_per_char" in content
    for name in (b"valid/loss", b"train/loss", b"gradient/readout"):
        assert name in content
    assert b"train_loss" not in content


def test_wandb_that_is_not_logged_in_says_what_to_set(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TableError, match="WANDB_MODE=offline"):
        to_wandb([make_record()], "project", print)
