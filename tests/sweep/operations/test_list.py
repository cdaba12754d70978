"""`rnnbench sweep list`: every sweep of a database at a glance, without a lock."""

import getpass
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

from support import TESTS
from support.command_line import call
from support.fake_work import starts
from support.small_sweeps import SWEEP, run

SCRIPT = TESTS / "support" / "fake_work.py"
FIRST = SWEEP.replace("name: sweep", "name: first")


def listed(root):
    return {s["sweep"]: s for s in json.loads(call("sweep", "list", "--out", root, "--json"))}


def test_running_and_finished_sweeps_are_listed_with_who_started_them(tmp_path):
    run(FIRST, tmp_path)
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP.replace("[easy]", "[{name: easy, seconds: 60}]"))
    driver = subprocess.Popen([sys.executable, SCRIPT, file, tmp_path])
    try:
        deadline = time.monotonic() + 60
        while listed(tmp_path).get("sweep", {}).get("workers") != 2:
            assert time.monotonic() < deadline
        now = listed(tmp_path)
        text = call("sweep", "list", "--out", tmp_path)
    finally:
        driver.kill()
        driver.wait()
    assert len(starts(tmp_path)) >= 2
    first, second = now["first"], now["sweep"]
    assert (first["state"], first["driver"], first["workers"]) == ("complete", None, 0)
    assert first["ended"] == first["wanted"] == 20
    assert second["state"] == "running"
    assert second["driver"] == f"process {driver.pid} on this host"
    assert (second["ended"], second["wanted"]) == (0, 20)
    assert second["by"] == f"{getpass.getuser()}@{socket.gethostname()}"
    assert second["started"].endswith("+00:00")
    heading, *lines = text.splitlines()
    assert heading.split() == [
        "sweep",
        "state",
        "done",
        "failed",
        "workers",
        "left",
        "started",
        "by",
    ]
    assert [line.split()[0] for line in lines] == ["sweep", "first"], "what runs comes first"
    assert "20 of 20" in lines[1]
    assert listed(tmp_path)["sweep"]["state"] == "waiting for a driver"


def test_the_list_waits_for_no_writer_and_writes_nothing(tmp_path):
    run(FIRST, tmp_path)
    with closing(sqlite3.connect(tmp_path / "results.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert "complete" in call("sweep", "list", "--out", tmp_path)
        assert "complete" in call("sweep", "status", "--out", tmp_path)
        assert time.monotonic() - began < 20, "SQLite would have waited for 60 s"
        writer.rollback()


def test_a_list_of_results_that_are_not_there_creates_nothing(tmp_path):
    root = tmp_path / "nowhere"
    assert call("sweep", "list", "--out", root).strip() == f"no sweep was started in {root}"
    assert json.loads(call("sweep", "list", "--out", root, "--json")) == []
    assert not os.path.exists(root)
