"""Labels of data sets: names that change no run."""

import json

import pytest

from rnnbench.errors import SpecError
from rnnbench.spec.compose import compose
from rnnbench.spec.data_set import file_that_is_read
from rnnbench.spec.run_spec import RunSpec
from rnnbench.sweep.file.sweep import parse_sweep

TABLE = {"name": "csv-forecast", "path": "data/power.csv"}


def test_a_run_under_another_label_is_the_same_run():
    plain = compose(TABLE, "gru")
    called = compose(TABLE, "gru", settings={"task.label": "Power"})
    assert called.label == "Power"
    assert (called, called.run_id, called.protocol_id) == (plain, plain.run_id, plain.protocol_id)
    assert "Power" not in called.canonical()


def test_a_label_travels_with_the_run_that_a_worker_gets():
    sent = json.loads(json.dumps(compose({**TABLE, "label": "Power"}, "gru").as_message()))
    assert RunSpec.from_dict(sent).label == "Power"


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (2024, 'in a file write label: "2024"'),
        ("a\nb", "in one line of up to 60 characters"),
        ("x" * 61, "in one line of up to 60 characters"),
    ],
)
def test_a_label_is_a_short_text(label, told):
    with pytest.raises(SpecError, match=told):
        compose({**TABLE, "label": label}, "gru")


def test_a_misspelt_label_is_refused_and_led_to_the_right_word():
    with pytest.raises(SpecError, match=r"did you mean task\.label"):
        compose(TABLE, "gru", settings={"task.lable": "Power"})


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"path": "data/power.csv", "valid": "0.1", "zone": "Europe/Berlin"}, "power.csv"),
        ({"test": "c.txt", "train": "a.txt", "valid": "b.txt"}, "a.txt"),
        ({"source_file": "x/de.tsv", "target_file": "en.tsv"}, "de.tsv"),
        ({"path": "a/folder"}, "folder"),
        ({"text": "ptb", "length": 3}, ""),
    ],
)
def test_without_a_label_the_file_that_is_read_names_the_data(settings, name):
    assert file_that_is_read(settings) == name


def test_cells_of_a_sweep_are_called_by_their_data():
    sweep = parse_sweep(
        "name: s\narchitectures: [gru]\nfinal: {seeds: [0]}\ntasks:\n"
        "  - {name: csv-forecast, path: a.csv, label: Power}\n"
        "  - {name: csv-forecast, path: b.csv}\n  - char-lm\n"
    )
    assert [cell.title for cell in sweep.cells()] == ["Power.gru", "b.csv.gru", "char-lm.gru"]
    assert {cell.name for cell in sweep.cells()} == {"csv-forecast.gru", "char-lm.gru"}


@pytest.mark.parametrize(("path", "name"), [("a/shops/*.csv", "shops/*.csv"), ("a/books", "books")])
def test_a_pattern_is_named_with_its_folder(path, name):
    assert file_that_is_read({"train": path}) == name
