import errno
import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.fake_records import fake_records, make_record, make_spec

from rnnbench.files import atomic
from rnnbench.results.provenance import provenance, redact, redact_command
from rnnbench.results.record import RECORD_FORMAT, Record, Status

CANARY = "c4n4ry0123456789abcdefABCDEF0123456789ab"


def test_a_record_comes_back_from_its_json_as_it_was():
    for record in fake_records():
        assert Record.from_json(record.as_json()) == record


def test_a_record_of_a_newer_version_is_refused_by_the_name_of_its_file():
    d = {**make_record().as_dict(), "format": RECORD_FORMAT + 1}
    with pytest.raises(ValueError, match=r"runs/x/record\.json was written by a newer rnnbench"):
        Record.from_dict(d, "runs/x/record.json")


def test_a_record_whose_spec_is_of_a_newer_version_is_refused_too():
    d = make_record().as_dict()
    d["spec"]["format"] += 1
    with pytest.raises(ValueError, match=r"x/record\.json.*newer rnnbench"):
        Record.from_dict(d, "x/record.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": "1"}', "\0"])
def test_damage_is_a_value_error_that_names_the_file(text):
    with pytest.raises(ValueError, match="the-file"):
        Record.from_json(text, "the-file")


def test_a_misspelt_field_is_an_error():
    d = make_record().as_dict()
    d["statsu"] = d.pop("status")
    with pytest.raises(ValueError, match=r"\['statsu', 'status'\]"):
        Record.from_dict(d)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_figures_that_are_not_finite_become_null_and_the_run_is_not_done(bad):
    record = make_record(make_spec(), bad)
    assert record.status is Status.NAN
    assert record.reason == "training ended, but loss on valid is not finite"
    read = json.loads(record.as_json())
    assert read["metrics"]["test"]["bits_per_char"] is None
    assert Record.from_json(record.as_json()) == record


def test_another_metric_that_is_not_finite_leaves_a_run_done():
    record = make_record()
    record.metrics["test"]["perplexity"] = math.inf
    again = Record.from_dict(record.as_dict())
    assert again.status is Status.DONE
    assert again.metrics["test"]["perplexity"] is None


def test_a_metric_that_was_never_computed_is_an_error():
    record = make_record()
    del record.metrics["test"]["perplexity"]
    with pytest.raises(ValueError, match=r"lacks \['perplexity'\] on test"):
        Record.from_dict(record.as_dict())


def test_a_search_trial_needs_no_test_metrics():
    assert make_record(make_spec(test=False)).value("test") is None


def test_an_unknown_cost_is_an_error():
    with pytest.raises(ValueError, match="no cost called"):
        Record(make_spec(), Status.CRASHED, cost={"train_secs": 3.0})


def test_numbers_of_numpy_are_stored_as_plain_ones_and_objects_are_refused():
    record = Record(make_spec(), Status.OOM, cost={"steps": np.int64(3), "epochs": np.float32(0.5)})
    assert json.loads(record.as_json())["cost"] == {"steps": 3, "epochs": 0.5}
    with pytest.raises(TypeError, match=r"provenance\.where: .* got PosixPath"):
        Record(make_spec(), Status.OOM, provenance={"where": Path("x")})


def test_provenance_knows_versions_and_machine_without_importing_torch():
    code = (
        "import sys, json; from rnnbench.results.record import provenance;"
        "p = provenance(device='cpu');"
        "assert 'torch' not in sys.modules; print(json.dumps(p))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown = json.loads(out.stdout)
    assert shown["packages"]["torch"].startswith("2.")
    assert "rnnbench" in shown["distributions"]
    assert set(shown["distributions"]["rnnbench"]) == {"version", "commit", "dirty"}
    assert shown["machine"]["cores"] >= 1
    assert shown["machine"]["device"] == "cpu"


def test_the_host_and_the_user_are_not_told(monkeypatch):
    monkeypatch.setenv("HOME", "/home/jane")
    shown = json.dumps(provenance(["/home/jane/bin/rnnbench", "run", "/home/jane/x.yaml"]))
    assert "jane" not in shown
    assert "rnnbench run ~/x.yaml" in shown
    assert platform.node() not in shown or len(platform.node()) < 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["--api-key", CANARY],
        [f"--token={CANARY}"],
        [f"WANDB_API_KEY={CANARY}"],
        [f"logger.password={CANARY} and more"],
        [f"--url=postgresql://jane:{CANARY}@host/db"],
        [f"https://x.org/?token={CANARY}&page=3"],
        ["--header", f"Authorization: Bearer {CANARY}"],
        [CANARY],
        ["hf_" + "a" * 34],
        ["ghp_" + "A1" * 18],
    ],
)
def test_no_secret_of_the_command_line_or_the_environment_reaches_a_record(arguments, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", CANARY)
    shown = provenance(["rnnbench", "run", *arguments])
    record = make_record(
        status=Status.CRASHED, reason=" ".join(arguments), provenance=shown, metrics=None
    )
    text = record.as_json()
    assert CANARY not in text
    assert "a" * 20 not in text
    assert "A1A1A1" not in text
    assert "***" in text


def test_what_only_resembles_a_secret_is_left_alone():
    for text in (
        "budget.tokens=1000000",
        "architecture.key_width=64",
        "KeyError: 'x'",
        "char-lm.lstm+zoneout.0123456789ab",
        "architecture.monkey=3",
    ):
        assert redact(text) == text
        assert redact_command(["rnnbench", text]).replace('"', "").replace("'", "") == (
            f"rnnbench {text}".replace("'", "")
        )


def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    atomic.replace_file(path, "old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"record\.json: No space left on device; what was there"):
        atomic.replace_file(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("written", ["NaN", "-Infinity", "1e999", "-1e999"])
def test_a_figure_on_disk_that_is_not_finite_makes_the_record_a_failure(written):
    """However it came there, such as in a folder that was copied."""
    text = make_record(make_spec("adding", "gru"), 0.125).as_json()
    record_read = Record.from_json(text.replace('"mse": 0.125', f'"mse": {written}'))
    assert record_read.status is Status.NAN
    assert record_read.value("test") is None
