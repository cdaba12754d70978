"""Boards -> who is better, from how many trials on, at what cost, and over all tasks."""

import dataclasses
import random
import re

import pytest
from support.fake_records import ACCURACY, fake_records, make_record, make_spec

from rnnbench.leaderboard.across_tasks import across
from rnnbench.leaderboard.best_of_n import effort
from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.differing import Differences, what_differs
from rnnbench.leaderboard.pairwise import judge, judge_all
from rnnbench.leaderboard.pareto import fronts
from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.leaderboard.verdicts.method import BoardMethod
from rnnbench.report.pair_sentences import claim
from rnnbench.report.sentences import headline_claims
from rnnbench.results.record import Status
from rnnbench.stats import superiority
from rnnbench.stats.item_bootstrap import ItemTable, compare_items


def runs(architecture, values, trials=(), tricks=(), task="char-lm", cost=None, **spec):
    """Final runs with these headlines, and a search whose trials reached these values."""
    records = [
        make_record(make_spec(task, architecture, tricks, seed=k + 1, **spec), value)
        for k, value in enumerate(values)
    ]
    for record in records:
        record.cost |= cost or {}
    for i, value in enumerate(trials):
        search = make_spec(task, architecture, tricks, seed=0, test=False, lr=1e-4 * (i + 1))
        status = Status.NAN if value is None else Status.DONE
        record = make_record(search, value or 0.0, status, valid=value)
        record.study, record.ended = f"{architecture}.study", f"2026-01-01T00:{i:02d}:00"
        records.append(record)
    return records


def board(*groups, **options):
    (only_board,) = build([r for group in groups for r in group], **options)
    return only_board


LSTM = [1.50, 1.52, 1.51, 1.53, 1.49]
GRU = [1.40, 1.42, 1.41, 1.43, 1.39]


def test_a_planted_difference_is_told_in_one_sentence_with_its_number_of_trials():
    the_board = board(
        runs("lstm", LSTM, [1.50, 1.60, 1.70, 1.65]), runs("gru", GRU, [1.40, 2.50, 2.60, 2.55])
    )
    (pair,) = judge(the_board)
    assert (pair.better, pair.worse, pair.verdict) == ("gru", "lstm", "worse")
    assert pair.trials_from == 4  # with fewer, a search of gru rarely finds its one good trial
    assert pair.difference.mean == pytest.approx(-0.10)
    first, second = headline_claims(the_board)
    assert first == "The best is, with 95%, gru"
    assert re.match(
        r"gru is better than lstm by 0.10 bits/char \(95%: 0.0\d+ to 0.1\d; p < ", second
    )
    assert second.endswith("; 5 seeds), from 4 trials on (of 4)")


def test_a_difference_that_seeds_do_not_show_is_open_and_tells_how_many_would():
    the_board = board(runs("lstm", LSTM), runs("gru", [v + 0.008 for v in LSTM]))
    (pair,) = judge(the_board)
    assert pair.verdict == "open"
    assert 5 < pair.more_seeds < 60
    assert pair.superiority == pytest.approx(superiority([v + 0.008 for v in LSTM], LSTM, False))
    first, second = headline_claims(the_board)
    assert first == "The best is, with 95%, among: lstm and gru (that is all of them)"
    assert second == f"Open: lstm against gru (about {pair.more_seeds} more seeds of each)"
    assert "tie" not in claim(pair, the_board)


def test_rows_that_differ_by_less_than_the_margin_are_equal_and_the_margin_is_told():
    groups = runs("lstm", LSTM), runs("gru", [v + 0.001 for v in LSTM])
    wide = board(*groups, margin=EqualWithin(0.05, origin="asked for"))
    (pair,) = judge(wide)
    assert (pair.verdict, pair.more_seeds) == ("equal", None)
    assert headline_claims(wide)[1] == (
        "lstm and gru are equal: they differ by less than 0.05 bits/char"
    )
    assert judge(board(*groups))[0].verdict == "open"
    share = board(*groups, margin=EqualWithin(0.04, relative=True, origin="asked for"))
    assert headline_claims(share)[1].endswith("are equal: they differ by less than 4%")


def test_a_permutation_test_of_three_seeds_cannot_tell_and_says_what_to_do():
    the_board = board(
        runs("lstm", LSTM[:3]), runs("gru", GRU[:3]), method=BoardMethod(test="permutation")
    )
    assert [(r.rank, r.worst_rank) for r in the_board.ranked] == [(1, 2), (1, 2)]
    (pair,) = judge(the_board)
    assert (pair.verdict, pair.more_seeds) == ("open", 1)
    assert pair.note == "3 seeds cannot tell by a permutation test: take 4"
    assert any("take 4 seeds a row" in note for note in the_board.notes)
    assert headline_claims(the_board)[1] == "Open: gru against lstm (about 1 more seed of each)"
    more = board(runs("lstm", LSTM), runs("gru", GRU), method=BoardMethod(test="permutation"))
    assert judge(more)[0].verdict == "worse"


def test_every_row_can_be_set_against_a_row_or_a_baseline():
    the_board = board(
        runs("lstm", LSTM), runs("gru", GRU), runs("elman", [4.0, 4.4, 4.2, 4.1, 4.3])
    )
    against = {p.row: p for p in judge(the_board, "lstm")}
    assert {name: p.verdict for name, p in against.items()} == {"gru": "better", "elman": "worse"}
    assert against["gru"].effect > 4
    assert the_board.verdicts.scale == "log"  # elman's seeds lie ten times further apart
    assert against["gru"].ratio.low < 1.41 / 1.51 < against["gru"].ratio.high < 1
    assert against["gru"].difference.mean == pytest.approx(0.10, rel=0.01)
    bigram = {p.row: p.verdict for p in judge(the_board, "bigram")}
    assert bigram == {"gru": "better", "lstm": "better", "elman": "worse"}
    with pytest.raises(ValueError, match="no row of the board"):
        judge(the_board, "lstmm")


def test_the_pairs_against_the_leader_have_the_p_of_the_rows():
    the_board = board(
        runs("lstm", LSTM), runs("gru", GRU), runs("elman", [1.5, 1.6, 1.4, 1.7, 1.3])
    )
    assert [p.p for p in judge(the_board)] == [r.p for r in the_board.ranked[1:]]
    everyone = judge_all(the_board)
    assert everyone["gru", "lstm"] == "better"
    assert everyone["lstm", "gru"] == "worse"


def test_failed_seeds_and_single_seeds_are_told():
    def failing(count):
        ends = [
            make_record(make_spec("char-lm", "gru", seed=9 + k), status=Status.DIVERGED)
            for k in range(count)
        ]
        return board(runs("lstm", LSTM), [*runs("gru", GRU[:4]), *ends], runs("elman", [1.45]))

    assert failing(0).verdicts.between("gru", "lstm").relation == "better"
    (pair,) = judge(failing(1), only="lstm")
    assert pair.other_failed == pytest.approx(0.2)
    assert "20% of gru's seeds failed" in claim(pair, failing(1)) or pair.verdict == "open"
    (pair,) = judge(failing(4), only="lstm")
    assert pair.verdict == "open"  # as it fails half of the time
    assert "4 of 8 seeds of gru failed, and these rank behind every figure" in claim(
        pair, failing(4)
    )
    alone = board(runs("lstm", [1.5]), runs("elman", [1.45]))
    (pair,) = judge(alone)
    assert (pair.verdict, pair.p) == ("open", None)
    assert "one seed of elman and of lstm" in pair.note


def test_the_best_row_of_several_seeds_is_what_others_are_set_against():
    the_board = board(runs("lstm", LSTM), runs("gru", GRU), runs("elman", [1.30]))
    assert the_board.ranked[0].name == "elman"
    assert {p.other for p in judge(the_board)} == {"gru"}
    assert headline_claims(the_board)[0].startswith("The best is, with 95%, ")


def test_trials_of_a_search_make_best_of_n_curves():
    the_board = board(
        runs("lstm", LSTM, [2.0, 1.5, None, 1.8]), runs("gru", GRU, [1.4, 1.6]), runs("elman", LSTM)
    )
    best_of = effort(the_board)
    curves = {c.row: c for c in best_of.curves}
    assert set(curves) == {"gru", "lstm"}  # elman was not searched
    assert (curves["lstm"].trials, curves["lstm"].failed) == (4, 1)
    assert curves["lstm"].expected[-1] == 1.5
    assert curves["gru"].expected == pytest.approx((1.5, 1.4))
    duels = {(d.row, d.other): d for d in best_of.duels}
    assert duels["gru", "lstm"].from_trials == 1
    assert duels["lstm", "gru"].from_trials is None
    assert len(duels["gru", "lstm"].chance) == 2
    assert effort(board(runs("lstm", LSTM), runs("gru", GRU))) is None


def test_a_front_holds_whom_nobody_beats_for_the_cost():
    the_board = board(
        runs("lstm", LSTM, cost={"parameters": 10, "flops": 5.0}),
        runs("gru", GRU, cost={"parameters": 20, "flops": 1.0}),
        runs("elman", [2.0, 2.1], cost={"parameters": 30, "flops": 7.0}),
    )
    by_cost = {f.cost: {p.row: p for p in f.points} for f in fronts(the_board)}
    assert {n: p.on_front for n, p in by_cost["parameters"].items()} == {
        "lstm": True, "gru": True, "elman": False,
    }  # fmt: skip
    assert by_cost["parameters"]["elman"].dominated_by == "gru"
    assert [n for n, p in by_cost["flops"].items() if p.on_front] == ["gru"]
    assert "steps" not in by_cost  # equal for all
    assert "device_seconds" not in by_cost


def test_boards_that_are_not_ranked_together_say_once_what_differs():
    boards = build([*runs("lstm", LSTM), *runs("gru", GRU, steps=4000)])
    assert what_differs(boards) == Differences(
        ("budget",),
        (
            ("2,000 optimiser steps; validated every 200 steps",),
            ("4,000 optimiser steps; validated every 200 steps",),
        ),
    )
    newer = [dataclasses.replace(r, spec=dataclasses.replace(r.spec, data="new")) for r in
             runs("gru", GRU)]  # fmt: skip
    found = what_differs(build([*runs("lstm", LSTM), *newer]))
    assert found == Differences(("data",), (("version 1f0c2a",), ("version new",)))


def tasks(table):
    """Runs by task and architecture: mean accuracy, three seeds around it."""
    records = []
    for task, rows in table.items():
        for name, mean in rows.items():
            for k, delta in enumerate((-0.01, 0.0, 0.01)):
                spec = make_spec(task, name, seed=k)
                if mean is None:
                    records.append(make_record(spec, status=Status.NAN, metrics=[ACCURACY]))
                    continue
                record = make_record(
                    spec, mean + delta, metrics=[ACCURACY], baselines={"chance": {"accuracy": 0.1}}
                )
                records.append(record)
    return build(records)


def test_rows_are_ranked_over_the_tasks_that_all_were_run_on():
    comparison = across(
        tasks(
            {
                "a": {"lstm": 0.9, "gru": 0.8, "elman": 0.3},
                "b": {"lstm": 0.7, "gru": 0.6, "elman": 0.2},
                "c": {"lstm": 0.5, "gru": 0.6, "elman": None},
                "d": {"lstm": 0.5, "mgu": 0.6},
            }
        )
    )
    assert comparison.tasks == ("a", "b", "c")
    assert comparison.rows == ("lstm", "gru", "elman")
    assert comparison.ranks == ((1.0, 1.0, 2.0), (2.0, 2.0, 1.0), (3.0, 3.0, 3.0))
    assert comparison.average_ranks == pytest.approx((4 / 3, 5 / 3, 3.0))
    assert comparison.outcomes[0][2] == (3, 0, 0, 0)  # the failure counts as worse
    assert comparison.outcomes[2][0] == (0, 0, 0, 3)
    assert comparison.verdicts.between("lstm", "elman").relation == "better"
    assert comparison.improvement[0][2].mean == 1.0
    assert comparison.scores[2][2] == (0.0, 0.0, 0.0)
    assert comparison.scores[0][0][1] == pytest.approx((0.9 - 0.1) / (1 - 0.1))  # of what is left
    assert any("d" in note and "left out" in note for note in comparison.notes)
    assert comparison.iqm[0].mean > comparison.iqm[2].mean
    assert comparison.profiles[0].share[0] == 1.0


def test_one_task_alone_is_no_comparison_over_tasks():
    assert across(tasks({"a": {"lstm": 0.9, "gru": 0.8}})) is None
    assert across([]) is None


def test_a_planted_order_is_found_over_many_tasks_and_a_planted_tie_is_not():
    ordered = {f"t{i}": {"lstm": 0.8, "gru": 0.6, "elman": 0.4} for i in range(8)}
    comparison = across(tasks(ordered))
    assert comparison.p < 0.001
    assert comparison.cliques != (("lstm", "gru", "elman"),)
    turns = [(0.8, 0.6, 0.4), (0.4, 0.8, 0.6), (0.6, 0.4, 0.8)] * 2
    tied = across(
        tasks({f"t{i}": dict(zip(("lstm", "gru", "elman"), t, strict=True)) for i, t in
               enumerate(turns)})
    )  # fmt: skip
    assert tied.p == 1.0
    assert tied.cliques == (tied.rows,)


def items(values, form="ratio"):
    import numpy as np

    return ItemTable("accuracy", "row", form, 1.0, np.array(values, dtype=float))


def test_items_tell_a_difference_that_holds_on_others_from_one_that_may_not():
    rng = random.Random(0)
    good = items([(rng.random() < 0.9, 1) for _ in range(400)])
    bad = items([(rng.random() < 0.6, 1) for _ in range(400)])
    test = compare_items([good], [bad], True)
    assert test.p < 0.01
    assert test.low > 0
    assert test.difference == pytest.approx(
        good.values_NC[:, 0].mean() - bad.values_NC[:, 0].mean()
    )
    same = compare_items([good], [good], True)
    assert (same.difference, same.p) == (0.0, 1.0)
    assert compare_items([good], [items([(1, 1)] * 3)], True) is None
    the_board = board(runs("lstm", LSTM), runs("gru", GRU))
    test = judge(the_board, items=lambda run_id: bad if "gru" in run_id else good)[0]
    assert test.items.n == 400
    assert test.item_verdict == "worse"  # of lstm, the row that is looked at
    assert "other rows than these 400 would say so too (p = 0.0020)" in claim(test, the_board)
    assert 0 < test.seeds_share < 1
    assert "of the doubt lies in the seeds" in claim(test, the_board)


def test_a_claim_names_the_trick_that_helps_and_the_baseline_that_is_not_beaten():
    helped = board(runs("lstm", LSTM), runs("lstm", [v - 0.2 for v in LSTM], tricks=("zoneout",)))
    assert any(text.startswith("zoneout helps lstm (+0.2") for text in headline_claims(helped))
    poor = board(runs("lstm", [5.0, 5.1]), runs("gru", [6.0, 6.1]))
    assert any("Even lstm is worse than bigram" in text for text in headline_claims(poor))
    assert headline_claims(board(runs("lstm", LSTM))) == [
        "Only lstm has test results, so there is nothing to compare"
    ]
    assert headline_claims(build(fake_records(), "adding")[0])
