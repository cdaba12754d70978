"""What chooses where the selection metric tells nothing."""

import itertools
import math

import pytest
from support.fake_records import ACCURACY, make_record, make_spec

from rnnbench.results.record import Status
from rnnbench.results.selection import compared_values, is_blind, with_loss, without_loss
from rnnbench.sweep.engines.protocol import Ending
from rnnbench.training.progress import TrainingProgress


def chosen(values, losses, *, higher=True, metric="bleu", unmeasurable=""):
    """Return the progress after validations at steps 1, 2, …, and what was compared of each."""
    progress, compared = TrainingProgress(unmeasurable=unmeasurable), []
    for step, (value, loss) in enumerate(zip(values, losses, strict=True), start=1):
        progress.curve.append([step, 0.0, {metric: value, "loss": loss}])
        compared.append(progress.choose(metric, higher_is_better=higher).compared)
    return progress, compared


@pytest.mark.parametrize(
    ("values", "losses", "step"),
    [
        ([0, 0, 0], [3.0, 2.0, 1.0], 3),
        ([0, 0, 0], [3.0, 1.0, 2.0], 2),
        ([0.5, 0.5, 0.5, 0.5], [3.0, 2.0, 1.0, 4.0], 3),  # such as that of one class for all
        ([1.0, 1.0, 1.0], [0.3, 0.1, 0.2], 2),  # at its best from the first on
        ([0, 0, 4, 3], [3.0, 2.0, 5.0, 1.0], 3),  # it moved, so it chooses, whatever the loss
        ([2, 2, 1, 1], [3.0, 1.0, 0.5, 0.1], 2),  # of the equal ones before, the lowest loss
        ([3, 5, 5, 5], [3.0, 3.0, 1.0, 0.5], 2),  # it moved: of equals the first, as ever
        ([0, 0, 0], [math.nan, 2.0, math.nan], 2),
        ([0, 0, 0], [math.inf, math.nan, 7.0], 3),
        ([0], [3.0], 1),
    ],
)
def test_the_loss_chooses_for_as_long_as_the_metric_has_not_moved(values, losses, step):
    progress, _ = chosen(values, losses)
    assert progress.best["step"] == step
    assert progress.best["stale"] == len(values) - step
    mirrored, _ = chosen([-v for v in values], losses, higher=False)
    assert mirrored.best["step"] == step


def test_early_stopping_counts_from_the_lowest_loss_where_the_metric_stands_still():
    progress, _ = chosen([0] * 6, [6.0, 5.0, 4.0, 3.0, 3.5, 3.6])
    assert (progress.best["step"], progress.best["stale"]) == (4, 2)


def test_the_loss_itself_is_no_metric_to_fall_back_from():
    progress, compared = chosen([2.0, 2.0], [2.0, 2.0], metric="loss", higher=False)
    assert compared == [2.0, 2.0]
    assert progress.fallback("loss", higher_is_better=False) is None


def test_a_metric_that_right_answers_could_not_raise_chooses_nothing_though_it_moves():
    why = "no reference has the 4 tokens that BLEU counts"
    progress, compared = chosen([6.0, 0.0, 0.0], [3.0, 2.0, 1.0], unmeasurable=why)
    assert progress.best == {"value": 0.0, "step": 3, "stale": 0}
    assert compared == sorted(compared)
    fallback = progress.fallback("bleu", higher_is_better=True)
    assert fallback["note"] == f"bleu tells nothing where {why}, so the loss chose"
    assert (fallback["metric"], fallback["value"]) == ("loss", 1.0)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([0.0, 0.0, 0.0], "bleu was 0 at all 3 validations, so the loss chose"),
        ([0.0], "bleu was 0 at the only validation, so the loss chose"),
        ([12.5], None),  # one figure is no standstill
        ([0.0, 0.1], None),
        ([math.nan], None),
    ],
)
def test_a_standstill_is_told_with_what_it_was(values, note):
    progress = TrainingProgress(best={"value": values[0], "step": 1, "stale": 0})
    for step, value in enumerate(values, start=1):
        progress.curve.append([step, 0.0, {"bleu": value, "loss": 1.0}])
    fallback = progress.fallback("bleu", higher_is_better=True)
    assert (fallback and fallback["note"]) == note


@pytest.mark.parametrize("higher", [True, False])
def test_values_are_compared_first_and_losses_where_values_are_equal(higher):
    values, losses = [0.0, 1e-4, 0.5, 1.0, 37.2, -3.0], [-2.0, 0.0, 1e-3, 0.5, 4.0, 300.0, math.inf]
    sign = 1 if higher else -1
    pairs = sorted(itertools.product(values, losses), key=lambda p: (-sign * p[0], p[1]))
    told = [sign * with_loss(v, loss, higher_is_better=higher) for v, loss in pairs]
    assert told == sorted(told, reverse=True)
    assert len(set(told)) == len(told)
    assert all(
        without_loss(sign * t, higher_is_better=higher) == pytest.approx(v, rel=1e-5, abs=2e-6)
        for t, (v, _) in zip(told, pairs, strict=True)
    )


def test_one_figure_at_the_floor_tells_nothing_and_one_above_it_does():
    assert is_blind([0.0], higher_is_better=True)
    assert not is_blind([0.0], higher_is_better=False)  # no error at all
    assert not is_blind([0.3], higher_is_better=True)
    assert not is_blind([], higher_is_better=True)


def test_a_record_tells_the_search_what_its_run_told_at_each_validation():
    values, losses = [0.0, 0.0, 0.0, 2.0, 0.0], [4.0, 2.0, 3.0, 2.5, 1.0]
    progress, compared = chosen(values, losses, metric="accuracy")
    record = trial(progress)
    assert Ending.of(record).curve == tuple(enumerate(compared, start=1))
    assert Ending.of(record).value == 2.0
    blind, compared = chosen(values[:3], losses[:3], metric="accuracy")
    ending = Ending.of(trial(blind))
    assert ending.curve == tuple(enumerate(compared, start=1))
    assert ending.value == max(compared)


def trial(progress, seed=0):
    """Return the record of a run of this progress."""
    record = make_record(
        make_spec("digits", seed=seed, test=False), 0.5, Status.DONE, metrics=[ACCURACY],
        curve=progress.curve,
    )  # fmt: skip
    best = {k: progress.best[k] for k in ("value", "step")}
    record.selection = {"metric": "accuracy", "higher_is_better": True, **best}
    fallback = progress.fallback("accuracy", higher_is_better=True)
    if fallback is not None:
        record.selection["fallback"] = fallback
    return record


def test_trials_at_the_floor_are_ordered_by_loss_below_one_that_moved():
    def value(values, losses):
        return Ending.of(trial(chosen(values, losses, metric="accuracy")[0])).value

    worse, better = value([0, 0], [3.0, 2.0]), value([0, 0], [3.0, 1.0])
    moved, alone = value([0, 0.001], [3.0, 9.0]), value([0], [0.5])
    assert worse < better < alone < moved


def test_figures_that_are_missing_are_passed_over():
    assert compared_values(
        [0.0, None, 0.0], [1.0, 2.0, None], higher_is_better=True, by_loss=False,
        unmeasurable=False,
    ) == [with_loss(0.0, 1.0, higher_is_better=True), None, 0.0]  # fmt: skip
