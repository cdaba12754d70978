"""The bounded storage of a study, the front of compromises, the rule that ends a search."""

import itertools
import random

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from rnnbench.sweep.file.search_options import ChosenMethod
from rnnbench.sweep.search.bounded_storage import BoundedStorage
from rnnbench.sweep.search.objectives import BestTrials, GainRule, TrialPoint


def filled(order, values, latest=5, best=3):
    """Return a storage of trials that ended in this order."""
    memory = BoundedStorage(latest, best)
    memory.create_new_study([StudyDirection.MINIMIZE])
    for _ in values:
        memory.create_new_trial(0)
    for number in order:
        memory.set_trial_state_values(number, TrialState.COMPLETE, [values[number]])
        memory.settle(number)
    return memory


def numbers(memory):
    return [t.number for t in memory.get_all_trials(0)]


def test_what_is_remembered_does_not_depend_on_the_order_in_which_trials_end():
    values = [3.0, 1.0, 7.0, 2.0, 9.0, 8.0, 6.0, 5.0, 4.0, 10.0, 11.0, 12.0]
    for seed in range(20):
        order = list(range(12))
        random.Random(seed).shuffle(order)
        memory = filled(order, values)
        assert numbers(memory) == [0, 1, 3, 7, 8, 9, 10, 11]  # three best, five latest
        assert memory.get_best_trial(0).number == 1
        with memory.pruning():
            assert numbers(memory) == [7, 8, 9, 10, 11]
            assert memory.get_best_trial(0).number == 1


def test_running_trials_are_remembered_and_failed_ones_are_not():
    memory = filled([0], [1.0, 2.0, 3.0])
    memory.set_trial_state_values(1, TrialState.FAIL)
    memory.settle(1)
    assert numbers(memory) == [0, 2]


def test_an_infeasible_trial_is_not_among_the_best():
    memory = BoundedStorage(1, 1)
    memory.create_new_study([StudyDirection.MINIMIZE])
    for number, (value, violation) in enumerate([(1.0, 0.5), (2.0, -0.5), (3.0, -0.5)]):
        trial = create_trial(values=[value], constraints={"size": violation})
        memory.enter(trial, number)
    assert numbers(memory) == [1, 2]


def test_parents_of_a_generation_are_kept_until_the_second_one_after_it():
    memory = filled(range(12), [float(i) for i in range(12)], latest=2, best=0)
    assert numbers(memory) == [10, 11]
    memory.set_study_system_attr(0, "GA:parent:1", [10])
    for i in range(12, 15):
        memory.enter(create_trial(values=[1.0]), i)
    assert numbers(memory) == [10, 13, 14]
    memory.set_study_system_attr(0, "GA:parent:2", [13])
    memory.set_study_system_attr(0, "GA:parent:3", [13])
    assert numbers(memory) == [13, 14]


def test_a_trial_that_ended_cannot_be_changed():
    memory = filled([0], [1.0])
    with pytest.raises(Exception, match="0"):
        memory.set_trial_param(0, "x", 1.0, None)


POINTS = [(1.0, 9.0), (2.0, 8.0), (3.0, 3.0), (3.0, 3.0), (8.0, 2.0), (9.0, 1.0), (9.0, 9.0)]


def test_the_front_does_not_depend_on_the_order_and_keeps_the_first_of_equals():
    fronts = set()
    for order in itertools.islice(itertools.permutations(range(len(POINTS))), 0, 5040, 97):
        front = BestTrials()
        for i in order:
            front.add(TrialPoint(i, POINTS[i]))
        fronts.add(tuple(sorted(p.number for p in front.points)))
        assert [p.number for p in front.spread(3)] == [0, 5, 2]
    assert fronts == {(0, 1, 2, 4, 5)}


def test_of_a_small_front_all_are_chosen_and_of_an_empty_one_none():
    front = BestTrials()
    assert front.spread(3) == []
    front.add(TrialPoint(4, (1.0, 2.0)))
    assert [p.number for p in front.spread(3)] == [4]


def test_the_verdict_on_a_gain_does_not_depend_on_the_order_in_which_trials_end():
    rule = ChosenMethod("gain", (("trials", 3), ("least", 0.1), ("first", 4)))
    losses = [9.0, 8.0, 4.0, 3.0, 2.99, 2.98, 2.97, 1.0]
    verdicts = set()
    for seed in range(20):
        order = list(range(len(losses)))
        random.Random(seed).shuffle(order)
        gain = GainRule(rule)
        for number in order:
            gain.end(number, losses[number])
        verdicts.add(gain.verdict)
    (verdict,) = verdicts
    assert verdict.startswith("the last 3 of 7 trials bettered the best value by 1.00%")
