"""The sweep file, its complaints, and the cells it makes."""

import pytest
from support import ROOT
from support.fake_work import FAKE_PLUGINS

from rnnbench.errors import SweepError
from rnnbench.spec.compose import compose
from rnnbench.sweep.file.sweep import parse_sweep, read_sweep
from rnnbench.sweep.plan import plan_cells

GOOD = """\
name: good
tasks: [easy, {name: hard, length: 12}]
architectures:
  - plain
  - explodes
tricks:
  - []
  - [clip, {name: zoneout}]
settings:
  all: {budget.steps: 100}
  hard: {optimizer.batch: 8}
search:
  trials: 4
  sampler: {name: tpe, startup_trials: 2}
  pruner: {name: median, startup_trials: 2, warmup_steps: 50}
  space:
    optimizer.lr: {low: 1e-3, high: 3e-2, log: true}
    architecture.hidden: {low: 32, high: 96, step: 16}
    tricks.zoneout.rate: auto
    architecture.activation: {choices: [tanh, relu]}
final:
  seeds: [1, 2]
trainer: {threads: 1}
"""


def test_a_sweep_file_is_read_with_its_defaults():
    sweep = parse_sweep(GOOD)
    assert sweep.workers == 1
    assert sweep.retries == 1
    assert sweep.seeds == (1, 2)
    assert dict(sweep.search.pruner.options) == {"startup_trials": 2, "warmup_steps": 50}
    assert [c.name for c in sweep.cells()][:2] == ["easy.plain", "easy.plain+clip+zoneout"]
    assert len(sweep.cells()) == 8


def test_a_number_in_exponent_notation_is_a_number():
    space = parse_sweep(GOOD).search.space
    assert space["optimizer.lr"]["low"] == 0.001


def test_an_entry_of_the_space_is_used_in_the_cells_that_have_its_field():
    plans = {
        p.cell.name: [d.name for d in p.space] for p in plan_cells(parse_sweep(GOOD), FAKE_PLUGINS)
    }
    assert plans["easy.plain"] == [
        "optimizer.lr", "architecture.hidden", "architecture.activation",
    ]  # fmt: skip
    assert plans["easy.explodes+clip+zoneout"] == [
        "optimizer.lr", "architecture.hidden", "tricks.zoneout.rate",
    ]  # fmt: skip


def test_settings_of_a_task_come_over_those_for_all():
    text = GOOD.replace("hard: {optimizer.batch: 8}", "hard: {budget.steps: 7}")
    fixed = {p.cell.name: p.fixed for p in plan_cells(parse_sweep(text), FAKE_PLUGINS)}
    assert fixed["easy.plain"] == {"budget.steps": 100}
    assert fixed["hard.plain"] == {"budget.steps": 7}


def test_another_architecture_only_adds_cells():
    before = {p.study for p in plan_cells(parse_sweep(GOOD), FAKE_PLUGINS)}
    text = GOOD.replace("  - explodes\n", "  - explodes\n  - raises\n")
    after = {p.study for p in plan_cells(parse_sweep(text), FAKE_PLUGINS)}
    assert before < after


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("high: 3e-2", "high: 4e-2"),
        ("budget.steps: 100", "budget.steps: 101"),
        ("startup_trials: 2}", "startup_trials: 3}"),
        ("search:\n", "search:\n  seed: 9\n"),
    ],
)
def test_a_changed_definition_makes_new_studies(old, new):
    before = {p.study for p in plan_cells(parse_sweep(GOOD), FAKE_PLUGINS)}
    after = {p.study for p in plan_cells(parse_sweep(GOOD.replace(old, new)), FAKE_PLUGINS)}
    assert before.isdisjoint(after)


@pytest.mark.parametrize(("old", "new"), [("trials: 4", "trials: 9"), ("[1, 2]", "[1, 2, 3]")])
def test_more_trials_or_seeds_go_on_with_the_same_studies(old, new):
    before = {p.study for p in plan_cells(parse_sweep(GOOD), FAKE_PLUGINS)}
    assert before == {
        p.study for p in plan_cells(parse_sweep(GOOD.replace(old, new)), FAKE_PLUGINS)
    }


WRONG = [
    ("name: good", "name: ../good", 1, "is no name"),
    ("tasks: [easy, ", "task: [easy, ", 2, "did you mean 'tasks'"),
    ("  - plain\n", "  - plain\n  - plain\n", 5, "listed twice"),
    ("  - plain\n", "  - plian\n", 4, "no architecture 'plian'"),
    ("[clip, {name", "[clip, clip, {name", 8, "'clip' is listed twice"),
    ("  - []\n", "  - clip\n", 7, "is a list"),
    ("length: 12", "lenght: 12", 2, "no field 'lenght'"),
    ("all: {budget.steps", "all: {budget.stpes", 10, "did you mean 'budget.steps'"),
    ("all: {budget.steps", "al: {budget.steps", 10, "did you mean 'all'"),
    ("hard: {optimizer.batch", "hard: {architecture.batch", 11, "architecture has: hidden"),
    ("hard: {optimizer.batch", "hard: {optimiser.batch", 11, "did you mean 'optimizer'"),
    ("trials: 4", "trials: 4.5", 13, "whole number"),
    ("trials: 4", "trails: 4", 13, "did you mean 'trials'"),
    ("name: tpe, startup_trials", "name: tpe, startup_trial", 14, "startup_trials"),
    ("sampler: {name: tpe,", "sampler: {name: tep,", 14, "did you mean 'tpe'"),
    ("name: median, startup_trials: 2", "name: median, startup_trials: -1", 15, "from 0"),
    ("{name: median, startup_trials: 2, warmup_steps: 50}", "asha", 15, "asha needs min_steps"),
    ("low: 1e-3, high: 3e-2", "low: 3e-2, high: 1e-3", 17, "low must be below high"),
    ("low: 1e-3, high: 3e-2", "low: 0, high: 3e-2", 17, "log needs low above 0"),
    ("low: 1e-3, high: 3e-2", "low: a, high: 3e-2", 17, "low is a number"),
    ("low: 1e-3, high: 3e-2", "high: 3e-2", 17, "lacks low"),
    ("low: 1e-3, high", "low: 1e-3, hihg: 1, high", 17, "did you mean 'high'"),
    ("low: 32, high: 96, step: 16", "low: 32, high: 97, step: 16", 18, "the last one is 96"),
    ("low: 32, high: 96", "low: 32.5, high: 96", 18, "whole numbers"),
    ("tricks.zoneout.rate", "tricks.zoneuot.rate", 19, "did you mean 'tricks.zoneout.rate'"),
    ("tricks.zoneout.rate", "tricks.rate", 19, "names no setting"),
    ("tricks.zoneout.rate: auto", "optimizer.weight_decay: auto", 19, "recommends no range"),
    ("choices: [tanh, relu]", "choices: [tanh, tanh]", 20, "twice among the choices"),
    ("choices: [tanh, relu]", "low: 1, high: 2", 20, "is not a number"),
    ("architecture.activation: {choices: [tanh, relu]}", "budget.steps: {low: 1, high: 2}", 20,
     "fixed by sweep:10"),
    ("seeds: [1, 2]", "seeds: [1, 0]", 22, "seed of the search"),
    ("seeds: [1, 2]", "seeds: [true]", 22, "whole number"),
    ("seeds: [1, 2]", "seeds: []", 22, "at least one"),
    ("threads: 1", "thread: 1", 23, "did you mean 'threads'"),
    ("threads: 1", "threads: '${oc.env:KEY}'", 23, "is refused"),
    ("threads: 1", "threads: 1, threads: 2", 23, "written twice"),
    ("- [clip, {name: zoneout}]", "- [clip, {name: zoneout]", 8, "is not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "words"), WRONG)
def test_every_mistake_is_named_with_file_and_line(old, new, line, words):
    assert old in GOOD
    with pytest.raises(SweepError) as caught:
        plan_cells(parse_sweep(GOOD.replace(old, new)), FAKE_PLUGINS)
    message = str(caught.value)
    assert message.startswith(f"sweep:{line}:")
    assert words in message


def test_a_syntax_error_shows_the_column_and_the_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: x\ntasks: [a, b}\n")
    with pytest.raises(SweepError) as caught:
        read_sweep(path)
    where, *shown = str(caught.value).splitlines()
    assert where.startswith(f"{path}:2:13: ")
    assert shown == ["    tasks: [a, b}", "                ^"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SweepError, match=r"none\.yaml"):
        read_sweep(tmp_path / "none.yaml")


def test_the_same_cell_written_in_two_ways_is_refused():
    text = GOOD.replace("  - plain\n", "  - plain\n  - {name: plain, hidden: 8}\n")
    text = text.replace("    architecture.hidden: {low: 32, high: 96, step: 16}\n", "")
    with pytest.raises(SweepError, match=r"sweep:5: .* twice"):
        plan_cells(parse_sweep(text), FAKE_PLUGINS)


def test_a_field_that_is_searched_and_written_in_an_entry_is_refused():
    text = GOOD.replace("  - plain\n", "  - {name: plain, hidden: 8}\n")
    with pytest.raises(SweepError, match=r"sweep:18: architecture.hidden is searched here"):
        plan_cells(parse_sweep(text), FAKE_PLUGINS)


def test_refused_combinations_keep_their_reason():
    plans = plan_cells(parse_sweep(GOOD.replace("explodes", "impossible")), FAKE_PLUGINS)
    refused = [p for p in plans if p.refused]
    assert len(refused) == 4
    assert refused[0].refused == "impossible on easy: it has no cell"
    assert len({p.study for p in plans}) == len(plans)


def test_a_sweep_needs_search_or_final():
    with pytest.raises(SweepError, match="nothing to run"):
        parse_sweep("name: x\ntasks: [easy]\narchitectures: [plain]\n")


SHIPPED = sorted(ROOT.glob("sweeps/*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_every_cell_of_a_shipped_sweep_is_a_run(file):
    sweep = read_sweep(file)
    for cell in sweep.cells():
        fixed = {name: value for name, (value, _) in sweep.fixed(cell).items()}
        compose(cell.task, cell.architecture, cell.tricks, fixed)
