"""Within what rows are equal: as asked for, as the task's metric says, or as is usual."""

import pytest

from rnnbench.leaderboard.verdicts.equality import (
    EqualWithin,
    MarginError,
    equal_within,
    read_margin,
)


def metric(unit="", higher=False, **more):
    return {"name": "m", "unit": unit, "higher_is_better": higher, **more}


@pytest.mark.parametrize(
    ("text", "size", "relative"),
    [("0.01", 0.01, False), ("2%", 0.02, True), (" 2 % ", 0.02, True), ("0", 0, False),
     ("1e-3", 0.001, False), (".5%", 0.005, True)],
)  # fmt: skip
def test_a_margin_is_a_number_in_the_unit_or_a_share(text, size, relative):
    assert read_margin(text) == EqualWithin(size, relative, "asked for")


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "-1%", "nan", "inf", "1e999", "2 bits", "two", "1,5"]
)
def test_a_margin_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(MarginError, match=r"such as 0\.01, or a share .* such as 2%"):
        read_margin(text)


def test_a_margin_that_makes_all_equal_is_refused():
    with pytest.raises(MarginError, match="less than 100%"):
        read_margin("100%")


def test_the_reader_counts_before_the_task_and_the_task_before_the_unit():
    asked = read_margin("1%")
    told = metric("share", higher=True, margin=0.1)
    assert equal_within(told, [0.5], asked) is asked
    assert equal_within(told, [0.5]) == EqualWithin(0.1, origin="task")
    assert equal_within(metric("share", higher=True), [0.5]) == EqualWithin(0.005)


def test_metrics_without_a_unit_are_shares_only_where_they_can_be():
    assert equal_within(metric(higher=True), [0.2, 1.0]) == EqualWithin(0.005)
    assert equal_within(metric(higher=True), [0.2, 14.0]).relative
    assert equal_within(metric(), [0.2]).relative  # an error near 0
    assert equal_within(metric(), [0.2]).around(-50) == pytest.approx(1.0)
