"""Skill: the share of what there is to gain over a task's best trivial baseline."""

import math

import pytest
from support.fake_records import ACCURACY, BITS, MSE, PERPLEXITY, make_record, make_spec

from rnnbench.leaderboard.across_tasks import across
from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.skill import LEAST, skill_scale, skills
from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.results.record import Status


def board(metric, rows, baselines, task="a"):
    records = []
    for name, values in rows.items():
        for k, value in enumerate(values):
            end = {"status": Status.NAN} if value is None else {"value": value}
            told = {b: {metric["name"]: v} for b, v in baselines.items()}
            records.append(
                make_record(make_spec(task, name, seed=k), metrics=[metric], baselines=told, **end)
            )
    (only,) = build(records)
    return only


def scale(metric, rows, **baselines):
    return skill_scale(board(metric, {n: [v] * 2 for n, v in rows.items()}, baselines))


def test_the_best_baseline_is_0_and_a_perfect_figure_1():
    errors = scale(MSE, {"x": 0.02}, mean=0.2, last=0.1)
    assert (errors.baseline, errors.of(0.1), errors.of(0.0)) == ("last", 0.0, 1.0)
    assert errors.of(0.02) == pytest.approx(0.8)
    right = scale(ACCURACY, {"x": 0.9}, chance=0.1, majority=0.2)
    assert right.of(0.6) == pytest.approx(0.5)
    bleu = scale(
        {"name": "bleu", "unit": "0-100", "higher_is_better": True}, {"x": 30.0}, copy=20.0
    )
    assert bleu.of(60.0) == pytest.approx(0.5)
    ratio = scale({**MSE, "name": "ratio", "unit": "of the optimum"}, {"x": 1.1}, nearest=1.2)
    assert ratio.of(1.1) == pytest.approx(0.5)
    words = scale(PERPLEXITY, {"x": 10.0}, unigram=100.0)
    assert words.of(10.0) == pytest.approx(0.5)
    assert (words.of(1.0), words.log) == (1.0, True)


def test_skill_does_not_fall_without_end():
    assert scale(BITS, {"x": 2.0}, unigram=3.0).of(1e9) == LEAST


def test_where_nobody_knows_what_is_perfect_the_best_row_is_1_and_it_is_said():
    unknown = {"name": "reach", "unit": "n", "higher_is_better": True}
    the_board = board(unknown, {"x": [40, 40], "y": [20, 20]}, {"nothing": 0.0})
    notes = []
    best, second = skills(the_board, ["x", "y"], notes, "anbn")
    assert (best[0], second[0]) == (1.0, 0.5)
    assert notes == ["What is perfect on anbn is not known: its best row has skill 1."]


def test_without_a_baseline_the_worst_row_is_0_and_it_is_said():
    notes = []
    found = skills(board(ACCURACY, {"x": [0.9, 0.9], "y": [0.6, 0.6]}, {}), ["x", "y"], notes, "a")
    assert [s[0] for s in found] == [pytest.approx(0.75), 0.0]
    assert notes == ["No trivial baseline sets the 0 of a: its worst row does."]


def test_a_perfect_baseline_leaves_nothing_to_gain():
    perfect = scale(ACCURACY, {"x": 0.9}, oracle=1.0)
    assert (perfect.of(1.0), perfect.of(0.9)) == (0.0, LEAST)
    assert math.isfinite(scale(MSE, {"x": 0.0}, oracle=0.0).of(0.0))


def test_a_failed_seed_has_the_worst_skill_of_its_task_and_none_above_0():
    the_board = board(ACCURACY, {"x": [0.9, None], "y": [0.05, 0.05]}, {"chance": 0.1})
    x, y = skills(the_board, ["x", "y"], [], "a")
    assert x[1] == y[0] < 0
    good = board(ACCURACY, {"x": [0.9, None], "y": [0.8, 0.8]}, {"chance": 0.1})
    assert skills(good, ["x", "y"], [], "a")[0][1] == 0.0


def two_tasks(rows):
    found = []
    for task in ("a", "b"):
        values = {n: [v + d for d in (-0.001, 0.0, 0.001)] for n, v in rows.items()}
        found.append(board(ACCURACY, values, {"chance": 0.1}, task))
    return found


def test_rows_over_tasks_are_better_equal_or_open_by_their_mean_skill():
    boards = two_tasks({"lstm": 0.9, "gru": 0.9005, "elman": 0.5})
    over = across(boards, EqualWithin(0.02, origin="asked for"))
    relation = {pair: over.verdicts.between(*pair).relation for pair in
                (("lstm", "gru"), ("lstm", "elman"))}  # fmt: skip
    assert relation == {("lstm", "gru"): "equal", ("lstm", "elman"): "better"}
    assert over.verdicts.contenders == ("gru", "lstm")
    assert over.skill[over.rows.index("lstm")].mean == pytest.approx((0.9 - 0.1) / 0.9)
    assert across(boards).verdicts.equal_within.size == 0.01
    share = across(boards, EqualWithin(0.02, relative=True, origin="asked for"))
    assert share.verdicts.equal_within == EqualWithin(0.02, origin="asked for")
