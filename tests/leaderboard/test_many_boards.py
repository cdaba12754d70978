"""Many boards of one task: named by their data, listed in an index, told apart once."""

import dataclasses

import pytest
from support.command_line import call
from support.fake_records import ACCURACY, make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.report.terminal.board import render
from rnnbench.results.labels import relabel
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose


def on_table(path, label="", horizon=24, seed=0):
    """A run of gru on a table."""
    task = compose({"name": "csv-forecast", "path": path, "horizon": horizon}, "gru").task
    spec = dataclasses.replace(make_spec("csv-forecast", "gru", seed=seed), task=task, data=path)
    record = make_record(spec, 0.5 + 0.01 * seed, metrics=[ACCURACY], baselines={})
    record.provenance = {**record.provenance, **({"label": label} if label else {})}
    return record


MANY = [on_table(f"t{i}.csv", seed=s) for i in range(15) for s in (0, 1)]


def test_many_boards_of_a_task_are_an_index_with_a_line_a_board():
    text = render(build(MANY), 100)
    assert "csv-forecast: 15 boards" in text
    assert len(text.splitlines()) < 30
    assert "--board t0.csv" in text


def test_what_differs_between_boards_is_told_once_and_only_that():
    text = render(build([on_table("a.csv"), on_table("a.csv", horizon=48)]), 100)
    assert text.count("are not ranked together") == 1
    assert next(line.split() for line in text.splitlines() if line.endswith(("24", "48")))[1:] == [
        "a.csv",
        "24",
    ]


def test_only_settings_that_differ_from_their_defaults_are_shown():
    text = render(build([on_table("a.csv", horizon=48)]), 400)
    line = next(line for line in text.splitlines() if line.startswith(" Task:"))
    assert "horizon=48, path=a.csv; the other" in line
    assert "decimal" not in line


def test_a_label_is_the_title_and_the_latest_run_with_one_says_it():
    old, new = on_table("a.csv", "old"), on_table("a.csv", "new", seed=1)
    old.ended, new.ended = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
    (board,) = build([new, old, on_table("a.csv", seed=2)])
    assert board.title == "new (csv-forecast)"


def test_a_new_label_is_written_into_all_runs_of_the_data_and_no_others(tmp_path):
    store = Store(tmp_path)
    for record in (on_table("a.csv"), on_table("a.csv", "old", seed=1), on_table("b.csv")):
        store.write(record)
    task = on_table("a.csv").spec.task
    assert relabel(store, task, "a.csv", "Power") == 2
    assert relabel(store, task, "a.csv", "Power") == 0
    assert [b.title for b in build(store.records())] == [
        "Power (csv-forecast)", "b.csv (csv-forecast)",
    ]  # fmt: skip


@pytest.fixture
def results(tmp_path):
    store = Store(tmp_path)
    for record in MANY[:10]:
        store.write(record)
    return tmp_path


def test_one_board_is_asked_for_by_the_name_of_its_data_or_its_id(results):
    board = next(b for b in build(MANY) if b.data_set == "t3.csv")
    by_name = call("leaderboard", "--board", "t3.csv", "--out", results)
    assert "t3.csv (csv-forecast): accuracy" in by_name
    assert "t4.csv" not in by_name
    assert call("leaderboard", "--board", board.protocol_id[:6], "--out", results) == by_name
    assert call("leaderboard", "--all", "--out", results).count("(csv-forecast): accuracy") == 5


def test_a_board_that_is_not_there_is_refused_with_the_names_of_those_that_are(results):
    from rnnbench.cli.actions.leaderboard import OptionError, _named_boards

    with pytest.raises(OptionError, match=r"did you mean 't3.csv'(.|\n)*Boards: t0.csv, t1.csv"):
        _named_boards(build(MANY), "t33.csv")
