"""The space of a search: conditions, lists, recommended ranges, and the first trials."""

import pytest
from support.fake_work import FAKE_PLUGINS
from support.searching import LAYERED, LR, cells, search, sweep_text
from support.small_sweeps import rows_of

from rnnbench.errors import SweepError
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.plan import plan_cells

# ------------------------------------------------------------------------------ conditions


@pytest.mark.parametrize("sampler", ["random", "{name: tpe, startup_trials: 3}", "qmc", "grid"])
def test_a_setting_is_searched_only_where_its_condition_holds(sampler, tmp_path):
    text = sweep_text(sampler=sampler, architecture="layered", space=LAYERED, trials=16)
    search(text, tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == (7 if sampler == "grid" else 16)  # a grid: 1 + 2 * 3 points
    for row in rows:
        layers = row.params["architecture.layers"]
        assert ("architecture.dropout" in row.params) == (layers > 1)
    assert {r.params["architecture.layers"] for r in rows} == {1, 2, 3}
    if sampler == "grid":
        assert len({str(r.params) for r in rows}) == 7


def test_a_trick_is_switched_by_the_search_with_its_settings(tmp_path):
    space = "{" + LR + ", tricks.zoneout: {optional: true}, tricks.zoneout.rate: auto}"
    text = sweep_text(tricks="[clip, zoneout]", space=space, trials=12)
    search(text, tmp_path)
    rows = rows_of(tmp_path)
    for row in rows:
        there = row.params["tricks.zoneout"]
        assert ("tricks.zoneout.rate" in row.params) == there
        assert ('"zoneout"' in row.spec) == there
        assert '"clip"' in row.spec
    assert {r.params["tricks.zoneout"] for r in rows} == {True, False}


def test_an_element_of_a_list_is_a_setting(tmp_path):
    space = "{'architecture.widths[1]': {low: 20, high: 40}, architecture.layers: auto}"
    search(sweep_text(architecture="layered", space=space, trials=4), tmp_path)
    for row in rows_of(tmp_path):
        assert f'"widths":[8,{row.params["architecture.widths[1]"]}]' in row.spec


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (LAYERED.replace("[2, 3]", "[4]"), "architecture.layers=4, which is never proposed"),
        (LAYERED.replace("{architecture.layers: [", "{architecture.lay: ["), "no cell has"),
        (LAYERED.replace("when: {architecture.layers", "when: {architecture.dropout"), "itself"),
        ("{architecture.layers: {optional: true}}", "only a trick can be optional"),
        ("{'architecture.widths[2]': {low: 1, high: 2}}", "has 2 elements, counted from [0]"),
        ("{'architecture.layers[0]': {low: 1, high: 2}}", "is not a list"),
    ],
)
def test_a_condition_that_cannot_be_is_refused(space, words):
    with pytest.raises(SweepError) as caught:
        plan_cells(parse_sweep(sweep_text(architecture="layered", space=space)), FAKE_PLUGINS)
    assert words in str(caught.value)


def test_a_condition_on_a_fixed_setting_is_decided_at_once():
    space = LAYERED.replace("architecture.layers: {low: 1, high: 3}, ", "")
    for value, names in ((1, []), (2, ["architecture.dropout"])):
        text = sweep_text(architecture=f"{{name: layered, layers: {value}}}", space=space)
        (plan,) = plan_cells(parse_sweep(text), FAKE_PLUGINS)
        assert [d.name for d in plan.space] == names


# ------------------------------------------------------------------------------ auto and starts


def test_a_search_that_is_auto_seeks_every_recommended_range():
    text = "name: a\ntasks: [hard]\narchitectures: [{name: plain, hidden: 9}]\nsearch: auto\n"
    (plan,) = plan_cells(parse_sweep(text), FAKE_PLUGINS)
    assert {d.name for d in plan.space} == {
        "optimizer.lr", "task.length", "architecture.activation",
    }  # fmt: skip
    assert plan.trials == 30


def test_the_first_trials_are_those_that_are_asked_for(tmp_path):
    text = sweep_text("start: [published, {architecture.hidden: 10}]", sampler="tpe", trials=3)
    search(text, tmp_path)
    first, second, _ = (r.params for r in rows_of(tmp_path))
    assert first == {"optimizer.lr": 0.01, "architecture.hidden": 8}
    assert second == {"optimizer.lr": 0.01, "architecture.hidden": 10}


def test_trials_of_an_earlier_sweep_are_known_and_not_counted(tmp_path):
    sampler = "{name: tpe, startup_trials: 5}"
    search(sweep_text(name="earlier", sampler=sampler, task="trade", trials=30), tmp_path)
    text = sweep_text("start: [{sweep: earlier}]", sampler=sampler, task="trade", trials=10)
    (run,) = search(text, tmp_path)
    assert run.counts["search", "done"] == 10
    cold = tmp_path / "cold"
    search(sweep_text(sampler=sampler, task="trade", trials=10), cold)
    warm_values = [r.value for r in rows_of(tmp_path)][:5]
    cold_values = [r.value for r in rows_of(cold)][:5]
    assert sum(warm_values) < 0.7 * sum(cold_values)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"space": "{" + LR + "}"}, "space: architecture.hidden is"),
        ({"architecture": "explodes"}, "has no cell"),
        ({"task": "hard"}, "has no cell hard.plain"),
    ],
)
def test_an_earlier_sweep_whose_cell_differs_is_refused_with_the_difference(parts, words, tmp_path):
    search(sweep_text(name="earlier", trials=2), tmp_path)
    text = sweep_text("start: [{sweep: earlier}]", sampler="tpe", **parts)
    with pytest.raises(SweepError) as caught, cells(text, tmp_path):
        pass
    assert words in str(caught.value)
