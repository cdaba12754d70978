"""Attributions as JSON, CSV, in the terminal and by the command."""

import csv
import io
import json

import pytest
from leaderboard.attributions import effect, runs
from support.fake_records import fake_records

from rnnbench.cli.actions.leaderboard import leaderboard_command
from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.report.files.boards import attributions_as_csv, attributions_as_json
from rnnbench.report.terminal.trick_effects import print_attributions
from rnnbench.results.store import Store
from rnnbench.sweep.ledger.ledger import Ledger


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_json_and_csv_hold_every_effect():
    attributions = [attribute(board) for board in build(fake_records())]
    content = json.loads(attributions_as_json(attributions))
    assert content["format"] == 2
    assert [a["task"] for a in content["attributions"]] == ["adding", "char-lm", "digits"]
    lines = list(csv.DictReader(io.StringIO(attributions_as_csv(attributions))))
    assert len(lines) == sum(len(c.effects) for a in attributions for c in a.comparisons)
    lstm = next(x for x in lines if x["task"] == "char-lm")
    assert float(lstm["difference"]) == effect(attributions[1], "zoneout").difference.mean
    assert {x["verdict"] for x in lines} <= {"helps", "hurts", "equal", "open", "failed", "missing"}


def test_no_results_say_what_to_do(capsys):
    print_attributions([])
    assert "rnnbench sweep" in capsys.readouterr().out


def test_the_command_tells_refusals_of_sweeps_and_writes_them_on_the_page(store, capsys):
    groups = [runs("elman", (), [2.5, 2.6]), runs("elman", ("clip",), [2.4, 2.5])]
    for record in (r for group in groups for r in group):
        store.write(record)
    wanted = {
        "task": {"name": "char-lm"},
        "architecture": {"name": "elman"},
        "tricks": [{"name": "chrono-init"}],
    }
    for sweep in ("first", "second"):  # both were refused the same
        cells = [("elman+chrono-init.1", wanted, "it has no forget gate")]
        Ledger(store.engine, sweep, "me").note_cells(cells)

    def printed(**chosen):
        options = {"want_json": False, "want_csv": False, "page": None, "attribution": True}
        leaderboard_command("char-lm", store.root, **(options | chosen))
        return capsys.readouterr().out

    assert "elman, chrono-init: refused: it has no forget gate" in printed()
    (attribution,) = json.loads(printed(want_json=True))["attributions"]
    verdicts = {c["name"]: c["effects"][0]["verdict"] for c in attribution["comparisons"]}
    assert verdicts == {"chrono-init": "refused", "clip": "open"}
    assert printed(want_csv=True).splitlines()[1].startswith("char-lm,")
    page = store.root / "board.html"
    assert printed(page=page) == f"page: {page}\n"
    text = page.read_text("utf-8")
    assert 'class="heatmap"' in text
    assert text.count("<td><bdi>chrono-init</bdi></td>") == 1
