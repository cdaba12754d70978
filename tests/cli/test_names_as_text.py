"""What comes from a user is printed as it stands: no markup, no pictures, no cut paths."""

import re
from pathlib import Path

import pytest
from rich.table import Table
from support.command_line import call
from support.searching import search, sweep_text
from support.small_sweeps import rows_of

import rnnbench
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.results.store import Store

HOSTILE = ["[b]", "[red]x", "x[-]", "[{x}]", ":smile:", "a?b", "50%", "%s #1", "é [bold blink]"]
RUN = [
    "run", "digits", "gru", "task.step=row", "architecture.hidden=8", "budget.steps=4",
    "budget.validate_every=2",
]  # fmt: skip


@pytest.mark.parametrize("name", [*HOSTILE, "[/]", "[/red]"])
def test_a_console_shows_text_and_cells_as_they_stand(name, capsys):
    table = Table(name)
    table.add_column("column " + name)
    table.add_row(name, "1")
    plain_console(width=200).print(table)
    plain_console(width=200).print(name)
    assert capsys.readouterr().out.count(name) >= 4


def test_every_console_is_a_plain_one():
    root = Path(rnnbench.__file__).parent
    made = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"(?<!\w)(Console\(|rich\.print|from_markup)", path.read_text("utf-8"))
    ]
    assert made == ["report/terminal/plain_console.py"]


def test_a_run_in_any_folder_ends_with_a_path_that_exists(tmp_path):
    root = tmp_path / "-".join(HOSTILE) / "far down, so that no line of a terminal holds all of it"
    done = call(*RUN, "--out", root)
    again = call(*RUN, "--out", root)
    (first,) = re.findall("^done: (.*)$", done, re.MULTILINE)
    (second,) = re.findall("^finished before, not run again: (.*)$", again, re.MULTILINE)
    assert first == second
    assert (Path(first) / "record.json").is_file()
    assert first.startswith(str(root))
    assert "gru" in call("leaderboard", "--out", root)
    paused = call("sweep", "pause", "none", "--out", root, code=2)
    assert "there is no sweep 'none'" in paused


@pytest.mark.parametrize("name", HOSTILE)
def test_a_sweep_keeps_its_database_and_its_studies_in_any_folder(name, tmp_path):
    search(sweep_text(trials=2), tmp_path / name)
    assert [r.state for r in rows_of(tmp_path / name)] == ["done", "done"]
    assert (tmp_path / name / "results.db").is_file()
    assert (tmp_path / name / "studies.db").is_file()


def test_a_store_says_where_a_run_is_in_a_folder_of_brackets(tmp_path):
    store = Store(tmp_path / "a[/]b")
    try:
        assert Path(store.place("digits.gru.0123")).is_dir()
    finally:
        store.close()


def test_what_is_to_be_typed_next_names_the_folder_in_quotes(tmp_path):
    from rnnbench.cli.actions.sweep_control import resume_command

    said = resume_command("q", tmp_path / "a [b]", None)
    assert said == f"rnnbench sweep resume q --out '{tmp_path}/a [b]'"
    assert resume_command("q", "rnnbench-results", None) == "rnnbench sweep resume q"
    assert "secret" not in resume_command("q", "r", "postgresql://me:secret@host/name")
