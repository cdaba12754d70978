"""Files that are opened as data are noticed, however Python is asked for them."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rnnbench.files.opened_files import watching


def read_database(path):
    base = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    base.execute("select * from sqlite_master").fetchall()
    base.close()


def read_and_append(path):
    with path.open("ab+") as file:
        file.seek(0)
        file.read()


def read_by_descriptor(path):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.read(descriptor, 5)
    os.close(descriptor)


WAYS = {
    "a database by its URI": read_database,
    "opened to be added to": read_and_append,
    "a descriptor that may write": read_by_descriptor,
    "a command": lambda path: subprocess.check_output(["cat", path]),
    "a command in its folder": lambda path: subprocess.check_output(
        ["cat", path.name], cwd=path.parent
    ),
    "a shell": lambda path: subprocess.check_output(f"cat '{path}'|cat", shell=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_read_a_file_is_noticed(way, tmp_path):
    path = tmp_path / "some data.db"
    sqlite3.connect(path).execute("create table t (a)").connection.close()
    with watching() as opened:
        WAYS[way](path)
    assert opened.data() == [path]


def test_what_is_written_first_and_empty_locks_are_no_data(tmp_path):
    lock = tmp_path / "lock"
    lock.touch()
    with watching() as opened, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "made").write_text("x")
        (Path(folder) / "made").read_text()
        read_by_descriptor(lock)
        subprocess.check_output([sys.executable, "-c", "print(1)"])
    assert opened.data() == []
