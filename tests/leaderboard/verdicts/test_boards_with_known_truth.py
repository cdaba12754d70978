"""Boards of simulated rows whose truth is known, and of rows at the edges of what can be told."""

import csv
import io
import itertools
import json
import random

import pytest
from support.fake_records import ACCURACY, MSE, make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.pairwise import judge, judge_all
from rnnbench.leaderboard.pareto import fronts
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.leaderboard.verdicts.method import BoardMethod
from rnnbench.report.files.boards import as_csv, as_json
from rnnbench.report.sentences import headline_claims
from rnnbench.report.site.statistics import duels
from rnnbench.report.terminal.board import render
from rnnbench.results.record import Status

METHODS = [
    BoardMethod(), BoardMethod(test="t"), BoardMethod(test="permutation"),
    BoardMethod("median", "bootstrap", "permutation"),
]  # fmt: skip


def runs(name, values, task="char-lm", **fields):
    """Final runs of a row; None is a seed that diverged."""
    return [
        make_record(make_spec(task, name, seed=k + 1), **fields, **_end(value))
        for k, value in enumerate(values)
    ]


def _end(value):
    return {"status": Status.DIVERGED} if value is None else {"value": value}


def board(rows, task="char-lm", method=None, margin=None, **fields):
    records = [r for name, values in rows.items() for r in runs(name, values, task, **fields)]
    (only,) = build(records, method=method or BoardMethod(), margin=margin)
    return only


def noise(means, seeds=3, deviation=0.01, seed=0):
    rng = random.Random(seed)
    return {
        f"row{i}": [rng.gauss(mean, deviation) for _ in range(seeds)]
        for i, mean in enumerate(means)
    }


def check_that_no_two_places_contradict(the_board):
    verdicts, ranked = the_board.verdicts, the_board.ranked
    count = len(ranked)
    relations = judge_all(the_board)
    for row in ranked:
        others = [r for r in ranked if r is not row]
        better = sum(relations[r.name, row.name] == "better" for r in others)
        worse = sum(relations[r.name, row.name] == "worse" for r in others)
        assert 1 + better <= row.rank <= row.worst_rank == count - worse
        assert row.contender == (row.rank == 1) == (row.name in verdicts.contenders)
        for pair in judge(the_board, row.name):
            assert pair.verdict == relations[pair.row, row.name]
            assert (pair.verdict in ("better", "worse")) == (pair.p is not None and pair.p < 0.05)
        for found in judge(the_board):
            if found.row == row.name:
                assert (row.p, relations[row.name, verdicts.leader]) == (found.p, found.verdict)
    places = {row.name: i for i, row in enumerate(ranked)}
    for (a, b), relation in relations.items():
        if relation == "better":
            assert places[a] < places[b]
    for front in fronts(the_board):
        for point in front.points:
            if point.dominated_by:
                assert point.verdict == relations[point.dominated_by, point.row] != "worse"
    first = headline_claims(the_board)[0] if count > 1 else ""
    assert all(name in first for name in verdicts.contenders[:6] if count > 1)
    assert "tie" not in render([the_board], 120)
    json.loads(as_json([the_board]))
    as_csv([the_board])


@pytest.mark.parametrize("method", METHODS)
def test_no_two_places_of_a_board_contradict_each_other(method):
    rng = random.Random(1)
    for case in range(12):
        rows = noise([1.5 + 0.01 * rng.randrange(4) for _ in range(rng.randrange(2, 7))],
                     seeds=rng.choice([1, 2, 3, 5]), seed=case)  # fmt: skip
        if case % 3 == 0:
            rows["row0"] = rows["row0"][:1]
        if case % 4 == 0:
            rows["row1"] = [*rows["row1"], None, None]
        if case % 5 == 0:
            rows = {name: [v and round(v, 2) for v in values] for name, values in rows.items()}
        check_that_no_two_places_contradict(board(rows, method=method))


def test_planted_differences_are_found_and_equal_rows_are_not_parted():
    parted = found = 0
    for seed in range(20):
        equal = board(noise([1.5] * 10, seed=seed))
        parted += equal.verdicts.count()["better"] > 0
        planted = board(noise([1.5] + [1.55] * 9, seed=seed))
        found += planted.verdicts.contenders == ("row0",)
    assert parted <= 3
    assert found >= 15  # five deviations, three seeds, ten rows


def test_rows_that_agree_to_the_last_digit_are_equal_and_others_better():
    same = board({"a": [0.9] * 3, "b": [0.9] * 3, "c": [0.8] * 3}, "digits", metrics=[ACCURACY])
    assert judge_all(same)["a", "b"] == "equal"
    assert judge_all(same)["a", "c"] == "better"
    assert [(r.rank, r.worst_rank) for r in same.ranked] == [(1, 2), (1, 2), (3, 3)]
    assert headline_claims(same)[0] == "The best is, with 95%, among: a and b"
    assert "a and b are equal: all their seeds agree to the last digit" in headline_claims(same)
    check_that_no_two_places_contradict(same)


def test_sentences_name_figures_in_the_order_of_the_rows_and_the_reason_of_what_is_open():
    more = board({"a": [1.50, 1.51, 1.49, 1.50, 1.52, 1.50], "b": [1.60, 1.61, 1.59]})
    assert headline_claims(more)[1].startswith("a is better than b by 0.097 bits/char")
    assert headline_claims(more)[1].endswith("; 6 and 3 seeds)")
    constant = board({name: [1.0] * 3 for name in "abc"}, "digits", metrics=[ACCURACY])
    assert "a, b and c are equal: all their seeds agree to the last digit" in headline_claims(
        constant
    )
    failing = board({"a": [1.5, 1.51, None, 1.5], "b": [1.9, 1.91, 1.9, 1.92]})
    assert (
        "Even a is open against bigram, a trivial baseline: 1 of 4 seeds of a failed"
    ) in headline_claims(failing)


def test_one_seed_of_every_row_leaves_everything_open_and_says_what_to_do():
    alone = board({"a": [1.5], "b": [1.4], "c": [9.9]})
    assert set(judge_all(alone).values()) == {"open"}
    assert headline_claims(alone)[1] == (
        "Open is everything: one seed of each says nothing about spread; take three or more"
    )
    check_that_no_two_places_contradict(alone)


def test_a_fivefold_difference_of_errors_is_told_by_logarithms_and_the_board_says_so():
    errors = {"dlinear": [0.129, 0.132, 0.126], "gru": [0.45, 0.38, 0.52],
              "transformer": [1.2, 0.6, 1.9]}  # fmt: skip
    the_board = board(errors, "adding", metrics=[MSE])
    assert the_board.verdicts.scale == "log"
    assert the_board.verdicts.contenders == ("dlinear",)
    text = " ".join(render([the_board], 100).split())
    assert "by logarithms: seeds vary in proportion to the figures" in text
    assert "dlinear is better than gru: its mse is 0.29 times that of gru" in text
    gru = next(r for r in the_board.ranked if r.name == "gru")
    assert gru.centre.mean == pytest.approx((0.45 * 0.38 * 0.52) ** (1 / 3))
    assert gru.test.mean == pytest.approx(0.45)  # a record's mean stays what it was
    assert 0 < gru.centre.low < gru.centre.mean < gru.centre.high


def test_a_margin_of_nothing_makes_nothing_equal_but_what_does_not_differ():
    rows = noise([1.5, 1.5], seeds=8, deviation=1e-6)
    none = EqualWithin(0.0, origin="asked for")
    text = " ".join(render([board(rows, margin=none)], 200).split())
    assert "Equal: rows whose seeds all agree (as asked for)" in text
    assert judge_all(board(rows, margin=none))["row0", "row1"] in ("open", "better", "worse")
    assert judge_all(board(rows))["row0", "row1"] in ("equal", "better", "worse")


def test_rows_of_different_sweeps_stand_on_one_board_and_are_judged_together():
    records = []
    for sweep, (name, values) in zip("ab", noise([1.5, 1.6], seeds=4).items(), strict=True):
        for record in runs(name, values):
            record.sweep = sweep
            records.append(record)
    (the_board,) = build(records)
    assert judge_all(the_board)["row0", "row1"] == "better"


def test_a_board_whose_seeds_results_decided_on_is_judged_more_strictly_and_tells_its_cost():
    plan = {"at_least": 3, "at_most": 12, "until": "best"}
    rows = noise([1.5, 1.5, 1.53], seeds=4)
    records = [r for name, values in rows.items() for r in runs(name, values)]
    (plain,) = build(records)
    for record in records:
        record.provenance = {**record.provenance, "seed_plan": plan}
    (looked_at,) = build(records)
    assert looked_at.verdicts.level == plain.verdicts.look == 0.95 < looked_at.verdicts.look
    text = " ".join(render([looked_at], 200).split())
    assert "(judged at 9" in text
    assert "%, as results decided on seeds)" in text
    assert [p.took_seconds for p in judge(looked_at)] == [8 * 41.0] * 2
    assert any("8 runs, 5 min 28 s" in cell.word for _, cells in duels(looked_at).rows
               for cell in cells)  # fmt: skip


def test_runs_of_listed_seeds_count_alike_beside_those_that_results_decided_on():
    plan = {"at_least": 3, "at_most": 12, "until": "best"}
    records = [
        r for name, values in noise([1.5, 1.51], seeds=4).items() for r in runs(name, values)
    ]
    assert not any("Results decided" in note for note in build(records)[0].notes)
    for record in records[3::4]:  # the fourth seed of each row
        record.provenance = {**record.provenance, "seed_plan": plan}
    (mixed,) = build(records)
    assert mixed.verdicts.look > 0.95
    assert (
        "Results decided on seeds, 3 to 12 of a row: who may be the best has more. 6 of the 8 runs "
        "are of seeds that were listed beforehand; they count alike."
    ) in mixed.notes


def test_rows_that_odd_names_of_plugins_make_alike_stay_two():
    records = [*runs("a + b", [1.5, 1.6]), *(
        make_record(make_spec("char-lm", "a", ("b",), seed=k), 1.4 + k / 10) for k in range(2)
    )]  # fmt: skip
    (the_board,) = build(records)
    assert sorted(row.name for row in the_board.ranked) == ["a + b", "a + b (2)"]
    check_that_no_two_places_contradict(the_board)


def test_a_row_and_a_baseline_of_one_name_are_not_mistaken_for_each_other():
    records = [*runs("mean", [1.5, 1.51, 1.52]), *runs("gru", [1.6, 1.61, 1.62])]
    for record in records:
        record.baselines = {"test": {"mean": {"bits_per_char": 1.1}}}
    (the_board,) = build(records)
    assert the_board.verdicts.between("mean", "gru").relation == "better"
    assert [row.margin.verdict for row in the_board.ranked] == ["worse", "worse"]


def test_json_and_csv_have_the_words_of_the_board():
    the_board = board(noise([1.5, 1.5, 1.7]), margin=EqualWithin(0.02, True, "asked for"))
    content = json.loads(as_json([the_board]))["boards"][0]
    assert content["verdicts"]["equal_within"] == {
        "size": 0.02, "relative": True, "origin": "asked for",
    }  # fmt: skip
    assert content["claims"] == headline_claims(the_board)
    words = {(p["row"], p["other"]): p["relation"] for p in content["verdicts"]["pairs"]}
    assert words == {
        (a.name, b.name): the_board.verdicts.between(a.name, b.name).relation
        for a, b in itertools.combinations(the_board.ranked, 2)
    }
    relations = [x["relation"] for x in csv.DictReader(io.StringIO(as_csv([the_board])))]
    assert [r for r in relations if r] == [
        the_board.verdicts.between(row.name, the_board.verdicts.leader).relation
        for row in the_board.ranked
        if row.name != the_board.verdicts.leader
    ]
    assert {e.verdict for c in attribute(the_board).comparisons for e in c.effects} == set()
