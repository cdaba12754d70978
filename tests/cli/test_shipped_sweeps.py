"""Sweeps that come with rnnbench go by name, from a checkout and from a wheel."""

import subprocess
import sys
import zipfile

import pytest
from support import ROOT
from support.command_line import call

from rnnbench.files.shipped_sweeps import shipped_sweeps, summary_of

HERE = {file.stem for file in (ROOT / "sweeps").glob("*.yaml")}


def test_all_sweeps_are_listed_with_what_they_are_about():
    lines = call("sweep", "--list").splitlines()
    assert {line.split()[0] for line in lines} == HERE == set(shipped_sweeps())
    for name, file in shipped_sweeps().items():
        summary = summary_of(file)
        assert 20 < len(summary) < 160, name
        assert not summary.endswith((":", "al."))


def test_a_copy_is_a_sweep_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = call("sweep", "--copy", "quickstart")
    assert "wrote quickstart.yaml" in said
    assert (tmp_path / "quickstart.yaml").read_text() == (
        ROOT / "sweeps/quickstart.yaml"
    ).read_text()
    again = call("sweep", "--copy", "quickstart", code=2)
    assert "quickstart.yaml is there already" in again
    assert "--to OTHER.yaml" in again
    call("sweep", "--copy", "quickstart", "--to", "other.yaml")
    assert (tmp_path / "other.yaml").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("quickstar", "Did you mean quickstart, which comes with rnnbench?"),
        ("nowhere/quickstart.yaml", "comes with rnnbench: rnnbench sweep quickstart"),
        ("mine.yaml", "Those that come with rnnbench: rnnbench sweep --list"),
    ],
)
def test_a_file_that_is_not_there_is_told_with_what_there_is(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = call("sweep", given, code=2)
    assert f"there is no sweep file {given}" in output
    assert said in output


def test_an_option_of_a_copy_is_refused_where_nothing_is_copied():
    assert "nothing is copied" in call("sweep", "--list", "--to", "x.yaml", code=2)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (file,) = folder.glob("*.whl")
    return file


def test_a_wheel_has_the_sweeps_and_types_and_nothing_that_nobody_reads(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"rnnbench/shipped/sweeps/{name}.yaml" for name in HERE} <= names
    assert "rnnbench/shipped/sweeps/reproduce/dlinear-etth1.yaml" in names
    for package in ("rnnbench", "rnnbench_architectures", "rnnbench_tasks", "rnnbench_tricks"):
        assert f"{package}/py.typed" in names
    assert [n for n in names if n.startswith("rnnbench/docs/") and not n.endswith(".py")] == []
    assert [n for n in names if "__pycache__" in n or n.startswith("tests")] == []


SMALL = """
name: small
tasks: [{name: adding, length: 5, train_items: 50, valid_items: 20, test_items: 20}]
architectures: [elman]
settings: {adding: {budget.steps: 4, budget.validate_every: 2}}
search: {trials: 1, space: {optimizer.lr: {low: 1e-3, high: 1e-2}}}
final: {seeds: [1]}
"""


@pytest.mark.slow
def test_an_installed_wheel_runs_sweeps_lists_recipes_and_writes_plugins(wheel, tmp_path):
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target",
         str(site), str(wheel)], check=True,
    )  # fmt: skip
    (work / "small.yaml").write_text(SMALL)

    def run(*arguments):
        code = "import sys; from rnnbench.cli import main; sys.argv[0] = 'rnnbench'; main()"
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(site),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments], cwd=work, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert {line.split()[0] for line in run("sweep", "--list").splitlines()} == HERE
    assert "1 of 1 final runs" in run("sweep", "small.yaml", "--no-html")
    assert "dlinear-etth1" in run("reproduce")
    run("new", "architecture", "leaky")
    assert (work / "leaky" / "pyproject.toml").exists()
