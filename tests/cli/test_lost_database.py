"""A database that cannot be used is told in words; a wrong statement keeps its traceback."""

import sqlite3

import pytest
import sqlalchemy as sa
from support.command_line import call

LIST = "rnnbench.cli.actions.list_plugins.list_plugins"


def raising(error):
    def action(*_, **__):
        raise error

    return action


def operational(said):
    return sa.exc.OperationalError("INSERT ...", {}, sqlite3.OperationalError(said))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (operational("database or disk is full"), "its disk is full: make room"),
        (operational("disk I/O error"), "make room, or give another --out"),
        (operational("attempt to write a readonly database"), "permissions of its folder"),
        (operational("unable to open database file"), "permissions of its folder"),
        (operational("database is locked"), "another process holds it"),
        (operational("connection to server failed: refused"), "see that its server runs"),
        (sqlite3.OperationalError("database or disk is full"), "its disk is full"),
        (sa.exc.DatabaseError("", {}, sqlite3.DatabaseError("file is not a database")), "index"),
        (sa.exc.TimeoutError("QueuePool limit"), "does not"),
    ],
)
def test_what_a_database_refuses_is_said_without_a_traceback(error, words, monkeypatch):
    wrapped = RuntimeError("a library's own")
    wrapped.__cause__ = error
    for raised in (error, wrapped):
        monkeypatch.setattr(LIST, raising(raised))
        said = call("list", code=1)
        assert said.startswith("rnnbench: error: the results database")
        assert words in said or "see that its server runs" in said
        assert "the same command goes on from here" in said


@pytest.mark.parametrize("said", ["no such table: trial", 'near "SELCT": syntax error'])
def test_a_wrong_statement_is_a_fault_of_ours(said, monkeypatch):
    monkeypatch.setattr(LIST, raising(operational(said)))
    with pytest.raises(sa.exc.OperationalError) as caught:
        call("list")
    assert "".join(caught.value.__notes__).count("Please report it") == 1


def test_a_damaged_file_is_told_and_the_way_out_works(tmp_path):
    call(
        "run", "digits", "gru", "task.step=row", "architecture.hidden=4", "budget.steps=2",
        "budget.validate_every=2", "--out", tmp_path,
    )  # fmt: skip
    database = tmp_path / "results.db"
    for file in tmp_path.glob("results.db*"):
        file.unlink()
    database.write_bytes(b"no database " * 1000)
    assert "its file is damaged: move it away" in call("leaderboard", "--out", tmp_path, code=1)
    assert "is damaged" in call("sweep", "status", "--out", tmp_path, code=1)  # a group in a group
    database.rename(tmp_path / "away")
    assert "1 records indexed" in call("index", "--out", tmp_path)
    assert "gru" in call("leaderboard", "--out", tmp_path)


def test_a_server_that_is_away_is_told(tmp_path):
    pytest.importorskip("psycopg")
    address = "postgresql://127.0.0.1:9/none"
    said = call("sweep", "status", "--database", address, "--out", tmp_path, code=1)
    assert "see that its server runs" in said
