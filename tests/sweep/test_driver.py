"""Whole sweeps of small trials, on real processes and databases."""

import json
from collections import Counter

import optuna
import pytest
from support.fake_work import starts
from support.small_sweeps import (
    RUNS,
    SWEEP,
    Notes,
    assert_nothing_is_left_behind,
    params_of,
    rows_of,
    run,
)

from rnnbench.errors import SweepError
from rnnbench.results.database import open_database
from rnnbench.results.sharing.origin import VERIFIED, imported, stamp
from rnnbench.results.store import Store
from rnnbench.sweep.ledger.ledger import refusals


def test_every_planned_trial_runs_once_and_a_second_start_runs_nothing(tmp_path):
    outcome = run(SWEEP, tmp_path)
    assert outcome.complete
    assert outcome.exit_code == 0
    assert (outcome.ran, outcome.taken) == (RUNS, 0)
    counts = Counter(run_id for run_id, _, _ in starts(tmp_path))
    assert len(counts) == RUNS
    assert set(counts.values()) == {1}
    rows = rows_of(tmp_path)
    assert Counter(r.stage for r in rows) == {"search": 12, "final": 8}
    assert all(r.ended for r in rows)
    assert_nothing_is_left_behind(tmp_path)

    again = run(SWEEP, tmp_path, engine_factory=None)  # no engine is made where nothing runs
    assert (again.ran, again.taken, again.complete) == (0, 0, True)
    assert len(starts(tmp_path)) == RUNS
    assert rows_of(tmp_path) == rows


def test_the_final_runs_are_the_best_configuration_on_fresh_seeds_and_test(tmp_path):
    run(SWEEP, tmp_path)
    rows = rows_of(tmp_path)
    for study in {r.study for r in rows}:
        search = [r for r in rows if r.study == study and r.stage == "search"]
        final = [r for r in rows if r.study == study and r.stage == "final"]
        best = min((r for r in search if r.state == "done"), key=lambda r: r.value)
        assert [r.params for r in final] == [best.params] * 2
        assert [json.loads(r.spec)["seed"] for r in final] == [1, 2]
        assert all(json.loads(r.spec)["test"] for r in final)
        assert not any(json.loads(r.spec)["test"] for r in search)


def test_an_added_architecture_and_more_trials_run_only_what_is_new(tmp_path):
    run(SWEEP.replace("[plain, explodes]", "[plain]"), tmp_path)
    before = params_of(tmp_path)
    outcome = run(SWEEP, tmp_path)
    assert outcome.ran == RUNS // 2
    outcome = run(SWEEP.replace("trials: 3", "trials: 4"), tmp_path)
    searched = [k for k in params_of(tmp_path) if "/final/" not in k]
    assert len(searched) == 16
    assert {k: v for k, v in params_of(tmp_path).items() if k in before and "final" not in k} == {
        k: v for k, v in before.items() if "final" not in k
    }
    assert outcome.complete


def test_a_run_that_another_sweep_finished_is_taken(tmp_path):
    run(SWEEP, tmp_path)
    text = SWEEP.replace("name: sweep", "name: other").replace("sampler: random", "sampler: qmc")
    text = text.replace("{low: 1e-4, high: 1e-1, log: true}", "{choices: [1e-3]}")
    first = run(text.replace("trials: 3", "trials: 1"), tmp_path)
    assert (first.ran, first.taken) == (12, 0)
    text = text.replace("name: other", "name: third").replace("trials: 3", "trials: 1")
    second = run(text, tmp_path)
    assert (second.ran, second.taken) == (0, 12)
    assert len(rows_of(tmp_path, "third")) == 12


def test_a_run_that_was_imported_is_taken_once_it_was_verified(tmp_path):
    text = SWEEP.replace("sampler: random", "sampler: qmc").replace("trials: 3", "trials: 1")
    text = text.replace("{low: 1e-4, high: 1e-1, log: true}", "{choices: [1e-3]}")
    run(text, tmp_path)
    store = Store(tmp_path)
    records = list(store.records())
    for i, record in enumerate(records):
        imported(record, "0123")
        if i % 2:
            stamp(record, VERIFIED, "evaluated again", [])
        record.attempt = 9  # an import finds no record there, and here one stands
        store.write(record)
    store.close()
    again = run(text.replace("name: sweep", "name: other"), tmp_path)
    assert again.complete
    assert (again.ran, again.taken) == (len(records) - len(records) // 2, len(records) // 2)


def test_the_same_configuration_proposed_twice_runs_once(tmp_path):
    text = SWEEP.replace("{low: 1e-4, high: 1e-1, log: true}", "{choices: [1e-3]}")
    outcome = run(text, tmp_path)
    assert outcome.complete
    assert set(Counter(r for r, _, _ in starts(tmp_path)).values()) == {1}
    assert outcome.taken == 8


def test_one_worker_and_one_seed_give_the_same_configurations(tmp_path):
    text = SWEEP.replace("sampler: random", "sampler: {name: tpe, startup_trials: 1}")
    text = text.replace("workers: 2", "workers: 1")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    run(text, tmp_path / "a")
    run(text, tmp_path / "b")
    assert params_of(tmp_path / "a") == params_of(tmp_path / "b")


def test_nan_and_infinite_trials_are_failures_that_are_counted_and_never_best(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[plain, explodes, always-nan, infinite]")
    text = text.replace("tricks: [[], [zoneout]]\n", "").replace("trials: 3", "trials: 6")
    notes = Notes()
    outcome = run(text, tmp_path, progress=notes)
    cells = {c.name: c for c in outcome.last.cells}
    assert cells["easy.plain"].failed == 0
    assert cells["easy.explodes"].failed > 0
    assert cells["easy.explodes"].done == 6 - cells["easy.explodes"].failed
    assert cells["easy.explodes"].best >= 0
    for name in ("easy.always-nan", "easy.infinite"):
        assert (cells[name].failed, cells[name].done, cells[name].best) == (6, 0, None)
        assert cells[name].problem.startswith("no trial is done (6 nan)")
    assert outcome.exit_code == 1
    assert {f.status for f in outcome.failures} == {"nan"}
    assert any("the loss is nan at step 50" in n for n in notes.notes)
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    for name in optuna.get_all_study_names(url):
        study = optuna.load_study(study_name=name, storage=url)
        states = Counter(t.state.name for t in study.trials)
        if "always-nan" in name or "infinite" in name:
            assert states == {"FAIL": 6}
        else:
            assert study.best_value >= 0


def test_pruned_trials_keep_their_curve(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[plain]").replace("trials: 3", "trials: 8")
    text = text.replace("sampler: random", "pruner: {name: median, startup_trials: 2}")
    outcome = run(text, tmp_path)
    pruned = [r for r in rows_of(tmp_path) if r.state == "pruned"]
    assert len(pruned) == outcome.last.count("pruned") > 0
    for row in pruned:
        assert 1 <= len(row.curve) < 4
        assert [s for s, _ in row.curve] == [50 * (i + 1) for i in range(len(row.curve))]
    assert all(r.state == "done" for r in rows_of(tmp_path) if r.stage == "final")


def test_refused_cells_are_listed_and_the_others_run(tmp_path):
    notes = Notes()
    outcome = run(SWEEP.replace("explodes", "impossible"), tmp_path, progress=notes)
    assert outcome.complete
    assert outcome.exit_code == 0
    assert [c.name for c in outcome.last.refused] == [
        "easy.impossible", "easy.impossible+zoneout",
    ]  # fmt: skip
    assert "it has no cell" in notes.notes[0]
    assert outcome.summary() == (
        "sweep sweep complete: 6 trials done, 0 pruned, 0 failed, 4 of 4 final runs done, "
        "2 of 4 cells refused (10 ran now)"
    )
    engine = open_database(tmp_path / "results.db")
    assert refusals(engine) == outcome.refused
    engine.dispose()


def test_a_sweep_of_refused_cells_only_is_an_error(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[impossible]")
    with pytest.raises(SweepError, match="every combination is refused"):
        run(text, tmp_path)
    assert not (tmp_path / "results.db").exists()


def test_a_single_refused_configuration_is_a_failed_trial(tmp_path):
    text = SWEEP.replace("[plain, explodes]", "[picky]").replace("tricks: [[], [zoneout]]\n", "")
    text = text.replace("  trials: 3\n  sampler: random\n", "  sampler: grid\n")
    text = text.replace("optimizer.lr: {low: 1e-4, high: 1e-1, log: true}",
                        "architecture.hidden: {low: 4, high: 7}")  # fmt: skip
    outcome = run(text, tmp_path)
    assert outcome.complete
    assert (outcome.last.count("done"), outcome.last.count("failed")) == (2, 2)
    assert {f.reason for f in outcome.failures} == {"picky wants an even width"}


def test_progress_tells_cells_rate_and_time_left(tmp_path, monkeypatch):
    monkeypatch.setattr("rnnbench.sweep.scheduler.SHOW_SECONDS", 0.0)
    notes = Notes()
    run(SWEEP, tmp_path, progress=notes)
    first, last = notes.snapshots[0], notes.snapshots[-1]
    assert first.count("left") == RUNS
    assert last.count("left") == 0
    assert any(s.count("running") for s in notes.snapshots)
    middle = next(s for s in notes.snapshots if s.per_minute)
    assert middle.seconds_left > 0
    assert last.cells[0].best is not None


def test_studies_are_copied_to_a_journal_file_where_asked(tmp_path):
    run(SWEEP, tmp_path, studies=f"journal:{tmp_path / 'studies.log'}")
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "studies.log")))
    studies = storage.get_all_studies()
    assert len(studies) == 4
    assert {len(storage.get_all_trials(s._study_id)) for s in studies} == {3}
    assert not (tmp_path / "studies.db").exists()


def test_a_lease_shorter_than_three_beats_is_refused(tmp_path):
    with pytest.raises(ValueError, match="three beats"):
        run(SWEEP, tmp_path, lease=5.0, beat=2.0)


def test_cells_take_turns(tmp_path):
    run(SWEEP.replace("workers: 2", "workers: 1"), tmp_path)
    store = Store(tmp_path)
    order = [store.read(r).study for r, _, _ in starts(tmp_path)][:8]
    store.close()
    assert len(set(order[:4])) == 4
    assert len(set(order[4:8])) == 4
