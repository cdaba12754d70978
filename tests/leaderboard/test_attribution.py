"""Which trick helps which cell: differences, pairs, failures and refusals."""

import math
import random

import pytest
from leaderboard.attributions import REFUSAL, attributed, effect, runs
from support.fake_records import fake_records, make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.verdicts.method import BoardMethod
from rnnbench.results.record import Status
from rnnbench.stats import holm, paired

BY_PAIRS = BoardMethod(test="t")


def test_a_difference_is_taken_seed_by_seed_as_worked_by_hand():
    attribution = attributed(
        runs("lstm", (), [1.50, 1.60, 1.70]), runs("lstm", ("zoneout",), [1.40, 1.48, 1.56]),
        method=BY_PAIRS,
    )  # fmt: skip
    e = effect(attribution, "zoneout")
    # Lower is better: the gains are 0.10, 0.12, 0.14, whose mean is 0.12 and deviation 0.02;
    # t(0.975, 2) = 4.302653, so that half the interval is 4.302653 * 0.02 / sqrt(3).
    assert e.difference.mean == pytest.approx(0.12)
    assert e.difference.half_width == pytest.approx(4.302653 * 0.02 / math.sqrt(3))
    assert (e.with_mean, e.without_mean) == (pytest.approx(1.48), pytest.approx(1.60))
    assert e.percent == pytest.approx(7.5)
    assert e.seeds == (0, 1, 2)
    # t = 0.12 sqrt(3) / 0.02 = 10.3923; with 2 degrees of freedom p = 1 - t / sqrt(t² + 2).
    t = 0.12 * math.sqrt(3) / 0.02
    assert e.p == pytest.approx(1 - t / math.sqrt(t * t + 2))
    assert e.verdict == "helps"


def test_pairs_see_what_the_spread_over_seeds_hides():
    attribution = attributed(
        runs("lstm", (), [1.0, 2.0, 3.0, 4.0]), runs("lstm", ("clip",), [1.1, 2.11, 3.09, 4.1]),
        method=BY_PAIRS,
    )  # fmt: skip
    assert effect(attribution, "clip").verdict == "hurts"


def test_positive_helps_where_higher_is_better():
    records = [
        make_record(make_spec("digits", "gru", tricks, seed=k), value + k / 1000)
        for tricks, value in (((), 0.90), (("clip",), 0.93))
        for k in range(3)
    ]
    (attribution,) = [attribute(board) for board in build(records)]
    e = effect(attribution, "clip", "gru")
    assert e.difference.mean == pytest.approx(0.03)
    assert e.verdict == "helps"


def test_a_verdict_on_a_trick_is_the_boards_on_the_two_rows():
    groups = (
        runs("lstm", (), [1.50, 1.52, 1.54]), runs("lstm", ("clip",), [1.54, 1.50, 1.52]),
        runs("lstm", ("zoneout",), [1.40, 1.42, 1.41]), runs("gru", (), [1.49, 1.53, 1.51]),
        runs("gru", ("zoneout",), [1.70, 1.72, 1.71]),
    )  # fmt: skip
    (board,) = build([record for group in groups for record in group])
    words = {"helps": "better", "hurts": "worse", "equal": "equal", "open": "open"}
    attribution = attribute(board)
    seen = set()
    for comparison in attribution.comparisons:
        for e in comparison.effects:
            if e.difference is None:
                continue
            row = " + ".join((e.architecture, *comparison.stack))
            judged = board.verdicts.between(row, e.architecture)
            assert (words[e.verdict], e.p) == (judged.relation, judged.p)
            seen.add(e.verdict)
    assert seen == {"helps", "hurts", "open"}


def test_noise_is_open():
    attribution = attributed(
        runs("lstm", (), [1.50, 1.52, 1.54]), runs("lstm", ("clip",), [1.54, 1.50, 1.52])
    )
    assert effect(attribution, "clip").verdict == "open"


def test_one_seed_has_no_interval_and_is_open():
    e = effect(attributed(runs("lstm", (), [1.5]), runs("lstm", ("clip",), [1.0])), "clip")
    assert (e.verdict, e.difference.mean, e.difference.low, e.p) == ("open", 0.5, None, None)


def test_only_seeds_that_both_sides_finished_count():
    attribution = attributed(
        runs("lstm", (), [9.0, 1.5, 1.6, 1.7]),
        [r for r in runs("lstm", ("clip",), [0, 1.4, 1.5, 1.6, 9.0]) if r.spec.seed],
    )
    e = effect(attribution, "clip")
    assert e.seeds == (1, 2, 3)
    assert e.difference.mean == pytest.approx(0.1)
    assert e.marks == ("2 of 5 seeds on one side only",)


def test_a_figure_that_is_not_positive_has_no_percentage():
    attribution = attributed(runs("lstm", (), [-1.0, 1.0]), runs("lstm", ("clip",), [-2.0, 0.5]))
    assert effect(attribution, "clip").percent is None


def test_p_is_adjusted_over_every_comparison_of_the_board():
    base = [1.50, 1.52, 1.51, 1.53]
    clip = [1.47, 1.50, 1.49, 1.50]
    drop = [1.48, 1.51, 1.47, 1.52]
    pair = runs("lstm", (), base), runs("lstm", ("clip",), clip)
    alone = effect(attributed(*pair, method=BY_PAIRS), "clip")
    attribution = attributed(
        *(runs(a, (), base) for a in ("gru", "lstm")),
        *(runs(a, ("clip",), clip) for a in ("gru", "lstm")),
        runs("lstm", ("weight-drop",), drop),
        method=BY_PAIRS,
    )
    raw = [paired(clip, base).p, paired(clip, base).p, paired(drop, base).p]
    assert alone.p == pytest.approx(raw[0])
    adjusted = [e.p for c in attribution.comparisons for e in c.effects if e.p is not None]
    assert sorted(adjusted) == pytest.approx(sorted(holm(raw)))
    assert effect(attribution, "clip").p > alone.p


def test_paired_differences_that_do_not_vary_are_certain_or_equal():
    assert paired([2.0, 3.0], [1.0, 2.0]).p == 0.0
    assert paired([2.0, 3.0], [2.0, 3.0]).p == 1.0
    with pytest.raises(ValueError, match="two pairs"):
        paired([1.0, 2.0], [1.0])


def test_each_side_is_the_configuration_that_validation_chose():
    chosen = [make_record(make_spec(seed=k, lr=1e-2), 1.9 + k / 99, valid=1.0) for k in range(3)]
    better_on_test = [make_record(make_spec(seed=k), 1.2, valid=1.1) for k in range(3)]
    attribution = attributed(chosen, better_on_test, runs("lstm", ("clip",), [1.8, 1.8, 1.8]))
    assert effect(attribution, "clip").without_mean == pytest.approx(1.9 + 1 / 99)
    assert "between 1 and 2 configurations" in attribution.notes[0]


def names(attribution):
    return [(c.name, c.without) for c in attribution.comparisons]


def test_each_stack_is_set_against_the_bare_cell():
    attribution = attributed(
        runs("lstm", (), [1.5, 1.6]), runs("gru", (), [1.5, 1.6]),
        runs("lstm", ("clip",), [1.4, 1.5]), runs("gru", ("zoneout",), [1.4, 1.5]),
        runs("elman", (), [2.0, 2.1]),
    )  # fmt: skip
    assert attribution.bare == ()
    assert attribution.architectures == ("gru", "lstm")
    assert names(attribution) == [("clip", ()), ("zoneout", ())]
    missing = effect(attribution, "clip", "gru")
    assert (missing.verdict, missing.reason) == ("missing", "not run")
    assert "Run as the bare cell only: elman." in attribution.notes


def test_tricks_that_every_run_has_belong_to_the_bare_cell():
    attribution = attributed(
        runs("lstm", ("clip",), [1.5, 1.6]),
        runs("lstm", ("clip", "zoneout"), [1.4, 1.5]),
        runs("lstm", ("layer-norm", "clip"), [1.4, 1.5]),
    )
    assert attribution.bare == ("clip",)
    assert names(attribution) == [("zoneout", ("clip",)), ("layer-norm", ("clip",))]
    assert effect(attribution, "zoneout").difference.mean == pytest.approx(0.1)


def test_tricks_alone_and_together_show_whether_they_add_up():
    attribution = attributed(
        runs("lstm", (), [1.5, 1.6]), runs("lstm", ("a",), [1.4, 1.5]),
        runs("lstm", ("b",), [1.3, 1.4]), runs("lstm", ("a", "b"), [1.25, 1.35]),
    )  # fmt: skip
    gains = {c.name: c.effects[0].difference.mean for c in attribution.comparisons}
    assert gains == pytest.approx(
        {"a": 0.1, "b": 0.2, "a + b": 0.25, "a beside b": 0.05, "b beside a": 0.15}
    )


def test_a_full_stack_with_each_trick_left_out_once_needs_no_bare_cell():
    attribution = attributed(
        runs("lstm", ("a", "b", "c"), [1.0, 1.1]), runs("lstm", ("b", "c"), [1.1, 1.2]),
        runs("lstm", ("a", "c"), [1.3, 1.4]), runs("lstm", ("a", "b"), [0.9, 1.0]),
    )  # fmt: skip
    gains = {c.name: c.effects[0].difference.mean for c in attribution.comparisons}
    assert gains == pytest.approx(
        {"a beside b + c": 0.1, "b beside a + c": 0.3, "c beside a + b": -0.1}
    )
    assert attribution.notes == ()


def test_the_same_tricks_in_another_order_are_another_stack():
    attribution = attributed(
        runs("lstm", ("clip",), [1.5, 1.6]), runs("lstm", ("clip", "zoneout"), [1.4, 1.5]),
        runs("lstm", ("zoneout", "clip"), [1.3, 1.4]),
    )  # fmt: skip
    assert [c.name for c in attribution.comparisons] == [
        "zoneout (in clip + zoneout)",
        "zoneout (in zoneout + clip)",
    ]


def test_without_a_bare_cell_nothing_is_compared_and_the_note_says_so():
    attribution = attributed(runs("lstm", ("clip",), [1.5, 1.6]), runs("gru", (), [1.5, 1.6]))
    assert attribution.comparisons == ()
    assert attribution.notes == (
        "Not compared, since there is nothing to compare with: lstm + clip. Run the same "
        "architecture without tricks too.",
    )


def test_budgets_and_data_never_join():
    boards = build([*runs("lstm", (), [1.5, 1.6]), *runs("lstm", ("clip",), [1.4, 1.5], steps=9)])
    assert [attribute(board).comparisons for board in boards] == [(), ()]


def test_the_order_of_the_records_makes_no_difference():
    records = fake_records()
    expected = [attribute(b) for b in build(records)]
    random.Random(3).shuffle(records)
    assert [attribute(b) for b in build(records)] == expected


def test_failures_are_told_with_their_reason():
    nan = [Status.NAN] * 3
    attribution = attributed(
        runs("lstm", (), [1.5, 1.6, 1.7]), runs("lstm", ("clip",), nan),
        runs("gru", (), nan), runs("gru", ("clip",), [1.5, 1.6, 1.7]),
    )  # fmt: skip
    e = effect(attribution, "clip")
    assert e.verdict == "failed"
    assert e.reason == "all of 3 runs failed (3 × nan: the training loss became NaN at step 700)"
    e = effect(attribution, "clip", "gru")
    assert e.verdict == "failed"
    assert e.reason.startswith("nothing to compare with: gru: all of 3 runs failed")


def test_seeds_that_failed_stand_beside_the_difference_of_the_others():
    attribution = attributed(
        runs("lstm", (), [1.5, 1.6, 1.7]), runs("lstm", ("clip",), [1.4, 1.5, Status.DIVERGED])
    )
    e = effect(attribution, "clip")
    assert e.seeds == (0, 1)
    assert e.marks == ("1 of 3 seeds failed with it",)


def test_a_refused_combination_is_told_apart_from_one_that_was_not_run():
    attribution = attributed(
        runs("lstm", (), [1.5, 1.6]), runs("elman", (), [1.5, 1.6]),
        runs("lstm", ("chrono-init",), [1.4, 1.5]), runs("lstm", ("clip",), [1.4, 1.5]),
        refused=[REFUSAL, {**REFUSAL, "task": "adding", "tricks": ["clip"]}],
    )  # fmt: skip
    e = effect(attribution, "chrono-init", "elman")
    assert (e.verdict, e.reason) == ("refused", "it has no forget gate")
    assert effect(attribution, "clip", "elman").verdict == "missing"


def test_a_trick_that_every_architecture_refuses_is_not_dropped():
    attribution = attributed(
        runs("elman", (), [1.5, 1.6]), runs("elman", ("clip",), [1.4, 1.5]), refused=[REFUSAL]
    )
    assert effect(attribution, "chrono-init", "elman").verdict == "refused"


def test_a_refusal_that_has_been_run_since_is_past():
    attribution = attributed(
        runs("elman", (), [1.5, 1.6]), runs("elman", ("chrono-init",), [1.4, 1.5]),
        refused=[{**REFUSAL, "tricks": "chrono-init"}],
    )  # fmt: skip
    assert effect(attribution, "chrono-init", "elman").difference.mean == pytest.approx(0.1)


def test_a_search_without_test_results_is_missing_and_says_why():
    attribution = attributed(
        runs("lstm", (), [1.5, 1.6]), runs("lstm", ("clip",), [1.4], test=False)
    )
    e = effect(attribution, "clip")
    assert (e.verdict, e.reason) == ("missing", "not tested yet")
    assert not attribution.telling
