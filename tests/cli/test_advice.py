"""The advice of our errors can be typed as it stands: every command and every setting."""

import ast
import csv
import dataclasses
import functools
import math
import re
import shlex
from datetime import datetime, timedelta
from pathlib import Path

import click
import pytest
from support.command_line import call

import rnnbench
from rnnbench.cli import main
from rnnbench.errors import SpecError
from rnnbench.registry.registry import discover, schema
from rnnbench.spec.compose import compose
from rnnbench.spec.fill import fill
from rnnbench.spec.run_spec import Budget, Optimizer, Trainer

ROOT = Path(rnnbench.__file__).parents[1]
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
SETTING = re.compile(
    r"(?<![\w.-])(task|architecture|optimizer|budget|trainer|tricks\.[\w{}.-]+)\.(\w+)=(\S+)"
)
COMMAND = re.compile(r"(?<!\w)rnnbench ([a-z][a-z-]+(?: [^\n`;,()]+)?)")
BARE = re.compile(r"[Ss]et ([a-z_]+)=")  # without the section in which it stands


def texts(path):
    """Yield every text of a module that is no docstring, with {} where it computes a part."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
    inner |= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in node.values]
            yield node.lineno, "".join(parts)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            yield node.lineno, node.value


@functools.cache
def advice():
    """Return (place, text) of every text in the source that proposes something."""
    files = [*(ROOT / "rnnbench").rglob("*.py"), *(ROOT / "plugins").glob("rnnbench_*/*.py")]
    return [(f"{p.relative_to(ROOT)}:{line}", t) for p in sorted(files) for line, t in texts(p)]


@functools.cache
def fields_named(section, name):
    """Return the fields that a setting can mean: of core, or of any plugin of its kind."""
    core = {"optimizer": Optimizer, "budget": Budget, "trainer": Trainer}
    if section in core:
        return [f for f in dataclasses.fields(core[section]) if f.name == name]
    kind = {"task": "tasks", "architecture": "architectures"}.get(section, "tricks")
    return [s.fields[name] for s in schemas(kind) if name in s.fields]


@functools.cache
def schemas(kind):
    return [schema(kind, plugin) for plugin in discover()[0][kind]]


def type_one(section, field, text):
    """Type one setting for a field, as a command line has it."""
    if isinstance(field, dataclasses.Field):
        core = {"optimizer": Optimizer, "budget": Budget, "trainer": Trainer}
        cls = core[section]
    else:
        cls = dataclasses.make_dataclass("Typed", [field.as_field()])
    from rnnbench.spec.plugin_text import split_assignment

    name, value = split_assignment(f"{field.name}={text}")
    return fill(cls, {name: value}, section, {})


def test_every_setting_that_a_message_proposes_is_taken():
    proposed = []
    for place, text in advice():
        for section, name, value in SETTING.findall(text):
            if name.isupper() or value.startswith("{}:") or "{}={}" in text:
                continue  # the shape of a setting, or the echo of what was typed
            fields = fields_named(section, name)
            assert fields, f"{place}: there is no {section}.{name}"
            prose = value.rstrip(".:;,)'`") or value
            errors = []
            for typed in {value.rstrip(".:;)'`"), prose, *_samples(prose)}:
                for field in fields:
                    try:
                        type_one(section, field, typed)
                    except SpecError as error:
                        errors.append(error)
                    else:
                        break
                else:
                    continue
                break
            else:
                pytest.fail(f"{place}: {section}.{name}={value}: {errors}")
            proposed.append(f"{section}.{name}={value}")
    assert len(proposed) > 25


def _samples(value):
    return [PLACEHOLDER.sub(s, value) for s in ("2", "x")] if "{}" in value else []


def test_every_command_that_a_message_proposes_exists_with_its_options():
    proposed = []
    for place, text in advice():
        for said in COMMAND.findall(text):
            first = said.split()[0]
            if first not in main.commands:
                assert first in PROSE, f"{place}: there is no command {said!r}"
                continue
            words = shlex.split(PLACEHOLDER.sub("x", said.rstrip(" .:")).replace("'", ""))
            command, words = main.commands[first], words[1:]
            words = words[: words.index("--")] if "--" in words else words
            while isinstance(command, click.Group) and words and words[0] in command.commands:
                command, words = command.commands[words[0]], words[1:]
            own = {o for p in command.params for o in p.opts}
            if isinstance(command, click.Group) and words and words[0] not in own:
                command = command.commands["run"]  # `rnnbench sweep FILE`
            options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
            for word in words:
                if word.startswith("--"):
                    assert word in options, f"{place}: {command.name} has no {word}"
            proposed.append(said)
    assert len(proposed) > 50


PROSE = ("adds", "and", "unpacks", "reads", "uses", "to", "probe", "is", "of", "that", "or")


def test_no_message_proposes_a_setting_without_its_section():
    bare = [f"{place}: {text}" for place, text in advice() if BARE.search(text)]
    assert not bare


# --------------------------------------------------------------------- typed, as a user does it


@pytest.fixture
def table(tmp_path):
    columns = ["@t", "a", "b", "1", "null", "010", "no", "a b", "c,d", "=e"]
    with open(tmp_path / "t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for i in range(300):
            time = datetime(2024, 1, 1) + timedelta(hours=i)
            values = [round(math.sin(i / 5 + k), 3) for k in range(len(columns) - 1)]
            writer.writerow([f"{time:%d/%m/%Y %H:%M}", *values])
    return tmp_path / "t.csv"


def checked(table, *settings, code=0):
    return call(
        "check", "csv-forecast", "dlinear", f"task.path={table}", "task.time=@t",
        "task.time_format=%d/%m/%Y %H:%M", "task.context=12", "task.horizon=4", *settings,
        code=code,
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        ["task.targets=null,010,no", "task.covariates=1,a b", "task.calendar=hour"],
        ['task.targets=["c,d", =e]', "task.delimiter=,", "task.decimal=."],
    ],
)
def test_a_table_of_ones_own_takes_texts_and_lists_as_they_are(table, settings):
    assert "possible" in checked(table, *settings)


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("a,b", ("a", "b")),
        ("1,2", ("1", "2")),
        ("[1, 2]", ("1", "2")),
        ("010", ("010",)),
        ("null,~,true,1e3", ("null", "~", "true", "1e3")),
        ("'null'", ("null",)),
        ('"c,d",e', ("c,d", "e")),
        ("[a],[b]", ("[a]", "[b]")),
        ("2024-01-18", ("2024-01-18",)),
        ("", ()),
        ("[]", ()),
        ("a,", ("a",)),
    ],
)
def test_a_list_of_texts_holds_what_is_typed(text, targets):
    assert typed_task(f"task.targets={text}")["targets"] == targets


@pytest.mark.parametrize("text", ["null", "no", "true", "010", "1e3", "0.10", "~", "a=b", "=",
                                  "%d/%m/%Y", "@t", "- a", "a: b", "{x}", "[x", "*", "&", "!", "|",
                                  ",", ";", "\t", " ", "???", "#x", "2024-01-18"])  # fmt: skip
def test_a_field_of_text_takes_the_text_as_it_is(text):
    assert typed_task(f"task.time={text}")["time"] == text


def test_quotes_around_a_whole_text_are_left_away_and_others_stay():
    assert typed_task("task.time='null'")["time"] == "null"
    assert typed_task(r'task.delimiter="\t"')["delimiter"] == "\t"
    assert typed_task('task.time="')["time"] == '"'
    assert typed_task("task.time='a'b'")["time"] == "'a'b'"


def test_numbers_words_and_null_mean_what_their_field_takes():
    spec = compose_typed("budget.steps=1e3", "optimizer.precision=32", "budget.patience=null")
    assert (spec.budget.steps, spec.optimizer.precision) == (1000, "32")
    assert spec.budget.patience is None
    assert compose_typed("budget.steps=null", "budget.epochs=2").budget.epochs == 2.0


def test_an_interpolation_is_refused_and_not_resolved(monkeypatch):
    monkeypatch.setenv("SECRET", "canary")
    with pytest.raises(SpecError, match=r"'\$\{' is refused") as error:
        typed_task("task.time=${oc.env:SECRET}")
    assert "canary" not in str(error.value)


def test_a_file_gives_texts_that_look_like_numbers_as_they_are_written(tmp_path):
    from rnnbench.spec.from_command_line import read_request

    file = tmp_path / "run.yaml"
    file.write_text(
        "task: {name: csv-forecast, path: t.csv, targets: [1, 010, a], time: 010, valid: 0.2}\n"
        "architecture: 'clockwork:modules=3,periods=1,2,4'\noptimizer: {precision: 32, lr: 1}\n"
        "budget: {steps: 010}\n"
    )
    spec, _ = read_request(None, None, [], [], file, None, True)
    task, architecture = dict(spec.task.settings), dict(spec.architecture.settings)
    assert (task["targets"], task["time"], task["valid"]) == (("1", "010", "a"), "010", "0.2")
    assert architecture["periods"] == (1, 2, 4)
    assert (spec.optimizer.precision, spec.optimizer.lr, spec.budget.steps) == ("32", 1.0, 10)


def test_a_plugin_in_one_word_takes_lists_and_texts():
    said = call("check", "adding", "clockwork:modules=3,periods=1,2,4,hidden=30")
    assert "possible" in said
    spec = compose("csv-forecast:path=t.csv,decimal=,,targets=a,b,delimiter=;", "gru")
    settings = dict(spec.task.settings)
    assert (settings["decimal"], settings["targets"], settings["delimiter"]) == (
        ",", ("a", "b"), ";",
    )  # fmt: skip


def test_an_empty_place_in_a_list_is_refused_and_a_comma_at_the_end_says_nothing():
    said = call("check", "adding", "clockwork:modules=4,periods=1,2,,8,hidden=32", code=2)
    assert "architecture.periods=1,2,,8: architecture clockwork takes a list of int" in said
    assert "possible" in call("check", "adding", "clockwork:modules=3,hidden=30,periods=1,2,4,")


def test_a_setting_without_its_section_is_told_where_it_stands():
    said = call("check", "adding", "gru", "hidden=8", code=2)
    assert "did you mean architecture.hidden?" in said


def test_a_wrong_value_is_shown_as_it_was_typed_with_what_the_field_takes():
    said = call("check", "adding", "clockwork", "architecture.periods=a,b", code=2)
    assert "architecture.periods=a,b: architecture clockwork takes a list of int" in said
    said = call("check", "adding", "gru", "optimizer.precision=16", code=2)
    assert "optimizer.precision=16: optimizer takes one of '32', 'bf16'" in said
    assert "takes int" in call("check", "adding", "gru", "architecture.hidden=%", code=2)


def typed_task(*settings):
    return dict(compose_typed("task.path=t.csv", *settings, task="csv-forecast").task.settings)


def compose_typed(*settings, task="adding"):
    from rnnbench.spec.from_command_line import read_request

    return read_request(task, "gru", settings, [], None, None, True)[0]
