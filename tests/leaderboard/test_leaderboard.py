import dataclasses
import random
import subprocess
import sys

import pytest
from support import TESTS
from support.fake_records import ACCURACY, BITS, fake_records, make_record, make_spec

from rnnbench.leaderboard.boards import build, refused_now
from rnnbench.results.record import Status
from rnnbench.spec import run_spec as spec
from rnnbench.stats import estimate


def seeds(architecture, values, tricks=(), **spec):
    return [
        make_record(make_spec("char-lm", architecture, tricks, seed=k, **spec), value)
        for k, value in enumerate(values)
    ]


def board(*groups):
    boards = build([record for group in groups for record in group])
    assert len(boards) == 1
    return boards[0]


def row(board, name):
    (match,) = [r for r in board.rows if r.name == name]
    return match


def test_planted_wins_have_a_place_and_what_is_open_has_several():
    the_board = board(
        seeds("lstm", [1.50, 1.51, 1.52]),
        seeds("gru", [1.505, 1.515, 1.52]),
        seeds("elman", [2.50, 2.51, 2.52]),
    )
    places = [(r.name, r.rank, r.worst_rank, r.contender) for r in the_board.ranked]
    assert places == [("lstm", 1, 2, True), ("gru", 1, 2, True), ("elman", 3, 3, False)]


def test_higher_is_better_where_the_task_says_so():
    records = [
        make_record(make_spec("digits", name, seed=k), value + k / 1000)
        for name, value in (("lstm", 0.9), ("gru", 0.97))
        for k in range(3)
    ]
    assert [r.name for r in build(records)[0].rows] == ["gru", "lstm", "majority class"]
    assert row(build(records)[0], "gru").margin.gain > 0


def test_the_figures_of_a_row_are_those_of_its_seeds():
    values = [1.50, 1.56, 1.53]
    the_row = row(board(seeds("lstm", values)), "lstm")
    assert the_row.test == estimate(values)
    assert the_row.seeds == (0, 1, 2)
    assert the_row.metrics["perplexity"] == estimate([2**v for v in values])
    assert the_row.costs["parameters"] == 44_000
    assert the_row.costs["train_seconds"] == pytest.approx(41.0)
    assert "device_seconds" not in the_row.costs


def test_the_order_of_the_records_makes_no_difference():
    records = fake_records()
    expected = build(records)
    for seed in range(5):
        random.Random(seed).shuffle(records)
        assert build(records) == expected


def test_different_budgets_or_data_are_never_ranked_together():
    boards = build([*seeds("lstm", [1.5, 1.6]), *seeds("gru", [1.4, 1.5], steps=4000)])
    assert [[r.name for r in b.rows if r.kind == "ranked"] for b in boards] == [["lstm"], ["gru"]]
    assert [dict(b.protocol)["Budget"].split(" ")[0] for b in boards] == ["2,000", "4,000"]
    assert boards[0].protocol_id == make_spec().protocol_id


def test_the_protocol_is_stated_in_words():
    assert dict(board(seeds("lstm", [1.5])).protocol) == {
        "Task": "char-lm, version 1: corpus=austen, length=100",
        "Data": "version 1f0c2a",
        "Budget": "2,000 optimiser steps; validated every 200 steps",
        "Ranked by": "bits_per_char (lower is better)",
        "Evaluation": "checkpoint and configuration are chosen by bits_per_char on validation; "
        "each seed then meets the test split once",
    }


def test_runs_that_report_another_headline_have_a_board_of_their_own_and_say_so():
    other = make_record(make_spec("char-lm", "gru"), 0.7, metrics=[ACCURACY], baselines={})
    boards = build([*seeds("lstm", [1.5, 1.6]), other])
    assert {b.headline["name"] for b in boards} == {"bits_per_char", "accuracy"}
    assert all("not comparable" in b.notes[0] for b in boards)


def test_a_run_that_failed_before_its_first_validation_stays_on_the_board_of_its_protocol():
    crash = make_record(make_spec("char-lm", "gru"), status=Status.CRASHED)
    crash.selection = {"metric": "bits_per_char", "higher_is_better": True, "value": None}
    the_board = board(seeds("lstm", [1.5, 1.6]), [crash])
    assert the_board.notes == ()
    assert row(the_board, "gru").kind == "failed"


def test_validation_chooses_the_configuration_and_test_does_not():
    worse_on_test = [
        make_record(make_spec(seed=k, lr=1e-2), 1.9 + k / 100, valid=1.0) for k in range(3)
    ]
    better_on_test = [
        make_record(make_spec(seed=k, lr=1e-3), 1.2 + k / 100, valid=1.1) for k in range(3)
    ]
    the_row = row(board(worse_on_test, better_on_test), "lstm")
    assert the_row.test.mean == pytest.approx(1.91)
    assert the_row.settings["optimizer"]["lr"] == 1e-2
    assert "1 of 2 tested configurations" in the_row.marks


def test_a_configuration_of_more_seeds_goes_before_a_lucky_one():
    lucky = [make_record(make_spec(seed=0, lr=1e-2), 1.0)]
    the_row = row(board(lucky, seeds("lstm", [1.5, 1.6, 1.7])), "lstm")
    assert the_row.test.n == 3


def test_the_order_of_tricks_makes_two_rows():
    the_board = board(
        seeds("lstm", [1.5, 1.6], ("zoneout", "clip")),
        seeds("lstm", [1.5, 1.6], ("clip", "zoneout")),
    )
    names = {r.name for r in the_board.rows if r.kind == "ranked"}
    assert names == {"lstm + zoneout + clip", "lstm + clip + zoneout"}


def test_two_versions_of_a_plugin_stay_apart_and_are_named():
    the_board = board(seeds("lstm", [1.5, 1.6]), seeds("lstm", [1.4, 1.5], version=2))
    names = {r.name for r in the_board.rows if r.kind == "ranked"}
    assert names == {"lstm (version 1)", "lstm (version 2)"}


def test_one_seed_is_marked_and_judged_by_what_the_other_rows_tell_of_the_spread():
    the_board = board(seeds("lstm", [1.50, 1.51, 1.52]), seeds("gru", [1.51]))
    assert row(the_board, "gru").marks[0] == "1 seed"
    assert row(the_board, "gru").test.low is None
    assert [(r.rank, r.worst_rank) for r in the_board.ranked] == [(1, 2), (1, 2)]
    alone = board(seeds("lstm", [1.5]), seeds("gru", [1.0]))
    (pair,) = alone.verdicts.pairs
    assert (pair.relation, pair.p) == ("open", None)
    assert "one seed of gru and of lstm says nothing about spread" in pair.note


def test_failures_are_counted_among_all_runs_and_among_the_seeds():
    nan = make_record(make_spec(seed=7), status=Status.NAN)
    oom = make_record(make_spec(seed=0, lr=0.1, test=False), status=Status.OOM, reason="too big")
    cut = make_record(make_spec(seed=8), status=Status.INTERRUPTED)
    pruned = make_record(make_spec(seed=0, lr=0.2, test=False), status=Status.PRUNED)
    the_row = row(board(seeds("lstm", [1.5, 1.6]), [nan, oom, cut, pruned]), "lstm")
    assert (the_row.failed, the_row.runs) == (2, 5)
    assert (the_row.final_failed, the_row.final_runs) == (1, 3)
    assert the_row.interrupted == 1
    assert [(f.status, f.count) for f in the_row.failures] == [("nan", 1), ("oom", 1)]
    assert the_row.failures[1].reasons == ("too big",)
    assert "1 of 3 seeds failed" in the_row.marks
    assert the_row.test.n == 2


def test_a_row_that_only_failed_stands_at_the_bottom_with_its_reason():
    crash = make_record(make_spec("char-lm", "aaa"), status=Status.CRASHED, reason="no idea")
    the_board = board(seeds("lstm", [1.5, 1.6]), [crash])
    assert the_board.rows[-1].name == "aaa"
    assert the_board.rows[-1].kind == "failed"
    assert the_board.rows[-1].rank is None
    assert the_board.rows[-1].failures[0].reasons == ("no idea",)


def test_a_row_whose_search_went_well_and_whose_seeds_all_failed_has_failed():
    search = make_record(make_spec("char-lm", "gru", test=False), 1.4)
    broken = [make_record(make_spec("char-lm", "gru", seed=k), status=Status.NAN) for k in (1, 2)]
    the_row = row(board(seeds("lstm", [1.5, 1.6]), [search, *broken]), "gru")
    assert (the_row.kind, the_row.final_failed, the_row.final_runs) == ("failed", 2, 2)
    assert (the_row.failed, the_row.runs) == (2, 3)


def test_a_board_of_failures_that_never_learnt_their_metrics_is_shown():
    crash = make_record(status=Status.CRASHED)
    crash = dataclasses.replace(crash, metric_info=[], selection={}, baselines={})
    the_board = board([crash])
    assert [(r.kind, r.failed) for r in the_board.rows] == [("failed", 1)]
    mixed = board([crash], seeds("gru", [1.5, 1.6]))
    assert [r.kind for r in mixed.rows] == ["ranked", "baseline", "baseline", "failed"]


def test_a_searched_row_without_test_results_is_shown_unranked():
    search = [make_record(make_spec("char-lm", "gru", lr=lr, test=False), 1.0) for lr in (1, 2)]
    the_row = row(board(seeds("lstm", [1.5, 1.6]), search), "gru")
    assert (the_row.kind, the_row.rank, the_row.test) == ("untested", None, None)
    assert "no test result yet" in the_row.marks[0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_not_finite_never_ranks(bad):
    the_board = board(seeds("lstm", [1.5, 1.6]), [make_record(make_spec("char-lm", "gru"), bad)])
    assert row(the_board, "gru").kind == "failed"
    mixed = board(seeds("lstm", [1.5, 1.6, bad]))
    assert row(mixed, "lstm").test == estimate([1.5, 1.6])
    assert row(mixed, "lstm").final_failed == 1


def test_baselines_stand_unranked_where_they_fall():
    the_board = board(seeds("lstm", [1.5, 1.6]), seeds("elman", [3.6, 3.61]))
    assert [(r.name, r.rank) for r in the_board.rows] == [
        ("lstm", 1),
        ("bigram", None),
        ("elman", 2),
        ("unigram", None),
    ]


def test_a_row_that_does_not_beat_the_best_baseline_says_so():
    the_board = board(
        seeds("lstm", [1.5, 1.6]), seeds("elman", [3.55, 3.56, 3.57]), seeds("x", [1.0, 5.0])
    )
    margin = row(the_board, "elman").margin
    assert (margin.baseline, margin.verdict) == ("bigram", "worse")
    assert margin.gain == pytest.approx(3.41 - 3.56)
    assert margin.percent == pytest.approx(100 * (3.41 - 3.56) / 3.41)
    assert "worse than the baseline bigram" in row(the_board, "elman").marks
    assert row(the_board, "x").margin.verdict == "open"
    assert row(the_board, "lstm").margin.verdict == "better"


def test_a_baseline_of_zero_has_no_percentage_and_no_baseline_no_margin():
    zero = [
        make_record(make_spec(seed=k), 1.0 + k, baselines={"z": {"bits_per_char": 0.0}})
        for k in (0, 1)
    ]
    assert row(board(zero), "lstm").margin.percent is None
    bare = [make_record(make_spec(seed=k), 1.0 + k, baselines={}) for k in (0, 1)]
    assert row(board(bare), "lstm").margin is None


def test_what_was_not_held_equal_is_noted():
    odd = make_record(
        make_spec("char-lm", "gru"), 1.5, baselines={"bigram": {"bits_per_char": 3.0}}
    )
    odd.provenance["machine"] = {**odd.provenance["machine"], "device": "NVIDIA H100"}
    search = [make_record(make_spec(lr=lr, test=False), 1.5) for lr in (0.1, 0.2)]
    notes = " ".join(board(seeds("lstm", [1.5, 1.6]), search, [odd]).notes)
    assert "between 1 and 3 configurations" in notes
    assert "different numbers of seeds" in notes
    assert "different machines" in notes
    assert "disagree about the baseline bigram" in notes


def test_baselines_that_differ_by_the_rounding_of_sums_agree():
    records = seeds("lstm", [1.5, 1.7])
    for record, value in zip(records, (3.41, 3.41 * (1 + 5e-9)), strict=True):
        record.baselines = {"test": {"bigram": {"bits_per_char": value}}}
    assert "disagree" not in " ".join(board(records).notes)


def test_a_curve_is_the_mean_over_seeds_where_all_have_a_value():
    records = seeds("lstm", [1.5, 1.7])
    records[0].curve = [[100, 1.0, {"bits_per_char": 2.0}], [200, 2.0, {"bits_per_char": 1.0}]]
    records[1].curve = [[100, 1.0, {"bits_per_char": 3.0}]]
    (point,) = row(board(records), "lstm").curve
    assert (point.step, point.mean, point.low, point.high) == (100, 2.5, 2.0, 3.0)


def test_of_two_records_of_a_run_the_later_attempt_counts():
    first = make_record(make_spec(), status=Status.CRASHED, attempt=1)
    second = make_record(make_spec(), 1.5, attempt=2)
    the_row = row(board([second], [first]), "lstm")
    assert (the_row.runs, the_row.failed) == (1, 0)


def test_one_task_can_be_asked_for():
    assert {b.task for b in build(fake_records(), task="digits")} == {"digits"}
    assert build([]) == []


def test_rows_of_plugins_that_are_not_installed_are_readable_without_torch():
    code = """
import sys
from support import fake_records as fake
from rnnbench import spec
from rnnbench.leaderboard.boards import build, refused_now
from rnnbench.report.files import boards
from rnnbench.report.page import page
from rnnbench.report.terminal import board
from rnnbench.results.store import Store
specs = [fake.make_spec("char-lm", "long-gone", seed=k) for k in (0, 1)]
records = [fake.make_record(spec, 1.5) for spec in specs]
assert "long-gone" in board.render(build(records))
assert not {"torch", "pytorch_lightning", "optuna", "ray"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTS)


def test_ten_thousand_records_are_told_apart_without_a_text_of_each(monkeypatch):
    """A second for ten thousand: `python -m rnnbench.benchmarks board --tasks 10`."""
    rng = random.Random(0)
    tasks = ("char-lm", "digits", "adding")
    records = [
        make_record(
            make_spec(
                tasks[k % 3], f"net{k % 40}", seed=k, lr=1e-3 + (k % 7) * 1e-4, test=k % 2 == 0
            ),
            1 + rng.random(),
        )
        for k in range(10_000)
    ]
    texts = []
    canonical = spec.canonical_json
    monkeypatch.setattr(spec, "canonical_json", lambda v: texts.append(1) or canonical(v))
    boards = build(records)
    assert len(texts) < 1000
    assert sum(r.runs for b in boards for r in b.rows) == 10_000


def test_boards_are_equal_when_a_record_is_read_back():
    records = fake_records()
    again = [type(r).from_json(r.as_json()) for r in records]
    assert build(again) == build(records)
    assert dataclasses.is_dataclass(build(records)[0])
    assert build(records)[1].headline == BITS


def test_refusals_are_told_once_of_the_boards_tasks_and_not_of_what_has_been_run_since():
    boards = build([make_record(make_spec("char-lm", "lstm", ("clip",)), 1.5)])

    def refusal(task, architecture, *tricks):
        return {"task": task, "architecture": architecture, "tricks": list(tricks), "reason": "no"}

    kept = refusal("char-lm", "gru", "clip")
    others = [refusal("char-lm", "lstm", "clip"), refusal("digits", "gru", "clip")]
    assert refused_now(boards, [kept, *others, dict(kept)]) == [kept]
