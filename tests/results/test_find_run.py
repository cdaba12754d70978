"""Runs are named by an id, the beginning of one, or their folder, wherever it lies."""

import json

import pytest
from support.command_line import call
from support.fake_records import make_record, make_spec

from rnnbench.errors import RunError
from rnnbench.results.find_run import find_run, root_of
from rnnbench.results.store import Store


def written(root, architecture="gru"):
    record = make_record(make_spec("char-lm", architecture), 1.5)
    with_store = Store(root)
    with_store.write(record)
    with_store.close()
    return record, root / "runs" / record.run_id


def test_a_run_named_by_its_folder_is_found_outside_the_results_at_hand(tmp_path, monkeypatch):
    record, folder = written(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    for name in (folder, folder.relative_to(tmp_path), f"{folder}/"):
        root = root_of("rnnbench-results", [str(name)])
        assert find_run(Store(root), str(name)) == record
    call("export", folder, "--to", "table.csv")
    assert record.run_id in (tmp_path / "table.csv").read_text()


def test_ids_are_looked_for_in_the_results_at_hand(tmp_path):
    record, _ = written(tmp_path)
    assert root_of(tmp_path, [record.run_id, "char-lm"]) == tmp_path
    assert root_of("s3://bucket/results", []) == "s3://bucket/results"


def test_a_folder_that_is_no_run_does_not_say_where_results_lie(tmp_path):
    (tmp_path / "runs" / "x").mkdir(parents=True)
    assert root_of("res", [str(tmp_path / "runs" / "x")]) == "res"
    (tmp_path / "record.json").write_text(json.dumps({}))
    assert root_of("res", [str(tmp_path)]) == "res"


def test_runs_of_several_results_are_refused_with_both(tmp_path):
    folders = [str(written(tmp_path / name)[1]) for name in ("a", "b")]
    with pytest.raises(RunError, match=r"runs of several results: .*/a, .*/b"):
        root_of("res", folders)
