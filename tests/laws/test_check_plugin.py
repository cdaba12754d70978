"""`rnnbench check-plugin`: what is printed, and the exit code."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from rnnbench.cli import main
from rnnbench.registry.registry import discover, schema


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["check-plugin", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """Announces plugins of this folder as those of a distribution: group, name, target."""

    def install(*points):
        info = tmp_path / "stranger-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Stranger_s\nVersion: 1.2\n")
        lines = [f"[rnnbench.{points[i]}]\n{points[i + 1]} = {points[i + 2]}\n"
                 for i in range(0, len(points), 3)]  # fmt: skip
        (info / "entry_points.txt").write_text("".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        discover.cache_clear()
        schema.cache_clear()

    yield install
    monkeypatch.undo()
    discover.cache_clear()
    schema.cache_clear()


def test_a_sound_plugin_holds_every_law_that_applies():
    lines = call("gru").splitlines()
    assert lines[0] == "architecture gru of rnnbench 0.1.0"
    assert lines[1].startswith("held as GRU(hidden=8")
    assert "held            chunks" in lines
    assert " laws held, 0 broken, 0 do not apply (" in lines[-1]


def test_a_broken_plugin_of_others_is_shown_with_its_example_in_80_columns(third_party):
    third_party("tasks", "drops-the-last", "laws.broken.task_data:DropsTheLast")
    output = call("drops-the-last", code=1)
    lines = output.splitlines()
    assert lines[0] == "task drops-the-last of Stranger_s 1.2"
    at = lines.index("broken          no item is dropped")
    assert lines[at + 1].strip().startswith("Evaluation reads every item exactly once")
    assert "order(40) reads 80 items of 90" in lines[at + 2]
    assert "To mend: Keep the last, smaller batch" in output
    assert "does not apply  streams continue\n                  no state is carried" in output
    assert " 1 broken, 3 do not apply" in lines[-1]
    assert max(map(len, lines)) <= 80


def test_the_verdicts_are_there_for_machines(third_party):
    third_party("tasks", "drops-the-last", "laws.broken.task_data:DropsTheLast")
    (report,) = json.loads(call("drops-the-last", "--json", code=1))
    broken = [law for law in report["laws"] if law["outcome"] == "broken"]
    assert [law["name"] for law in broken] == ["no_item_is_dropped"]
    assert broken[0]["example"].startswith("valid: order(40)")
    assert broken[0]["mend"]
    assert report["held"] + report["broken"] + report["does_not_apply"] == len(report["laws"])
    assert report["distribution"] == "Stranger_s"


def test_an_unknown_plugin_is_an_error_of_the_caller_with_the_closest_name():
    assert "did you mean 'elman'" in call("elmam", code=2)


def test_a_plugin_without_a_small_instance_says_what_is_missing(third_party, tmp_path):
    (tmp_path / "nodefault_for_tests.py").write_text(
        "from dataclasses import dataclass\n"
        "from rnnbench.contract import Trick, setting\n\n"
        "@dataclass(frozen=True)\n"
        "class NoDefault(Trick):\n"
        '    """Needs a rate."""\n\n'
        '    rate: float = setting(help="a rate")\n'
    )
    third_party("tricks", "no-default", "nodefault_for_tests:NoDefault")
    output = call("no-default", code=2)
    assert "no small instance" in output
    assert "`tiny`" in output


def test_the_command_works_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "rnnbench", "check-plugin", "digits"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "0 broken, 3 do not apply" in done.stdout.splitlines()[-1]


SOUND = ("tasks", "majority", "laws.broken.right_tasks:Majority")
BROKEN = ("tasks", "drops-the-last", "laws.broken.task_data:DropsTheLast")
ABSENT = ("architectures", "nowhere", "laws.broken.nowhere:Nothing")


def test_all_plugins_of_a_distribution_are_held_and_written_for_a_ci_system(third_party, tmp_path):
    third_party(*SOUND, *BROKEN, *ABSENT)
    file = tmp_path / "of/laws.xml"
    output = call("stranger-s", "--junit", str(file), code=1)
    assert "task majority of Stranger_s 1.2" in output
    assert "3 plugins, 1 with a broken law: drops-the-last" in output
    assert "architecture nowhere cannot be tried: architecture 'nowhere' of Stranger_s" in output
    suites = {suite.get("name"): suite for suite in ElementTree.parse(file).getroot()}
    assert set(suites) == {"task majority", "task drops-the-last", "architecture nowhere"}
    assert suites["task majority"].get("failures") == "0"
    failed = {case.get("name"): case.find("failure") for case in suites["task drops-the-last"]}
    broken = [name for name, failure in failed.items() if failure is not None]
    assert broken == ["no_item_is_dropped"]
    assert "To mend: Keep the last, smaller batch" in failed["no_item_is_dropped"].text
    assert suites["architecture nowhere"].get("errors") == "1"


def test_a_name_that_is_neither_a_plugin_nor_a_distribution_is_refused_with_the_closest():
    said = call("rnnbenhc", code=2)
    assert "no plugin or distribution 'rnnbenhc'; did you mean 'rnnbench'" in said
