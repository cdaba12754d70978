"""A task that reads a file which it does not declare is refused, before its results go stale."""

import gzip
import sqlite3
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from support.command_line import call

from rnnbench.files.opened_files import watching
from rnnbench.registry import guarded_import
from rnnbench.registry.registry import discover, load
from rnnbench.registry.schema import Entry
from rnnbench.training.checks.undeclared_files import refuse_undeclared
from rnnbench.training.loader import split_of

TASK = '''
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch

from rnnbench.contract import Batch, Kind, Metric, Port, Task, setting
from rnnbench.data import Items, own_file
from rnnbench.metrics import Accuracy

AT_IMPORT = {at_import}


@dataclass(frozen=True)
class AcmeSums(Task):
    """Tell whether the digits of a line have an even sum."""

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("accuracy", "share", higher_is_better=True),)

    declares: bool = setting(False, "whether the file is declared")
    when: str = setting("data", "when the file is read")

    def __post_init__(self):
        super().__post_init__()
        if self.when == "made":
            self.lines()

    @property
    def source(self):
        if self.when == "port":
            self.lines()
        return Port(classes=10)

    @property
    def target(self):
        return Port(classes=2)

    def sources(self):
        return (own_file({path!r}, "lines"),) if self.declares else ()

    def lines(self):
        with open({path!r}) as file:
            return file.read().split()

    def data(self, split, seed):
        lines = self.lines() if self.when == "data" else ["123", "456"]
        x = torch.tensor([[int(digit) for digit in line] for line in lines])
        return Lazy(self, Batch(x, x.sum(1) % 2))

    def meter(self, split):
        if self.when == "meter":
            self.lines()
        return Accuracy()


class Lazy(Items):
    def __init__(self, task, items):
        super().__init__(items)
        self.task = task

    def batch(self, key, rng):
        if self.task.when == "batch":
            self.task.lines()
        return super().batch(key, rng)
'''


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """Install the task, in a package that may read its file as it is imported."""
    file = tmp_path / "lines.txt"
    file.write_text("123\n456\n789\n")

    def install(at_import="None"):
        package = tmp_path / "site" / "acme_sums"
        package.mkdir(parents=True)
        code = TASK.replace("{at_import}", at_import).replace("{path!r}", repr(str(file)))
        (package / "__init__.py").write_text(textwrap.dedent(code))
        monkeypatch.syspath_prepend(package.parent)
        monkeypatch.setenv("RNNBENCH_RESULTS", str(tmp_path / "results"))
        entry = Entry("tasks", "acme-sums", "acme_sums:AcmeSums", "acme", "1.0")
        monkeypatch.setitem(discover()[0]["tasks"], "acme-sums", entry)
        return file

    yield install
    sys.modules.pop("acme_sums", None)
    guarded_import._opened.pop("acme_sums", None)


@pytest.mark.parametrize("when", ["made", "port", "data", "batch", "meter"])
@pytest.mark.parametrize("command", ["check", "run"])
def test_whenever_the_file_is_read_the_run_is_refused_with_what_to_write(
    acme, tmp_path, command, when
):
    file = acme()
    settings = [f"task.when={when}", "architecture.hidden=4", "budget.steps=2"]
    said = call(command, "acme-sums", "gru", *settings, code=2)
    assert f"refused: acme-sums reads {file}, and does not declare it." in said
    assert f"          return (own_file({str(file)!r}, 'lines'),)" in said.splitlines()
    assert not list(tmp_path.glob("results/runs/*"))


def test_what_is_read_at_import_is_noticed_too(acme, tmp_path):
    acme(f"__import__('pathlib').Path({str(tmp_path / 'lines.txt')!r}).read_text()")
    said = call("check", "acme-sums", "gru", "task.when=never", "budget.steps=2", code=2)
    assert "lines.txt, and does not declare it" in said


def test_a_declared_file_is_read_and_its_content_tells_runs_apart(acme):
    file = acme()
    command = ["run", "acme-sums", "gru", "task.declares=true", "architecture.hidden=4",
               "budget.steps=2", "--quiet"]  # fmt: skip
    assert "finished before" not in call(*command)
    assert "finished before" in call(*command)
    file.write_text("12\n34\n")
    load("tasks", "acme-sums")
    split_of.cache_clear()  # as in a process of its own
    assert "finished before" not in call(*command)


def read(path):
    return path.read_text()


def through_a_thread(path):
    thread = threading.Thread(target=read, args=[path])
    thread.start()
    thread.join()


WAYS = {
    "open": read,
    "numpy": lambda path: np.memmap(path, np.uint8, "r"),
    "gzip": lambda path: gzip.open(path).close(),
    "torch": lambda path: torch.load(path, weights_only=True),
    "sqlite": lambda path: sqlite3.connect(path).close(),
    "a thread": through_a_thread,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_noticed_however_python_opens_it(tmp_path, way):
    path = tmp_path / "data.bin"
    torch.save(torch.zeros(3), path) if way == "torch" else path.write_text("x" * 10)
    with watching() as opened:
        WAYS[way](path)
    assert opened.data() == [path]


def test_code_packages_the_system_and_what_was_written_here_are_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "acme" / "words"
    cached.parent.mkdir(parents=True)
    cached.write_text("x")
    (tmp_path / "module.py").write_text("x = 1")
    known = [Path(np.__file__).with_name("py.typed"), Path("/proc/cpuinfo"), Path("/etc/hosts"),
             cached, tmp_path / "module.py", Path("/dev/null")]  # fmt: skip
    with watching() as opened:
        for path in known:
            if path.exists():
                path.read_bytes() if path.name != "null" else path.open().close()
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made"
            made.write_text("x")
            made.rename(Path(folder) / "moved")
            (Path(folder) / "moved").read_text()
    assert opened.data() == []


def test_another_thread_s_files_are_not_taken_for_the_task_s(tmp_path):
    (tmp_path / "other.txt").write_text("x")
    go, done = threading.Event(), threading.Event()

    def other():
        go.wait(120)
        read(tmp_path / "other.txt")
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with watching() as opened:
        go.set()
        done.wait(120)
    thread.join()
    assert opened.data() == []


@pytest.mark.parametrize("name", ["csv-forecast", "text-lm", "parallel-text", "digits", "co2"])
def test_tasks_of_rnnbench_declare_what_they_read(name):
    from rnnbench.testing.law import tiny

    task = tiny(load("tasks", name))
    for split in ("train", "valid", "test"):
        split_of(task, split, 0)
    refuse_undeclared(task)
