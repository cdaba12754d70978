"""A sweep is said in Python as in a file, and its messages name the key."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import rnnbench as rb
from rnnbench.contract import Architecture, setting
from rnnbench.errors import SweepError
from rnnbench.session.progress import CellProgress
from rnnbench.session.sweeps import _said_in_python
from rnnbench.sweep.file.sweep import GridCell, parse_sweep
from rnnbench.sweep.progress import CellTally, Snapshot
from rnnbench_architectures.elman import Elman

CONTENT = {
    "name": "said",
    "tasks": ["adding"],
    "architectures": ["elman", {"name": "gru", "hidden": 4}],
    "search": {"trials": 2, "space": {"optimizer.lr": {"low": 1e-05, "high": 0.1, "log": True}}},
    "final": {"seeds": [1, 2]},
}


@dataclass(frozen=True)
class Cell(Architecture):
    """A class of this session."""

    hidden: int = setting(4, "units", low=1)


Cell.__module__ = "__main__"


def test_a_mapping_is_the_sweep_of_a_file_with_it():
    assert _said_in_python(CONTENT) == parse_sweep(json.dumps(CONTENT))


def test_an_object_of_an_installed_plugin_stands_for_its_name():
    said = _said_in_python({**CONTENT, "architectures": [Elman(hidden=3)]})
    assert said.architectures[0]["name"] == "elman"
    assert said.architectures[0]["hidden"] == 3


def test_a_table_in_a_sweep_is_kept_as_a_file_that_workers_read(tmp_path):
    task = {"name": "csv-forecast", "path": pd.DataFrame({"y": [1.0, 2.0]})}
    said = _said_in_python({**CONTENT, "tasks": [task]}, tmp_path)
    assert Path(said.tasks[0]["path"]).read_text() == "y\n1.0\n2.0\n"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"search": {"trials": -1}}, r"rb.sweep\['search'\]\['trials'\]: trials is a whole number"),
        ({"archs": []}, r"rb.sweep\['archs'\]: .*archs"),
        (
            {"architectures": [Cell()]},
            r"rb.sweep\['architectures'\]\[0\]: Cell was defined in",
        ),
        ({"architectures": [Cell]}, "cannot import it"),
        ({"workers": object()}, r"rb.sweep\['workers'\]: a sweep holds names, numbers"),
    ],
)
def test_what_cannot_be_is_told_by_its_key(change, told, tmp_path):
    with pytest.raises(SweepError, match=told):
        rb.sweep({**CONTENT, **change}, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_shown_in_one_piece_below_the_cell(capsys):
    written = []
    progress = CellProgress(written.append)
    cell = GridCell({"name": "adding"}, {"name": "<b>"}, ())
    with progress:
        progress.show(Snapshot((CellTally(cell, "s", trials=4, done=1, finals=2),)))
        progress.note("refused: a & b")
        progress.show(Snapshot((CellTally(cell, "s", trials=1, done=1, best=0.5),)))
    assert len(written) == 2
    assert 'value="0.167"' in written[0]
    assert 'value="1.000"' in written[1]
    assert "adding.&lt;b&gt;" in written[1]
    assert "refused: a &amp; b" in written[1]
    assert capsys.readouterr().out == ""
