"""Boards as JSON and CSV."""

import csv
import io
import json

from support.fake_records import make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.report.files.boards import as_csv, as_json


def test_json_holds_all_that_the_boards_hold(boards):
    content = json.loads(as_json(boards))
    assert content["format"] == 2
    assert [b["task"] for b in content["boards"]] == [b.task for b in boards]
    first = content["boards"][1]["rows"][1]
    assert first["test"]["mean"] == boards[1].rows[1].test.mean
    assert first["tricks"] == ["zoneout"]


def test_csv_has_a_line_for_each_row(boards):
    lines = list(csv.DictReader(io.StringIO(as_csv(boards))))
    rows = [row for board in boards for row in board.rows]
    assert [line["name"] for line in lines] == [row.name for row in rows]
    assert [float(x["mean"]) for x in lines if x["mean"]] == [r.test.mean for r in rows if r.test]
    assert all(not line["rank"] for line in lines if line["kind"] != "ranked")


def test_csv_holds_nothing_that_a_spreadsheet_would_run():
    name = "=cmd|'/c calc'!A0"
    records = [make_record(make_spec("char-lm", name, seed=k), 1.5 + k) for k in range(2)]
    line = next(csv.DictReader(io.StringIO(as_csv(build(records)))))
    assert line["architecture"] == "'" + name
    assert line["name"] == "'" + name
