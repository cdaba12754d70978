"""A third-party distribution, from its installation to after its removal.

Its own backend builds it, and pip installs it, into an environment that sees what is installed
here and nothing of rnnbench's source tree that pip did not put there.
"""

import json
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner
from support import ROOT
from support.plugin_site import pip_install, plugin_site, run_tests
from support.real_data import here

from rnnbench.cli import main
from rnnbench.registry.registry import discover, load
from rnnbench.testing.law import tiny

PROJECT = ROOT / "plugins" / "examples" / "rnnbench-mgu"
MINE = {"architectures": "my-mgu", "tasks": "running-parity", "tricks": "gradient-centralisation"}
TINY = ["architecture.hidden=8", "budget.steps=10", "budget.validate_every=5", "optimizer.batch=4"]
ITEMS = ["task.train_items=40", "task.held_out_items=20", "task.length=6"]


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory):
    """The installed files, once for all tests; on nobody's path."""
    folder = tmp_path_factory.mktemp("once")
    pip_install(folder, PROJECT)
    return folder


@pytest.fixture
def installed(wheelhouse, tmp_path, monkeypatch):
    """rnnbench with the distribution; results and caches of its own."""
    monkeypatch.setenv("RNNBENCH_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("COLUMNS", "100")
    shutil.copytree(wheelhouse, tmp_path / "site")
    yield from plugin_site(tmp_path / "site", monkeypatch)


def uninstall(site):
    shutil.rmtree(site.folder)
    site.forget()


def boards():
    return json.loads(call("leaderboard", "--json"))["boards"]


def test_it_is_found_with_its_distribution_and_version_and_nothing_is_broken(
    installed, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = [sys.executable, "-m", "rnnbench", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    found = json.loads(done.stdout)
    mine = [p for p in found["plugins"] if p["distribution"] == "rnnbench-mgu"]
    assert [(p["kind"], p["name"], p["version"]) for p in mine] == [
        (kind, name, "1.4.0") for kind, name in MINE.items()
    ]
    assert found["broken"] == []


def test_it_is_described_with_its_fields_and_its_source(installed):
    for kind, name in MINE.items():
        (found,) = json.loads(call("describe", name, "--json"))
        assert (found["kind"], found["distribution"]) == (kind, "rnnbench-mgu")
        assert found["source"]
        assert found["fields"]
        assert all(field["help"] for field in found["fields"])
    assert "arXiv:1603.09420" in call("describe", "my-mgu")


@pytest.mark.parametrize(
    "task", [n for n, e in discover()[0]["tasks"].items() if e.distribution == "rnnbench"]
)
def test_the_cell_is_possible_on_every_task_of_core_with_a_trick_of_core_and_its_own(
    installed, task
):
    tricks = [
        "--trick",
        "zoneout",
        "--trick",
        "variational-dropout",
        "--trick",
        "gradient-centralisation",
    ]
    plugin = tiny(load("tasks", task))
    here(plugin)
    settings = [f"task.{name}={json.dumps(value)}" for name, value in plugin.tiny.items()]
    said = call("check", task, "my-mgu", *tricks, *settings, "architecture.hidden=8")
    assert said.splitlines()[-1].startswith("possible: ")  # after what is said of the data


def test_its_task_takes_every_architecture_of_core_that_reads_forwards_or_says_why_not(installed):
    taken = set()
    for name, item in discover()[0]["architectures"].items():
        if item.distribution == "rnnbench":
            result = CliRunner().invoke(main, ["check", "running-parity", name])
            if result.exit_code == 0:
                assert "possible: " in result.output
                taken.add(name)
            else:
                assert result.exit_code == 2
                assert "rnnbench: refused: " in result.output
                assert len(result.output.strip().splitlines()) > 1, "the remedy is on a second line"
    assert taken >= {"clockwork", "dilated", "elman", "gru", "lstm", "narx", "transformer"}
    assert not taken & {"bidirectional", "mdlstm", "tree-lstm"}


def test_a_run_with_all_three_is_ranked_and_knows_where_it_came_from(installed, tmp_path):
    trick = ["--trick", "gradient-centralisation"]
    call("run", "running-parity", "my-mgu", *trick, *TINY, *ITEMS, "-q")
    (board,) = boards()
    (row,) = [r for r in board["rows"] if r["kind"] == "ranked"]
    assert (board["task"], row["name"], row["marks"][0]) == (
        "running-parity",
        "my-mgu + gradient-centralisation",
        "1 seed",
    )
    assert [r["name"] for r in board["rows"] if r["kind"] == "baseline"] == ["commoner parity"]
    assert "not installed" not in call("leaderboard")
    (record,) = (tmp_path / "results" / "runs").glob("*/record.json")
    provenance = json.loads(record.read_text("utf-8"))["provenance"]
    assert provenance["distributions"]["rnnbench-mgu"]["version"] == "1.4.0"


def test_uninstalled_its_results_stay_readable_and_are_marked(installed):
    trick = ["--trick", "gradient-centralisation"]
    call("run", "digits", "my-mgu", *trick, *TINY, "task.step=row", "-q")
    call("run", "digits", "my-mgu", *TINY, "task.step=row", "-q")
    call("run", "digits", "elman", *TINY, "task.step=row", "-q")
    call("run", "running-parity", "elman", *TINY, *ITEMS, "-q")
    before = boards()
    uninstall(installed)
    assert "there is no architecture 'my-mgu'" in call("run", "digits", "my-mgu", *TINY, code=2)
    after = boards()
    marks = {r["name"]: r["marks"].pop() for b in after for r in b["rows"] if "installed" in str(r)}
    assert marks == {
        "my-mgu": "not installed here: my-mgu",
        "my-mgu + gradient-centralisation": "not installed here: my-mgu, gradient-centralisation",
    }
    notes = {b["task"]: b["notes"].pop() for b in after if "installed" in str(b["notes"])}
    assert notes == {"running-parity": "The task running-parity is not installed here."}
    assert after == before, "nothing else of what is shown changes"
    output = call("leaderboard")
    assert "my-mgu: not installed here: my-mgu." in output
    assert "The task running-parity is not installed here." in output


def test_the_page_marks_what_is_not_installed(installed, tmp_path):
    call("run", "digits", "my-mgu", *TINY, "task.step=row", "-q")
    uninstall(installed)
    call("leaderboard", "--html", tmp_path / "page.html")
    assert "not installed here: my-mgu" in (tmp_path / "page.html").read_text("utf-8")


def test_a_sweep_searches_it_beside_an_architecture_of_core(installed, tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "name: with-mgu\n"
        "tasks: [{name: running-parity, length: 6, train_items: 40, held_out_items: 20}]\n"
        "architectures: [elman, my-mgu]\n"
        "tricks: [[], [gradient-centralisation]]\n"
        "settings:\n"
        "  all: {budget.steps: 10, budget.validate_every: 5, architecture.hidden: 8}\n"
        "search:\n"
        "  trials: 2\n"
        "  space:\n"
        "    optimizer.lr: {low: 1e-3, high: 3e-2, log: true}\n"
        "    tricks.gradient-centralisation.share: auto\n"
        "final: {seeds: [1, 2]}\n"
    )
    output = call("sweep", file)
    assert "sweep with-mgu complete: 8 trials done" in output
    (board,) = boards()
    ranked = {r["name"]: r["test"]["n"] for r in board["rows"] if r["kind"] == "ranked"}
    assert ranked == dict.fromkeys(
        [
            cell + trick
            for cell in ("elman", "my-mgu")
            for trick in ("", " + gradient-centralisation")
        ],
        2,
    )


def test_its_own_tests_pass_against_what_is_installed(installed, companions, tmp_path):
    shutil.copytree(PROJECT / "tests", tmp_path / "tests")
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    found = run_tests(tmp_path)
    assert found["failed"] == []
    kinds = {name.split("::")[1] for name in found["passed"] if "Test" in name.split("::")[1]}
    assert kinds == {"TestMGU", "TestRunningParity", "TestGradientCentralisation"}


def test_it_is_formatted_and_clean():
    for command in (["check", "--quiet"], ["format", "--check"]):
        subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", PROJECT],
            check=True, capture_output=True,
        )  # fmt: skip
