"""`rnnbench new`: what it writes installs, obeys its laws and trains, before a line is changed."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from support.plugin_site import pip_install, plugin_site, run_tests

from rnnbench import testing
from rnnbench.cli import main
from rnnbench.contract.plugin import kebab
from rnnbench.registry.scaffold import LONGEST, ScaffoldError, check_name, class_name

NAMES = {"architecture": "fern-cell", "task": "fern-recall", "trick": "fern-decay"}


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A package of each kind, made and installed as a user would: folder, and what was printed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("made")
        monkeypatch.chdir(folder)
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        printed = {kind: call("new", kind, name) for kind, name in NAMES.items()}
        pip_install(folder / "site", *(folder / name for name in NAMES.values()))
        site = plugin_site(folder / "site", monkeypatch)
        next(site)
        yield folder, printed
        for _ in site:
            pass


def commands(printed):
    """The commands that `new` says come next."""
    _, _, after = printed.partition("next:\n")
    return [shlex.split(line) for line in after.splitlines()]


def test_what_is_written_is_printed_and_so_is_what_comes_next(made):
    folder, printed = made
    for kind, name in NAMES.items():
        module = name.replace("-", "_")
        shown = printed[kind].partition("written:\n")[2].partition("next:\n")[0].split()
        assert shown == [
            f"{name}/pyproject.toml",
            f"{name}/README.md",
            f"{name}/rnnbench_{module}.py",
            f"{name}/tests/test_{module}.py",
        ]
        assert all((folder / path).is_file() for path in shown)
        readme = (folder / name / "README.md").read_text("utf-8")
        assert [shlex.join(c) for c in commands(printed[kind])] == re.search(
            r"```sh\n(.*?)\n```", readme, re.S
        )[1].splitlines()


def test_a_new_cell_is_a_file_of_at_most_30_lines(made):
    (file,) = (made[0] / NAMES["architecture"]).glob("*.py")
    assert len(file.read_text("utf-8").splitlines()) <= 30


def test_all_three_are_found_with_their_distribution_and_described(made):
    for kind, name in NAMES.items():
        (found,) = json.loads(call("describe", name, "--json"))
        assert (found["kind"], found["distribution"]) == (f"{kind}s", f"rnnbench-{name}")
        assert found["help"].endswith(".")
        assert found["source"]
        assert found["fields"]
        assert all(field["help"] for field in found["fields"])


@pytest.mark.parametrize("kind", NAMES)
def test_its_own_tests_pass_unedited_and_hold_it_against_every_law(made, companions, kind):
    laws = getattr(testing, f"{kind.capitalize()}Laws").laws.all
    found = run_tests(made[0] / NAMES[kind])
    assert found["failed"] == []
    at_neighbours = sum(law.everywhere for law in laws)  # such a law is two tests
    assert len(found["passed"]) + len(found["skipped"]) == len(laws) + at_neighbours
    assert len(found["passed"]) > len(laws) / 2


def test_the_command_that_is_printed_after_the_installation_holds_the_laws(made):
    _, laws, _, _ = commands(made[1]["architecture"])
    assert laws == ["rnnbench", "check-plugin", NAMES["architecture"]]
    assert ", 0 broken," in call(*laws[1:])


@pytest.mark.parametrize("kind", NAMES)
def test_each_kind_trains_unedited_by_the_printed_command_and_is_ranked(made, kind, monkeypatch):
    monkeypatch.chdir(made[0])
    monkeypatch.setenv("RNNBENCH_RESULTS", f"results-{kind}")
    _, _, run, _ = commands(made[1][kind])
    output = call(*run[1:], "-q")
    assert NAMES[kind] in output.splitlines()[0]
    (board,) = json.loads(call("leaderboard", "--json"))["boards"]
    (row,) = [r for r in board["rows"] if r["kind"] == "ranked"]
    assert row["margin"]["gain"] > 0.5, "in 200 steps it learns far more than the baseline knows"
    assert not [mark for mark in row["marks"] if "not installed" in mark]


def test_a_new_cell_gets_every_kind_of_task_and_the_tricks_for_cells(made):
    from rnnbench.registry.registry import load
    from rnnbench.testing.fixtures.toy_tasks import TOYS
    from rnnbench.training.dry_run import check

    cell, zoneout = load("architectures", NAMES["architecture"]), load("tricks", "zoneout")
    for name in ("lm", "translate", "forecast", "classify", "caption"):
        assert check(cell(hidden=4), TOYS[name], [zoneout()]).device == "meta"


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", ["x", "s-lstm2", "w" * LONGEST])
def test_generated_code_is_formatted_and_clean(tmp_path, kind, name):
    call("new", kind, name, "--into", tmp_path)
    for command in (["check", "--quiet"], ["format", "--check"]):
        subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", tmp_path / name],
            check=True, capture_output=True,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MyCell", "did you mean 'my-cell'?"),
        ("my_cell", "did you mean 'my-cell'?"),
        ("lstm-2", "did you mean 'lstm2'?"),
        ("-cell", "did you mean 'cell'?"),
        ("../cell", "is no name for a plugin"),
        ("zellen-größe", "is no name for a plugin"),
        ("", "is no name for a plugin"),
        ("w" * (LONGEST + 1), "at most 32 characters"),
        ("a-b-cell", "did you mean 'ab-cell'?"),
        ("rnnbench-cell", "leave 'rnnbench' out"),
        ("test-cell", "leave 'test' out"),
        ("lstm", "is taken: architecture lstm of rnnbench"),
        ("zoneout", "is taken: trick zoneout of rnnbench"),
        ("tricks", "there is a module rnnbench_tricks already"),
        ("architecture", "its class would be called Architecture"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, name, message):
    output = call("new", "--into", tmp_path, "architecture", "--", name, code=2)
    assert message in output
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_plugin_that_somebody_installed_is_taken(made, tmp_path):
    output = call("new", "task", NAMES["trick"], "--into", tmp_path, code=2)
    assert f"is taken: trick fern-decay of rnnbench-{NAMES['trick']} 0.1.0" in output


@pytest.mark.parametrize("there", ["folder", "file", "broken link"])
def test_what_exists_is_left_alone(tmp_path, there):
    place = tmp_path / "moss"
    if there == "folder":
        place.mkdir()
    elif there == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path / "nowhere")
    assert "exists; nothing was written" in call("new", "trick", "moss", "--into", tmp_path, code=2)
    assert list(tmp_path.iterdir()) == [place]
    assert there != "file" or place.read_text() == "mine"


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert "does not exist" in call("new", "trick", "moss", "--into", tmp_path / "no", code=2)


def test_a_failure_on_the_way_leaves_nothing(tmp_path, monkeypatch):
    write = Path.write_text

    def full_disk(self, *arguments, **options):
        if self.name == "README.md":
            raise OSError(28, "No space left on device")
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full_disk)
    assert "No space left" in call("new", "trick", "moss", "--into", tmp_path, code=69)
    assert list(tmp_path.iterdir()) == []


@given(st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z][a-z0-9]{0,8}){0,3}", fullmatch=True))
def test_a_class_is_called_by_the_name_that_was_given(name):
    try:
        check_name(name)
    except ScaffoldError:
        return
    assert kebab(class_name(name)) == name


def test_help_has_an_example_and_it_starts_without_torch(tmp_path):
    assert "rnnbench new architecture my-cell" in call("new", "--help").split("Example:")[1]
    code = (
        "import sys; from rnnbench.cli import main\n"
        f"try: main(['new', 'task', 'moss', '--into', {os.fspath(tmp_path)!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
