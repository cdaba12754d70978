"""What `rnnbench leaderboard` prints besides boards, as a reader sees it."""

import dataclasses
import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console
from support.fake_records import fake_records

from rnnbench.cli import main
from rnnbench.leaderboard.across_tasks import across
from rnnbench.leaderboard.best_of_n import effort
from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.pairwise import judge
from rnnbench.leaderboard.pareto import fronts
from rnnbench.leaderboard.types import CellImportance
from rnnbench.leaderboard.verdicts.method import BoardMethod
from rnnbench.report.terminal import sections
from rnnbench.report.terminal.board import render
from rnnbench.results.store import Store


@pytest.fixture(scope="module")
def records():
    """As a sweep leaves them: each trial of a search names its cell."""
    found = fake_records()
    for record in found:
        spec = record.spec
        record.study = "+".join((spec.architecture.name, *(t.name for t in spec.tricks)))
    return found


@pytest.fixture(scope="module")
def boards(records):
    return {b.task: b for b in build(records)}


def printed(show, *arguments, width=80):
    out = io.StringIO()
    show(*arguments, Console(file=out, width=width, highlight=False, color_system=None))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    return " ".join(out.getvalue().split())


def test_the_board_begins_with_what_it_says(boards):
    text = " ".join(render([boards["char-lm"]]).split())
    assert "→ The best is, with 95%, " in text
    assert "lstm + zoneout is better than lstm by" in text or "is better than elman" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_pairs_keep_the_names_whatever_the_width(boards, width):
    board = boards["char-lm"]
    text = printed(sections.print_pairs, board, judge(board, "elman"), "elman", width=width)
    assert "char-lm: against elman" in text
    assert "lstm + zoneout ▲ better 0." in text
    assert "lstm + zoneout is better than elman by 0.5" in text


def test_effort_shows_the_curves_and_who_is_ahead_from_where(boards):
    text = printed(sections.print_effort, boards["char-lm"], effort(boards["char-lm"]))
    assert "n = 1 n = 2 n = 3" in text
    assert "lstm + zoneout is ahead of elman from 1 trial on, clearly from 1" in text
    assert "Trials that failed count as the worst of their row's others: elman." in text
    text = printed(sections.print_effort, boards["char-lm"], None)
    assert "No row has two trials" in text


def test_fronts_name_who_beats_the_others(boards):
    board = boards["char-lm"]
    rows = [
        dataclasses.replace(
            r, costs={"parameters": 1e6 * (i + 1), "latency_seconds": 0.002 / (i + 1)}
        )
        for i, r in enumerate(board.rows)
    ]
    board = dataclasses.replace(board, rows=tuple(rows))
    text = printed(sections.print_fronts, board, fronts(board))
    assert "1.00 M mgu" in text
    assert "mgu: open" in text
    assert "2.00 ms" in text
    assert "No two rows differ" in printed(sections.print_fronts, board, ())


def test_rows_over_tasks_have_ranks_scores_and_bars(boards):
    text = printed(sections.print_across, across(list(boards.values())))
    assert "Tasks: adding, char-lm, digits." in text
    assert "→ The best over these 3 tasks is, with 95%, " in text
    assert "Open by ranks, for other tasks: lstm + zoneout, lstm, gru." in text
    assert "No two rows" in printed(sections.print_across, None)


def test_importances_say_the_shares_or_why_there_are_none():
    cells = [
        CellImportance("s", "a", "digits", "gru", ("clip",), 40, (("optimizer.lr", 0.9),)),
        CellImportance("s", "b", "digits", "lstm", (), 2, (), "2 finished trials are too few"),
    ]
    text = printed(sections.print_importances, cells)
    assert "s: digits gru + clip 40 optimizer.lr 90%" in text
    assert "(2 finished trials are too few)" in text


def test_the_legend_and_the_figures_follow_the_method(records):
    found = build(records, "digits", BoardMethod("median", "bootstrap", "permutation"))
    text = " ".join(render(found, width=100).split())
    assert "median over seeds with its 95% bootstrap interval" in text
    assert "permutation test" in text
    assert "3 seeds cannot tell these" in text


def test_the_command_tells_the_sections_in_words_and_as_data(records, tmp_path):
    store = Store(tmp_path)
    for record in records:
        store.write(record)
    store.close()
    place = ["--out", str(tmp_path)]
    run = CliRunner()
    done = run.invoke(main, ["leaderboard", *place, "--across", "--against", "lstm", "--json"])
    assert done.exit_code == 0, done.output
    content = json.loads(done.output)
    assert content["across"]["rows"] == ["lstm + zoneout", "lstm", "gru"]
    assert len(content["against"]) == len(content["boards"])
    assert {p["other"] for pairs in content["against"] for p in pairs} == {"lstm"}
    done = run.invoke(main, ["leaderboard", "char-lm", *place, "--effort", "--pareto"])
    assert "expected best on validation after n trials" in done.output
    assert "rank" not in done.output.split("quality")[0]  # the sections that were asked for only
    board = run.invoke(main, ["leaderboard", "char-lm", *place, "--margin", "0.7"]).output
    assert "less than 0.7 bits/char (as asked for)" in " ".join(board.split())
    share = json.loads(run.invoke(main, ["leaderboard", *place, "--margin", "2%", "--json"]).output)
    sizes = [b["verdicts"]["equal_within"]["size"] for b in share["boards"]]
    assert sizes == [0.02] * 3
    over = run.invoke(main, ["leaderboard", *place, "--across", "--margin", "0.05", "--json"])
    over = json.loads(over.output)
    assert over["across"]["verdicts"]["equal_within"]["size"] == 0.05
    assert over["boards"][1]["verdicts"]["equal_within"]["origin"] == "unit"
    page = tmp_path / "pages" / "board.html"
    run.invoke(main, ["leaderboard", *place, "--margin", "3%", "--test", "t", "--html", str(page)])
    assert "rnnbench leaderboard --test t --margin 3% --html board.html" in page.read_text("utf-8")
    for options, complaint in (
        (["--effort", "--csv"], "--effort has no --csv"),
        (["--effort", "--attribution"], "ask for one after the other"),
        (["--json", "--csv"], "ask for one after the other"),
        (["--effort", "--html", "site"], "--effort is printed, and --html writes"),
        (["char-lm", "--across"], "leave 'char-lm' away"),
        (["--against", "lstmm"], "did you mean 'lstm'"),
        (["--centre", "median"], "about means"),
        (["--margin", "two"], "such as 0.01"),
        (["--margin", "0.01"], "these boards have accuracy, bits_per_char in bits/char, mse"),
    ):
        failed = run.invoke(main, ["leaderboard", *options, *place])
        assert failed.exit_code != 0
        assert complaint in failed.output + str(failed.exception)
