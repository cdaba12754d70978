"""Which rows and tasks are compared over tasks."""

import dataclasses
import itertools
import random

import pytest
from support.fake_records import ACCURACY, make_record, make_spec

from rnnbench.leaderboard.across_tasks import across
from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.compared_tasks import choose_boards, without_gaps


def largest(rows):
    """Try every set of tasks."""
    best = (False, 0, 0)
    for width in range(1, len(rows) + 1):
        for tasks in itertools.combinations(sorted(rows), width):
            names = set.intersection(*(set(rows[task]) for task in tasks))
            if names:
                size = (len(names) > 1 and width > 1, len(names) * width, width)
                best = max(best, size)
    return best


def test_a_task_with_many_rows_of_its_own_does_not_drive_out_all_others():
    notes = []
    rows = {"A": ["gru", "lstm", *"abcdefgh"], "B": ["gru", "lstm"], "C": ["gru", "lstm"]}
    assert without_gaps(rows, notes) == (["gru", "lstm"], ["A", "B", "C"])
    assert notes == [
        "Not run on every task, so left out: a, b, c, d, e, f, g, h.",
        "2 rows on 3 tasks are compared: 6 of 14 results, the most that leave no gap.",
    ]


def test_many_rows_of_its_own_on_any_task_leave_a_comparison_over_all_tasks():
    def runs(task, *names):
        return [
            make_record(make_spec(task, name, seed=seed), 0.5 + 0.1 * len(name) + 0.01 * seed,
                        metrics=[ACCURACY], baselines={})
            for name in names
            for seed in range(2)
        ]  # fmt: skip

    own = [f"own{'x' * i}" for i in range(8)]
    records = runs("a", "gru", "lstm", *own) + runs("b", "gru", "lstm") + runs("c", "gru", "lstm")
    comparison = across(build(records))
    assert comparison.tasks == ("a", "b", "c")
    assert set(comparison.rows) == {"gru", "lstm"}


def test_the_rows_and_tasks_that_lose_least_are_those_that_trying_everything_finds():
    draw = random.Random(0)
    for _ in range(200):
        tasks, names, share = draw.randint(1, 7), draw.randint(1, 9), draw.random()
        rows = {
            f"t{i}": [f"n{j}" for j in range(names) if draw.random() < share] for i in range(tasks)
        }
        kept, on = without_gaps(rows, [])
        assert all(set(kept) <= set(rows[task]) for task in on)
        assert (len(kept) > 1 and len(on) > 1, len(kept) * len(on), len(on)) == largest(rows)


def test_the_choice_does_not_depend_on_the_order_in_which_tasks_and_rows_are_given():
    rows = {"a": ["x", "y"], "b": ["x", "y"], "c": ["v", "w"], "d": ["v", "w"]}
    turned = {task: rows[task][::-1] for task in reversed(rows)}
    assert without_gaps(rows, []) == without_gaps(turned, []) == (["x", "y"], ["a", "b"])


def test_too_many_tasks_to_try_all_sets_are_still_compared(monkeypatch):
    monkeypatch.setattr("rnnbench.leaderboard.compared_tasks.SETS", 20)
    draw = random.Random(1)
    rows = {f"t{i:02}": [f"n{j}" for j in range(40) if draw.random() < 0.8] for i in range(20)}
    notes = []
    names, tasks = without_gaps(rows, notes)
    assert len(names) * len(tasks) > 2 * 32  # more than any two tasks
    assert "the most found" in notes[-1]


def on_table(name, settings, data, seeds=2, steps=2000):
    records = []
    for seed in range(seeds):
        spec = make_spec("csv-forecast", name, seed=seed, steps=steps)
        task = dataclasses.replace(spec.task, settings=tuple(settings.items()))
        spec = dataclasses.replace(spec, task=task, data=data)
        records.append(make_record(spec, 0.5 + 0.1 * len(name) + 0.01 * seed,
                                   metrics=[ACCURACY], baselines={}))  # fmt: skip
    return records


def tables(*settings_and_data, names=("lstm", "gru")):
    return build(
        record
        for settings, data in settings_and_data
        for name in names
        for record in on_table(name, settings, data)
    )


def test_three_tables_of_one_task_count_as_three():
    boards = tables(*(({"path": f"data/{t}.csv", "horizon": 6}, t * 3) for t in "abc"))
    comparison = across(boards)
    assert comparison.tasks == ("a.csv", "b.csv", "c.csv")
    assert not any("are not ranked together" in note for note in comparison.notes)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        # Also where another setting tells them apart, the file does.
        ([{"decimal": ",", "path": "x/a.csv"}, {"decimal": ".", "path": "x/b.csv"}],
         ["a.csv", "b.csv"]),
        ([{"path": "x/a.csv"}, {"path": "y/a.csv"}],
         ["a.csv (csv-forecast, path=x/a.csv)", "a.csv (csv-forecast, path=y/a.csv)"]),
        ([{"one": "en", "other": "de"}, {"one": "en", "other": "fr"}, {"one": "fi", "other": "fr"}],
         ["csv-forecast (one=en, other=de)", "csv-forecast (one=en, other=fr)",
          "csv-forecast (one=fi, other=fr)"]),
        ([{"path": "a.csv"}, {"path": "a.csv"}],
         ["a.csv (csv-forecast, data 0)", "a.csv (csv-forecast, data 1)"]),
    ],
)  # fmt: skip
def test_data_sets_of_one_task_are_told_apart_by_what_differs(settings, told):
    boards = tables(*((s, str(i)) for i, s in enumerate(settings)))
    assert sorted(choose_boards(boards, [])) == told


def test_settings_and_budgets_of_one_data_set_are_one_task_and_that_is_said():
    records = [
        r
        for name in ("lstm", "gru")
        for r in on_table(name, {"horizon": 6}, "abc")
        + on_table(name, {"horizon": 12}, "abc")
        + on_table(name, {"horizon": 6}, "abc", steps=500)
    ]
    notes = []
    assert list(choose_boards(build(records), notes)) == ["csv-forecast"]
    assert "csv-forecast has 3 boards, which are not ranked together" in notes[0]
