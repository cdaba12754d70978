"""Sweeps whose seeds are given by results, on real processes and databases."""

import json
import re
import subprocess
import sys

import pytest
from support import fake_work
from support.small_sweeps import SWEEP, Notes, rows_of, run

from rnnbench.cli.actions.sweep_extend import ExtendError, extend_sweep
from rnnbench.errors import SweepError
from rnnbench.results.store import Store
from rnnbench.stats.adaptive_seeds import SeedDecision, SeedPlan
from rnnbench.sweep.file.sweep import parse_sweep

# On the task `noisy` seeds differ a little, rows by the rate that their search found.
AUTO = """\
name: sweep
tasks: [noisy]
architectures: [plain, layered]
tricks: [[], [zoneout]]
search:
  trials: 2
  sampler: random
  space:
    optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
final: {seeds: auto, at_least: 3, at_most: 6}
workers: 2
"""
# Rates close to each other: rows differ by about as much as seeds do.
CLOSE = AUTO.replace("{low: 1e-4, high: 1e-1, log: true}", "{low: 0.01, high: 0.0108}")


def seeds_by_study(root):
    finals = [r for r in rows_of(root) if r.stage == "final"]
    return {s: sorted(r.number for r in finals if r.study == s) for s in {r.study for r in finals}}


def test_clear_rows_get_no_more_than_the_first_seeds(tmp_path):
    notes = Notes()
    outcome = run(AUTO, tmp_path, progress=notes)
    assert outcome.complete
    assert outcome.exit_code == 0
    assert all(seeds == [1, 2, 3] for seeds in seeds_by_study(tmp_path).values())
    assert "seeds of noisy: settled: one row is the best (12 of 24 runs)" in notes.notes
    assert outcome.last.cells[0].seeds.endswith("(12 of 24 runs)")


def test_rows_that_may_be_the_best_get_more_and_a_second_start_runs_nothing(tmp_path):
    notes = Notes()
    outcome = run(CLOSE, tmp_path, progress=notes)
    assert outcome.complete
    given = seeds_by_study(tmp_path)
    assert all(seeds == list(range(1, len(seeds) + 1)) for seeds in given.values())
    assert max(len(seeds) for seeds in given.values()) > 3
    assert any("may be the best" in text for text in notes.notes)
    rows = rows_of(tmp_path)
    again = run(CLOSE, tmp_path, engine_factory=None)
    assert (again.ran, again.complete) == (0, True)
    assert rows_of(tmp_path) == rows


def test_each_record_keeps_how_results_decide_on_its_seeds(tmp_path):
    run(AUTO, tmp_path)
    store = Store(tmp_path)
    plans = [
        store.read(r.run_id).provenance.get("seed_plan")
        for r in rows_of(tmp_path)
        if r.stage == "final"
    ]
    store.close()
    assert plans == [SeedPlan(3, 6).as_dict()] * 12


def test_runs_of_an_earlier_sweep_are_taken_and_tell_that_their_seeds_were_listed(tmp_path):
    text = re.sub("search:.*(?=final)", "search: {trials: 0}\n", AUTO, flags=re.DOTALL)
    listed = re.sub("auto, .*}", "[1, 2, 3]}", text).replace("name: sweep", "name: earlier")
    assert run(listed, tmp_path).ran == 12
    outcome = run(text, tmp_path)
    given = seeds_by_study(tmp_path)
    assert outcome.complete
    assert outcome.ran == sum(len(seeds) for seeds in given.values()) - 12 > 0
    store = Store(tmp_path)
    records = [store.read(r.run_id) for r in rows_of(tmp_path) if r.stage == "final"]
    store.close()
    planned = {r.spec.seed for r in records if r.provenance.get("seed_plan")}
    assert planned == {r.spec.seed for r in records} - {1, 2, 3}


def test_rounds_that_never_end_are_a_fault_and_do_not_hang(tmp_path, monkeypatch):
    def never_done(samples, *_, failures, **__):
        seeds = tuple(len(s) + f for s, f in zip(samples, failures, strict=True))
        return SeedDecision(seeds, False, "never", None)

    monkeypatch.setattr("rnnbench.sweep.seed_rounds.next_seeds", never_done)
    with pytest.raises(RuntimeError, match="seeds of noisy are given without end"):
        run(AUTO, tmp_path)


@pytest.mark.parametrize("count", [7, 13])
def test_a_driver_that_is_killed_and_started_again_decides_the_same(tmp_path, count):
    file = tmp_path / "sweep.yaml"
    file.write_text(CLOSE)
    run(CLOSE, tmp_path / "whole")
    killed = subprocess.run(
        [sys.executable, fake_work.__file__, str(file), str(tmp_path / "killed"), "planned",
         str(8 + count)],
        check=False, capture_output=True, timeout=120,
    )  # fmt: skip
    assert killed.returncode in (-9, 0)
    assert run(CLOSE, tmp_path / "killed").complete
    assert seeds_by_study(tmp_path / "killed") == seeds_by_study(tmp_path / "whole")


def test_failed_seeds_count_as_seeds(tmp_path):
    lines = AUTO.replace("layered", "always-nan").splitlines()
    outcome = run("\n".join([*lines[:4], *lines[-2:], ""]), tmp_path)
    assert outcome.complete
    given = {study.split(".")[1]: len(s) for study, s in seeds_by_study(tmp_path).items()}
    assert given["always-nan"] == 3


def test_no_seed_can_be_added_by_hand_where_results_decide(tmp_path):
    run(AUTO, tmp_path)
    with pytest.raises(ExtendError, match=r"raise final\.at_most there, now 6"):
        extend_sweep("sweep", None, [9], {}, tmp_path, None)


def said_of(final):
    with pytest.raises(SweepError) as refused:
        parse_sweep(SWEEP.replace("{seeds: [1, 2]}", final))
    return str(refused.value)


def test_what_a_file_asks_of_seeds_by_results_is_checked():
    sweep = parse_sweep(SWEEP.replace("{seeds: [1, 2]}", "{seeds: auto, until: pairs}"))
    assert sweep.seed_plan == SeedPlan(3, 12, "pairs")
    assert sweep.seeds == (1, 2, 3)
    with pytest.raises(SweepError, match=r"several objectives .*write a list, such as seeds"):
        parse_sweep(
            SWEEP.replace("{seeds: [1, 2]}", "{seeds: auto}").replace(
                "  sampler: random", "  sampler: random\n  objectives: [validation, parameters]"
            )
        )
    assert "at_least is for seeds by results" in said_of("{seeds: [1, 2], at_least: 3}")
    assert "at_most is a whole number from 4 on" in said_of(
        "{seeds: auto, at_least: 4, at_most: 3}"
    )
    assert "did you mean 'pairs'" in said_of("{seeds: auto, until: pair}")
    assert "the word auto" in said_of("{seeds: automatic}")
    assert "unknown key 'at_lest'" in said_of("{seeds: auto, at_lest: 3}")


def test_seeds_by_results_leave_out_those_of_the_search():
    text = SWEEP.replace("  trials: 3\n", "  trials: 3\n  seed: 2\n")
    assert parse_sweep(text.replace("{seeds: [1, 2]}", "{seeds: auto}")).seeds == (1, 3, 4)


def test_a_recorded_plan_is_plain_json():
    assert json.loads(json.dumps(SeedPlan(3, 6).as_dict())) == SeedPlan(3, 6).as_dict()
