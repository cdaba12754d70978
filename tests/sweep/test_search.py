"""What a search does with objectives, constraints, conditions, starts, seeds and an early end."""

import os
from pathlib import Path

import optuna
import pytest
from support.fake_work import FAKE_PLUGINS, make_engine
from support.searching import cells, search, work

from rnnbench.errors import SweepError
from rnnbench.leaderboard.grouping import group
from rnnbench.results.database import open_database
from rnnbench.results.store import Store
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.process_identity import identity
from rnnbench.sweep.plan import plan_cells
from rnnbench.sweep.run_sweep import run_sweep

TEXT = """\
name: {name}
tasks: [{task}]
architectures: [{architecture}]
tricks: [{tricks}]
search:
  trials: {trials}
  sampler: {sampler}
  space: {space}
{more}
"""
LR = "optimizer.lr: {low: 1e-4, high: 1e-1, log: true}"
BOTH = "{" + LR + ", architecture.hidden: {low: 4, high: 64}}"


def sweep_text(more="", final="", **given):
    defaults = {
        "name": "sweep", "task": "easy", "architecture": "plain", "tricks": "[]", "trials": 8,
        "sampler": "random", "space": BOTH,
    }  # fmt: skip
    lines = [f"  {line}" for line in more.splitlines()] + [final]
    return TEXT.format(**defaults | given, more="\n".join(lines))


def rows_of(root, name="sweep"):
    engine = open_database(Path(root) / "results.db")
    try:
        return Ledger(engine, name, identity(os.getpid())).rows()
    finally:
        engine.dispose()


def params_of(root):
    return {r.key: r.params for r in rows_of(root)}


# ------------------------------------------------------------------------------ samplers

SEVERAL = "objectives: [validation, parameters]"
SAMPLERS = [
    ("tpe", ""),
    pytest.param("{name: gp, startup_trials: 4}", "", marks=pytest.mark.slow),
    ("{name: cmaes, population: 4}", ""),
    ("{name: nsga2, population: 4}", SEVERAL),
    pytest.param("{name: nsga3, population: 4}", SEVERAL, marks=pytest.mark.slow),
    pytest.param("{name: tpe, startup_trials: 4}", SEVERAL, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("sampler", "more"), SAMPLERS)
def test_a_search_goes_on_after_any_trial_with_the_same_configurations(sampler, more, tmp_path):
    trials = 7 if "gp" in sampler else 24
    text = sweep_text(more, sampler=sampler, trials=trials, task="trade")
    search(text, tmp_path / "whole")
    for done in (3, 1, 5, 2, 8):
        search(text, tmp_path / "parts", most=done)
    search(text, tmp_path / "parts")
    whole = params_of(tmp_path / "whole")
    assert len(whole) == trials
    assert len({str(p) for p in whole.values()}) > trials // 2
    assert params_of(tmp_path / "parts") == whole


def test_cmaes_comes_closer_from_generation_to_generation(tmp_path):
    text = sweep_text(sampler="{name: cmaes, population: 6}", trials=48, task="trade")
    search(text, tmp_path)
    values = [r.value for r in rows_of(tmp_path)]
    assert sum(values[-12:]) < 0.6 * sum(values[:12])


REFUSED = [
    ("nsga2", "", BOTH, "seeks compromises between objectives, and this search has one"),
    ("cmaes", SEVERAL, BOTH, "cmaes seeks one objective"),
    ("cmaes", "", "{architecture.activation: auto, " + LR + "}", "activation is a choice"),
    ("cmaes", "", "{" + LR + "}", "needs two numbers or more"),
    ("cmaes", "constraints: {parameters: {at_most: 9}}", BOTH, "does not learn from constraints"),
    ("random", f"{SEVERAL}\npruner: median", BOTH, "median compares trials by one value"),
    ("grid", "start: [published]", BOTH, "a grid runs every point in any case"),
    ("grid", "", BOTH, "a grid needs optimizer.lr with a step"),
    ("qmc", "start: [{sweep: other}]", BOTH, "qmc does not learn from the trials of another"),
    ("tpe", "pruner: wilcoxon", BOTH, "give three seeds or more"),
    ("tpe", "pruner: median\nseeds: [0, 1]", BOTH, "has as many curves"),
    ("tpe", f"{SEVERAL}\nstop: gain", BOTH, "a gain is defined for one objective"),
    ("tpe", "objectives: [parameters]", BOTH, "the first objective is validation"),
    ("tpe", "objectives: [validation, paramters]", BOTH, "did you mean 'parameters'"),
    ("tpe", "constraints: {parameters: {at_most: -1}}", BOTH, "a number above 0"),
    ("tpe", "constraints: {parameters: {}}", BOTH, "needs at_most, at_least, or both"),
    ("tpe", "start: [{architecture.hidden: 65}]", BOTH, "architecture.hidden=65 (given) is not in"),
    ("tpe", "start: [{architecture.hiden: 9}]", BOTH, "did you mean 'architecture.hidden'"),
    ("tpe", "start: [{sweep: sweep}]", BOTH, "is this sweep itself"),
    ("tpe", "start: [{sweep: nobody}]", BOTH, "know no sweep 'nobody'"),
    ("tpe", "timeout: 2 fortnights", BOTH, "timeout is seconds, or such as 90s"),
    ("tpe", "seed: 4\nseeds: [0, 1]", BOTH, "it has to be one of seeds"),
]  # fmt: skip


@pytest.mark.parametrize(("sampler", "more", "space", "words"), REFUSED)
def test_what_a_search_cannot_do_is_refused_with_the_reason(sampler, more, space, words, tmp_path):
    text = sweep_text(more, sampler=sampler, space=space)
    with pytest.raises(SweepError) as caught, cells(text, tmp_path):
        pass
    message = str(caught.value)
    assert words in message
    assert message.startswith("sweep:")
    assert not rows_of(tmp_path)


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "nsga2"])
def test_a_sampler_that_would_draw_conditional_settings_at_random_is_refused(sampler):
    more = SEVERAL if sampler == "nsga2" else ""
    text = sweep_text(more, sampler=sampler, architecture="layered", space=LAYERED)
    with pytest.raises(SweepError, match=r"would draw architecture.dropout at random"):
        plan_cells(parse_sweep(text), FAKE_PLUGINS)


@pytest.mark.parametrize(
    ("given", "seconds"), [("90", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129600)]
)
def test_a_timeout_is_read_in_its_unit(given, seconds):
    assert parse_sweep(sweep_text(f"timeout: {given}")).search.timeout == seconds


# ------------------------------------------------------------------------------ objectives


def test_final_runs_are_those_of_the_front_and_have_rows_of_their_own(tmp_path):
    final = "final: {seeds: [1, 2], front: 3}"
    text = sweep_text(SEVERAL, final, task="trade", trials=12)
    outcome = run_sweep(
        parse_sweep(text), root=tmp_path, plugins=FAKE_PLUGINS, lease=2.0, beat=0.2,
        engine_factory=make_engine(tmp_path),
    )  # fmt: skip
    assert outcome.complete
    rows = rows_of(tmp_path)
    tried = [r for r in rows if r.stage == "search"]
    final_rows = [r for r in rows if r.stage == "final"]
    assert len(final_rows) == 3 * 2
    points = [(r.value, r.costs["parameters"]) for r in tried]
    front = {
        str(r.params)
        for r, p in zip(tried, points, strict=True)
        if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)
    }
    assert {str(r.params) for r in final_rows} <= front
    best = min(tried, key=lambda r: r.value)
    assert [r.params for r in final_rows if r.key.endswith(("final/1", "final/2"))] == [
        best.params, best.params,
    ]  # fmt: skip
    with_store = Store(tmp_path)
    records = list(with_store.records())
    with_store.close()
    tested = [g for g in group(records) if any(r.spec.test for r in g.records)]
    assert len(tested) == 3
    assert len({g.name for g in tested}) == 3
    assert sum("searched" in g.name for g in tested) == 1  # the row of the search itself
    # Started again, nothing is left to do, and the front is the same.
    assert run_sweep(
        parse_sweep(text), root=tmp_path, plugins=FAKE_PLUGINS, lease=2.0, beat=0.2,
        engine_factory=make_engine(tmp_path),
    ).ran == 0  # fmt: skip


def test_an_objective_that_a_record_lacks_fails_the_trial_with_the_reason(tmp_path):
    text = sweep_text("objectives: [validation, memory]", trials=2)
    search(text, tmp_path)
    assert {r.reason for r in rows_of(tmp_path)} == {
        "its record has no peak_memory_bytes, which is an objective of the search"
    }


# ------------------------------------------------------------------------------ constraints


def test_a_configuration_that_is_too_large_is_not_run(tmp_path):
    text = sweep_text("constraints: {parameters: {at_most: 3000}}", trials=12, task="trade")
    (run,) = search(text, tmp_path)
    rows = rows_of(tmp_path)
    large = [r for r in rows if r.params["architecture.hidden"] > 30]
    assert 0 < len(large) < 12
    assert {(r.state, r.status, r.attempt) for r in large} == {("failed", "infeasible", 0)}
    hidden = large[0].params["architecture.hidden"]
    assert large[0].reason == f"parameters is {100 * hidden}, and must be at most 3000"
    assert {r.state for r in rows if r not in large} == {"done"}
    assert run.best().params["architecture.hidden"] <= 30
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    copied = optuna.load_study(study_name=optuna.get_all_study_names(url)[0], storage=url).trials
    broken = {t.number for t in copied if t.constraints["parameters"] > 0}
    assert broken == {r.number for r in large}


def test_tpe_learns_to_stay_within_a_constraint(tmp_path):
    sampler = "{name: tpe, startup_trials: 5}"
    more = "constraints: {parameters: {at_most: 1500}}"
    search(sweep_text(more, trials=40, task="trade", sampler=sampler), tmp_path)
    kept = [r.status != "infeasible" for r in rows_of(tmp_path)]
    assert sum(kept[-20:]) > 1.5 * 20 * (15 - 4) / (64 - 4)


def test_a_cost_that_is_known_afterwards_keeps_a_trial_from_being_best(tmp_path):
    text = sweep_text("constraints: {tokens: {at_least: 5000}}", "final: {seeds: [1]}", trials=3)
    (run,) = search(text, tmp_path)
    assert [r.state for r in rows_of(tmp_path)] == ["done"] * 3  # no final run
    assert run.best() is None
    assert run.complete


# ------------------------------------------------------------------------------ conditions

LAYERED = (
    "{architecture.layers: {low: 1, high: 3}, "
    "architecture.dropout: {low: 0.0, high: 0.5, step: 0.25, when: {architecture.layers: [2, 3]}}}"
)


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
    ("given", "words"),
    [
        ({"space": "{" + LR + "}"}, "space: architecture.hidden is"),
        ({"architecture": "explodes"}, "has no cell"),
        ({"task": "hard"}, "has no cell hard.plain"),
    ],
)
def test_an_earlier_sweep_whose_cell_differs_is_refused_with_the_difference(given, words, tmp_path):
    search(sweep_text(name="earlier", trials=2), tmp_path)
    text = sweep_text("start: [{sweep: earlier}]", sampler="tpe", **given)
    with pytest.raises(SweepError) as caught, cells(text, tmp_path):
        pass
    assert words in str(caught.value)


# ------------------------------------------------------------------------------ seeds


def test_a_trial_on_several_seeds_has_the_mean_of_their_values(tmp_path):
    final = "final: {seeds: [7]}"
    text = sweep_text("seeds: [1, 2, 6]", final, task="noisy", trials=3)
    search(text, tmp_path, most=4)  # stopped within the second trial
    (run,) = search(text, tmp_path)
    rows = [r for r in rows_of(tmp_path) if r.stage == "search"]
    assert [r.key.split("/")[-2:] for r in rows[:4]] == [
        ["0", "1"], ["0", "2"], ["0", "6"], ["1", "1"],
    ]  # fmt: skip
    assert run.counts["search", "done"] == 3
    means = [sum(r.value for r in rows[i : i + 3]) / 3 for i in (0, 3, 6)]
    assert run.best().value == pytest.approx(min(means))
    assert run.complete


def test_wilcoxon_stops_a_configuration_that_is_worse_seed_by_seed(tmp_path):
    seeds = "seeds: [0, 1, 2, 3, 4, 5]\npruner: {name: wilcoxon, p: 0.2}"
    text = sweep_text(seeds, task="noisy", trials=10)
    search(text, tmp_path, most=20)
    (run,) = search(text, tmp_path)
    rows = rows_of(tmp_path)
    pruned = [r for r in rows if r.state == "pruned"]
    assert pruned
    assert run.counts["search", "pruned"] == len(pruned)
    assert run.counts["search", "done"] == 10 - len(pruned)
    assert all(r.status == "pruned" and "on seeds 0, 1, 2" in r.reason for r in pruned)
    whole = tmp_path / "whole"
    search(text, whole)
    assert {r.key: r.state for r in rows_of(whole)} == {r.key: r.state for r in rows}


# ------------------------------------------------------------------------------ an early end


def test_a_search_ends_where_the_best_value_no_longer_gets_better(tmp_path):
    stop = "stop: {name: gain, trials: 5, least: 0.05, first: 8}"
    text = sweep_text(stop, "final: {seeds: [1]}", trials=100)
    search(text, tmp_path, most=6)
    (run,) = search(text, tmp_path)
    rows = [r for r in rows_of(tmp_path) if r.stage == "search"]
    assert 8 <= len(rows) < 100
    assert run.trials == len(rows)
    assert run.saved == 100 - len(rows)
    assert "ends the search" in run.ended_early
    assert run.complete
    assert run.counts["final", "done"] == 1
    best = [min(r.value for r in rows[: i + 1]) for i in range(len(rows))]
    assert (best[-6] - best[-1]) / best[-6] < 0.05
    whole = tmp_path / "whole"
    search(text, whole)
    assert params_of(whole) == params_of(tmp_path)


def test_the_end_of_a_search_lets_running_trials_end_and_drops_waiting_ones(tmp_path):
    with cells(sweep_text(trials=50), tmp_path) as ((run,), store):
        first = run.next()
        run.claim(first, "local")
        run.next()  # planned, and never claimed
        run.end_search("enough")
        assert (run.trials, run.saved) == (1, 49)
        assert run.next() is None
        assert not run.complete
        run.end(first, work(run, first, store))
        assert run.complete
        assert run.left == 0


# ------------------------------------------------------------------------------ counters


def test_counters_agree_with_the_rows_at_every_step(tmp_path):
    text = sweep_text(
        "pruner: {name: median, startup_trials: 2}", "final: {seeds: [1, 2]}", trials=12,
        architecture="explodes",
    )  # fmt: skip
    with cells(text, tmp_path) as ((run,), store):
        while not run.complete:
            row = run.next()
            run.claim(row, "local")
            states = [(r.stage, r.state) for r in run.rows.values()]
            for key, count in run.counts.items():
                assert states.count(key) == count
            run.end(row, work(run, row, store))
        assert run.counts["search", "failed"] == len(run.failed_rows) > 0
        assert run.counts["search", "pruned"] > 0
        done = [r for r in run.search_rows() if r.state == "done"]
        assert run.best() is min(done, key=lambda r: (r.value, r.number))
