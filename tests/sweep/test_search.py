"""Searches with every sampler, with objectives, constraints and seeds, and to an early end."""

import optuna
import pytest
from support.fake_work import FAKE_PLUGINS, make_engine
from support.searching import SEVERAL, cells, search, sweep_text, work
from support.small_sweeps import params_of, rows_of

from rnnbench.leaderboard.grouping import group
from rnnbench.results.store import Store
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.run_sweep import run_sweep

# ------------------------------------------------------------------------------ samplers

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
