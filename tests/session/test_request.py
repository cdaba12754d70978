"""A run that is described in Python is the one that is described on the command line."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rnnbench.contract import Architecture, setting
from rnnbench.errors import PluginError, SpecError
from rnnbench.registry.given_classes import UNVERSIONED
from rnnbench.session.advice import notes_on
from rnnbench.session.request import make_request
from rnnbench.spec.from_command_line import read_request
from rnnbench_architectures.lstm import LSTM
from rnnbench_tricks.zoneout import Zoneout

TYPED = ["task.delay=5", "architecture.hidden=8", "tricks.zoneout.rate=0.2", "budget.steps=7",
         "optimizer.lr=3e-3", "trainer.threads=2"]  # fmt: skip


def request(task="copy-memory", architecture="lstm", tricks=(), settings=None, **keywords):
    return make_request(task, architecture, tricks, settings=settings, keywords=keywords)


def test_every_way_to_say_a_run_is_that_of_the_command_line():
    typed = read_request("copy-memory", "lstm", TYPED, ["zoneout"], None, None, True)
    tail = {"lr": 3e-3, "trainer": {"threads": 2}}
    ways = [
        request(("copy-memory", {"delay": 5}), LSTM(hidden=8), Zoneout(rate=0.2), steps=7, **tail),
        request({"name": "copy-memory", "delay": 5}, {"name": "lstm", "hidden": 8},
                ["zoneout:rate=0.2"], budget={"steps": 7}, **tail),
        request("copy-memory:delay=5", LSTM, ("zoneout", {"rate": 0.2}), hidden=8, steps=7, **tail),
        request(tricks=[("zoneout", {})], delay=np.int64(5), rate=np.float64(0.2),
                settings={"architecture.hidden": 8, "budget.steps": 7}, **tail),
    ]  # fmt: skip
    assert [way == typed for way in ways] == [True] * 4


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"hiden": 8}, "no part of this run has a field 'hiden'; did you mean 'hidden'"),
        ({"hidden": "x"}, "rb.run: architecture.hidden='x': architecture lstm takes int"),
        ({"settings": {"architecture.hidn": 8}}, "architecture lstm has no field 'hidn'"),
        ({"budget": 5}, "budget is a mapping of settings"),
        ({"hidden": 8, "settings": {"architecture.hidden": 8}}, "hidden is given twice"),
        ({"tricks": [3]}, "a trick as an object"),
        ({"tricks": 3}, "tricks: a list"),
        ({"task": LSTM(hidden=4)}, "a task as an object"),
        ({"task": "lstm"}, "'lstm' is an architecture, not a task"),
        ({"tricks": ["clip", "zoneout"], "rate": 2.0}, "tricks.zoneout.rate = 2.0 is outside"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(said, told):
    with pytest.raises((SpecError, PluginError), match=told):
        request(**said)


def test_a_seed_may_be_one_of_numpy_s():
    spec, _ = make_request("copy-memory", "lstm", seed=np.arange(3)[2])
    assert spec == make_request("copy-memory", "lstm", seed=2)[0]


def test_a_field_of_two_parts_is_refused_with_both_ways_to_say_it():
    told = r"budget=\{'steps': 5\}"
    with pytest.raises(SpecError, match=told) as error:
        request(("csv-forecast", {"path": "x.csv"}), steps=5)
    assert "settings={'task.steps': 5}" in str(error.value)


def test_a_table_becomes_a_file_that_is_named_by_its_content(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"y": [1.0, 2.0]}, index=pd.date_range("2024-01-01", periods=2))
    paths = set()
    for table in (frame, frame.copy(), frame + 1):
        spec, _ = make_request(("csv-forecast", {"path": table}), "gru", out=tmp_path)
        paths.add(dict(spec.task.settings)["path"])
    assert len(paths) == 2
    first = Path(sorted(paths, key=lambda p: Path(p).stat().st_mtime_ns)[0])
    assert first.read_text() == "time,y\n2024-01-01,1.0\n2024-01-02,2.0\n"
    assert first.parent == tmp_path / "tables"


def test_a_class_of_the_session_is_no_installed_plugin_though_it_has_its_name():
    @dataclass(frozen=True)
    class Named(Architecture):
        hidden: int = setting(8, "units")

    Named.name = "lstm"
    spec, _ = request(architecture=Named(hidden=4))
    assert spec.architecture.name.startswith("lstm-")
    assert spec.architecture.version == UNVERSIONED
    assert dict(spec.architecture.settings) == {"hidden": 4}


def test_a_class_that_is_no_frozen_dataclass_is_refused():
    class Loose(Architecture):
        pass

    with pytest.raises(PluginError, match="decorate it @dataclass"):
        request(architecture=Loose())


@pytest.mark.parametrize(
    ("message", "notes"),
    [
        ("See: rnnbench list tasks", ["In Python: rb.list('tasks')"]),
        ("task x needs task.path=...", ["In Python: settings={'task.path': ...}"]),
        ("list the trick: --trick clip", ["In Python: tricks=['clip']"]),
        ("  Train it again: rnnbench verify x",
         ["What begins with rnnbench is typed in a terminal; in a notebook, after a !"]),
        ("all is said", []),
    ],
)  # fmt: skip
def test_an_error_says_what_its_command_is_in_python(message, notes):
    assert list(notes_on(message)) == notes
